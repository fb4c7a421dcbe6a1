"""Whether an adapter does its work where a model has its linear layers: the bare model is run on a few tokens to see.

An adapter gives each row of a batch its own update. That is right where the layer is called, and called with the rows
of the batch in their order, each with all its tokens. It would be silently wrong where a model reads a layer's weight
and computes itself (Mamba's kernels), or calls it with tokens picked from several rows (routed experts).

Every linear layer stands aside for a copy of its input while this is looked at: that costs next to nothing, whatever
the model's size, number format and quantization, and rows keep to themselves in it as they do in a product.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from flix_lightning.adapters.weight_readers import read_in_training
from flix_lightning.common.errors import FlixError

LINEAR = (nn.Linear, Conv1D)  # GPT-2's Conv1D is a linear layer with its weight transposed
COMPUTED = (torch.float32, torch.bfloat16, torch.float16)  # other formats are a quantization library's own layers
ROWS, LENGTH, TARGETS = 3, 5, 4  # of the batch that is tried: no length is a multiple of the rows
ORDER = (2, 0, 1)  # the rows again, in another order


def sizes(linear: nn.Module) -> tuple[int, int]:
    """Inputs and outputs of a linear layer."""
    return (linear.nx, linear.nf) if isinstance(linear, Conv1D) else (linear.in_features, linear.out_features)


@torch.no_grad()
def is_linear(module: nn.Module) -> bool:
    """Whether `module` is a linear layer, and one that gives x W^T + b and nothing else: some models' routers are made
    of linear layers and give what they choose.
    """
    if not isinstance(module, LINEAR):
        return False
    if type(module).forward in (nn.Linear.forward, Conv1D.forward) or module.weight.dtype not in COMPUTED:
        return True
    one = module.weight.new_ones(1, module.in_features)
    try:
        own, plain = module(one), nn.functional.linear(one, module.weight, module.bias)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False
    return isinstance(own, Tensor) and own.shape == plain.shape and torch.allclose(own, plain, rtol=1e-2, atol=1e-3)


def adaptable(backbone: PreTrainedModel, names: Sequence[str]) -> list[str]:
    """Those of the linear layers `names` that text comes through; a tower for images is left out. A model on the meta
    device, which has no numbers to try, is taken as it is.

    Raises:
        FlixError: an adapter at one of them would not do what it should, or the model cannot be run at all.
    """
    if backbone.device.type == "meta":
        return list(names)
    model = type(backbone).__name__
    head = backbone.get_output_embeddings()
    if not isinstance(head, nn.Module):
        raise FlixError(f"{model} cannot be adapted: it has no output embedding.")
    layers = {name: backbone.get_submodule(name) for name in names}
    run = _Run(backbone, list(layers.values()))
    if not run.inputs[0][head] or run.fault(head) or any(x.dim() != 3 for x in run.inputs[0][head]):
        raise FlixError(f"{model} cannot be adapted: its output embedding reads anything but one state for each token.")
    if all(map(torch.equal, run.inputs[0][head], run.inputs[2][head])):
        raise FlixError(
            f"{model} cannot be adapted: it reads padding as if it were text, so that rows of other lengths could not "
            "be answered together."
        )
    if run.stateful:
        raise FlixError(
            f"{model} cannot be adapted: {run.stateful} keeps what it has read of a batch in itself, so that rows of "
            "other lengths could not be answered together."
        )
    faults = {name: fault for name, layer in layers.items() if (fault := _fault(backbone, run, name, layer))}
    if faults:
        name, reason = next(iter(faults.items()))
        others = sorted({_last(one) for one in names if one not in faults} - {_last(one) for one in faults})
        advice = f"adapter.target_modules may name: {', '.join(others)}" if others else "no other layer is right either"
        raise FlixError(f"{model} cannot be adapted at {name}: {reason}; {advice}.")
    found = [name for name, layer in layers.items() if layer in run.called]
    if names and not found:
        raise FlixError(f"{model} cannot be adapted at {names[0]}: text does not come through it.")
    return found


def _fault(backbone: nn.Module, run: "_Run", name: str, layer: nn.Module) -> str | None:
    """Why an adapter at `layer`, whose path is `name`, would be wrong."""
    parent, _, child = name.rpartition(".")
    if child in read_in_training(type(backbone.get_submodule(parent))):
        return "in training the model hands its weight to a kernel without calling it"
    if layer not in run.called and _one_of_several(backbone, name, run.called):
        return "it is one of several layers that the model chooses from for each token"
    return run.fault(layer)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _one_of_several(backbone: nn.Module, name: str, called: set[nn.Module]) -> bool:
    """Whether the outermost module around `name` that did not run is an item of a container that did."""
    path = name.split(".")
    inner = next(end for end in range(1, len(path) + 1) if not _runs(backbone, ".".join(path[:end]), called))
    return isinstance(backbone.get_submodule(".".join(path[: inner - 1])), nn.ModuleDict | nn.ModuleList)


def _runs(backbone: nn.Module, name: str, called: set[nn.Module]) -> bool:
    return any(module in called for module in backbone.get_submodule(name).modules())


class _Run:
    """What happens to the layers `watched` while the model reads a batch, the same batch in another order, and padded.

    Attributes:
        called: modules that were called.
        read: watched modules whose weight something else than they themselves computed with.
        inputs: for each of the three, watched module -> its input in every call.
        stateful: the name of a kind of module that has kept something of the batch in itself.
    """

    def __init__(self, backbone: PreTrainedModel, watched: Sequence[nn.Module]) -> None:
        self.called: set[nn.Module] = set()
        self.read: set[nn.Module] = set()
        self.inputs: list[dict[nn.Module, list[Tensor]]] = []
        batch, before = _batch(backbone), _kept(backbone)
        reads = _Reads({id(layer.weight): layer for layer in watched}, self.read)
        with _stand_ins(backbone, self), reads, torch.no_grad():
            for one in (batch, {name: tensor[list(ORDER)] for name, tensor in batch.items()}, _padded(batch)):
                self.inputs.append(defaultdict(list))
                try:
                    backbone(**one, use_cache=False)
                except Exception as error:  # whatever the model's own code raises
                    told = str(error).splitlines() or [type(error).__name__]
                    raise FlixError(
                        f"{type(backbone).__name__} cannot be adapted: it fails on {ROWS} rows of {LENGTH} tokens: "
                        f"{told[0]}"
                    ) from error
        self.stateful = next((name for key, name in _kept(backbone).items() if key not in before), None)

    def fault(self, layer: nn.Module) -> str | None:
        """Why an adapter at `layer` would be wrong."""
        if layer in self.read:
            return "the model computes with its weight without calling it"
        for first, second in zip(self.inputs[0][layer], self.inputs[1][layer]):
            if len(first) % ROWS or len(second) % ROWS:
                return f"{len(first)} rows come to it from a batch of {ROWS}"
            first, second = (x.reshape(ROWS, -1, x.shape[-1]) for x in (first, second))
            if first.shape != second.shape or not _same(first[list(ORDER)], second):
                return "the rows of a batch do not come to it in their order"
        if len(self.inputs[0][layer]) != len(self.inputs[1][layer]):
            return "how often it is called depends on what a batch holds"
        return None


def _kept(backbone: nn.Module) -> dict[tuple[int, str], str]:
    """The tensors that modules hold as plain attributes, a row of them for every row of the batch tried: (module,
    attribute) -> kind of module.
    """
    return {
        (number, name): type(module).__name__
        for number, module in enumerate(backbone.modules())
        for name, value in module.__dict__.items()
        if isinstance(value, Tensor) and value.dim() and len(value) == ROWS
    }


def _same(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first.float(), second.float(), rtol=1e-2, atol=1e-3, equal_nan=True)


def _batch(backbone: PreTrainedModel) -> dict[str, Tensor]:
    """Different tokens everywhere, as far as the vocabulary goes."""
    tokens = torch.arange(3, 3 + ROWS * LENGTH, device=backbone.device) % backbone.get_input_embeddings().num_embeddings
    tokens = tokens.view(ROWS, LENGTH)
    batch = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    if backbone.config.is_encoder_decoder:
        batch["decoder_input_ids"] = tokens[:, :TARGETS].flip(1).contiguous()
    return batch


def _padded(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same rows, the first token of each one padding."""
    mask = batch["attention_mask"].clone()
    mask[:, 0] = 0
    return {**batch, "attention_mask": mask}


