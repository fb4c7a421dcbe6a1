"""A backbone shared out over processes stays so: a layer is whole for its own products only."""

import json
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from transformers import LlamaConfig, LlamaForCausalLM

from flix_lightning.adapters.dropout import FeatureDropout
from flix_lightning.adapters.injection import featurized_linears
from flix_lightning.data.tokens.encoding import Encoded, generation_batch, training_batch
from flix_lightning.data.tokens.places import target_places
from flix_lightning.models.generation import new_tokens
from flix_lightning.training.module import FlixModule
from flix_lightning.training.optimizer import Optimization
from flix_lightning.training.sharding import shard_layers
from tests.processes import FORK, free_port
from tests.toy import CELLS, EOS, PAD, fill, toy_composer

pytestmark = pytest.mark.slow
ROWS = [Encoded([3, 4, 5, 6], [7, EOS]), Encoded([8, 9], [10, 11, EOS])]


def deep_llama() -> LlamaForCausalLM:
    """Twelve layers of 2.9 M parameters, 11 MiB each; little else."""
    torch.manual_seed(0)
    ids = {"vocab_size": 64, "pad_token_id": PAD, "eos_token_id": EOS}
    return LlamaForCausalLM(
        LlamaConfig(hidden_size=512, intermediate_size=1280, num_hidden_layers=12, num_attention_heads=8, **ids)
    )


def walk(rank: int, processes: int, port: int) -> None:
    """A training step and an answer; what was seen is written down."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(processes))
    dist.init_process_group("gloo")
    module = FlixModule(deep_llama(), None, {}, toy_composer(), FeatureDropout(0.0), Optimization(1e-3), 1, 0)
    fill(module.banks, size=0.02)
    if processes > 1:
        shard_layers(module.backbone, init_device_mesh("cpu", (processes,)))
    seen, held = {"start": shared_out(module)}, []
    for bank in featurized_linears(module.backbone).values():
        bank.register_forward_pre_hook(lambda *_: held.append(held_here(module)))
        bank.register_full_backward_pre_hook(lambda *_: held.append(held_here(module)))
    module.active.set(module.composer.compose(CELLS[:2]))
    batch = training_batch(ROWS, PAD, False)
    loss = module.target_loss(batch, target_places(batch["labels"], False))
    seen["after a forward"] = shared_out(module)
    loss.backward()
    seen["after a backward"] = shared_out(module)
    seen["gradient"] = module.banks[3].lora_a.grad.norm().item()
    module.eval()
    seen["answers"] = new_tokens(module.backbone, generation_batch(ROWS, PAD, False), [6, 6], PAD, EOS).tolist()
    seen["after answers"] = shared_out(module)
    seen |= {"loss": loss.item(), "most": max(held)}
    Path(f"{processes}-{rank}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


def shared_out(module: FlixModule) -> float:
    """The share of the frozen linears that is shared out now."""
    weights = [bank.base.weight for bank in featurized_linears(module.backbone).values()]
    return sum(isinstance(weight, DTensor) for weight in weights) / len(weights)


def held_here(module: FlixModule) -> float:
    """The share of the frozen linears' numbers that this process holds now."""
    weights = [bank.base.weight for bank in featurized_linears(module.backbone).values()]
    here = sum((weight.to_local() if isinstance(weight, DTensor) else weight).numel() for weight in weights)
    return here / sum(weight.numel() for weight in weights)


def on(processes: int) -> list[dict]:
    port = free_port()
    started = [FORK.Process(target=walk, args=(rank, processes, port)) for rank in range(processes)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * processes
    return [json.loads(Path(f"{processes}-{rank}.json").read_text()) for rank in range(processes)]


def test_layers_are_whole_only_while_they_compute():
    (one,), two = on(1), on(2)
    for seen in two:
        assert [seen[at] for at in ("start", "after a forward", "after a backward", "after answers")] == [1] * 4
        assert seen["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert seen["gradient"] == pytest.approx(one["gradient"], rel=1e-4)
        assert seen["answers"] == one["answers"]
        assert seen["most"] < 0.65 < one["most"] == 1, "half of the frozen weights, and one layer's other half"