class _Reads(TorchFunctionMode):
    """Notes which of some weights take part in a computation."""

    def __init__(self, weights: dict[int, nn.Module], read: set[nn.Module]) -> None:
        super().__init__()
        self.weights, self.read = weights, read

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor | tuple | list):  # asking for a number format or a shape is no computation
            for value in (*args, *(kwargs or {}).values()):
                if id(value) in self.weights:
                    self.read.add(self.weights[id(value)])
        return result


@contextmanager
def _stand_ins(backbone: PreTrainedModel, run: _Run) -> Iterator[None]:
    """Within, linear layers copy their input, calls are noted, dropout is off, and attention runs on any device."""
    linears = [module for module in backbone.modules() if is_linear(module)]
    before = [module.__dict__.get("forward") for module in linears]
    modes = [(module, module.training) for module in backbone.modules()]
    attention = backbone.config._attn_implementation
    hooks = [module.register_forward_pre_hook(partial(_note, run)) for module in backbone.modules()]
    try:
        backbone.eval()
        if attention not in ("eager", "sdpa", None):
            backbone.set_attn_implementation("eager")
        for module in linears:
            module.forward = partial(_copy, sizes(module))
        yield
    finally:
        for module, forward in zip(linears, before):
            del module.forward
            if forward is not None:
                module.forward = forward
        if attention not in ("eager", "sdpa", None):
            backbone.set_attn_implementation(attention)
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode


def _note(run: _Run, module: nn.Module, inputs: tuple[Any, ...]) -> None:
    run.called.add(module)
    if "forward" in module.__dict__ and inputs:
        run.inputs[-1][module].append(inputs[0])


def _copy(size: tuple[int, int], x: Tensor) -> Tensor:
    """(..., in) -> (..., out): the inputs over and over."""
    return x.index_select(-1, torch.arange(size[1], device=x.device) % size[0])
