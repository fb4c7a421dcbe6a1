"""Training in a working set against training the whole banks: same losses, weights and moments; cost by rows alone."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.dropout import FeatureDropout
from flix_lightning.adapters.features import FeatureSpace
from flix_lightning.data.batches import TrainBatch
from flix_lightning.data.cells import Cell
from flix_lightning.data.tokens.encoding import IGNORE
from flix_lightning.data.tokens.places import target_places
from flix_lightning.models.backbone import Backbone
from flix_lightning.training.module import FlixModule
from flix_lightning.training.optimizer import Optimization
from tests.toy import ALLOCATION, CELLS, FLIX, TOYS, fill, toy_batch

ROWS = 4
STEPS = [CELLS[:4], [CELLS[0], CELLS[5], CELLS[0], CELLS[9]], CELLS[8:12], [Cell("qa", "fr"), *CELLS[1:4]]]


def made(family, languages=10, working=True, dropout=0.3, **settings):
    """A module over the toy cells and `languages` more that no step uses, and its optimizer."""
    cells = [*CELLS, *(Cell("qa", f"x{i:04d}") for i in range(languages))]
    composer = Composer(FLIX, FeatureSpace.of(cells, FLIX), ALLOCATION)
    module = FlixModule(
        *Backbone(TOYS[family](), None), {}, composer, FeatureDropout(dropout),
        Optimization(lr=0.05, weight_decay=0.1), max_steps=10, seed=0, **settings,
    )  # fmt: skip
    module.log = lambda *args, **options: None
    module.trainer = SimpleNamespace(world_size=1, accumulate_grad_batches=1)
    module.active.WIDE_UP_TO = 0
    fill(module.banks)
    if working:
        module.work_on(ROWS, width=7)
        assert (module.working is not None) == (ROWS * 7 < composer.total_rank)
    return module, module.configure_optimizers()["optimizer"]


@pytest.fixture(autouse=True)
def _plain_trainer(monkeypatch):
    """A module takes any object for its trainer."""
    monkeypatch.setattr(FlixModule, "trainer", None, raising=False)


def batch_of(module, cells, step, positions=None):
    positions = list(range(len(cells))) if positions is None else positions
    is_encoder_decoder = module.backbone.config.is_encoder_decoder
    inputs = toy_batch(module.backbone, rows=len(cells), seed=step)
    inputs["labels"] = inputs["labels"].clone()
    inputs["labels"][:, :2] = IGNORE
    targets = int((inputs["labels"] != IGNORE).sum())
    mine = {name: tensor[positions] for name, tensor in inputs.items()}
    places = target_places(mine["labels"], is_encoder_decoder)
    return TrainBatch(mine, step, list(cells), positions, targets, places)


def train(module, optimizer, steps=STEPS, micro=None):
    losses = []
    for step, cells in enumerate(steps):
        optimizer.zero_grad()
        parts = [None] if micro is None else [list(range(i, len(cells), micro)) for i in range(micro)]
        for part in parts:
            loss = module.training_step(batch_of(module, cells, step, part), 0)
            loss.backward()
            losses.append(loss.item())
        module.on_before_optimizer_step(optimizer)
        optimizer.step()
    return losses


def held(module, optimizer):
    """All factors and the optimizer's state of each, (name, tensor)."""
    state = optimizer.state_dict()["state"]
    factors = [factor for bank in module.banks for factor in (bank.lora_a, bank.lora_b)]
    return [*factors, *(tensor for number in sorted(state) for tensor in state[number].values())]


def assert_same(actual, expected):
    assert len(actual) == len(expected) > 0
    for one, other in zip(actual, expected):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=5e-5)


@pytest.mark.parametrize("family", TOYS)
def test_a_working_set_trains_what_the_whole_banks_train(family):
    whole, working = made(family, working=False), made(family)
    assert working[0].working and not whole[0].working
    torch.testing.assert_close(train(*working), train(*whole))
    assert_same(held(*working), held(*whole))


def test_micro_batches_share_the_working_set_of_their_step():
    one, two = made("llama"), made("llama")
    train(*one)
    train(*two, micro=2)
    assert_same(held(*two), held(*one))


def test_gradient_checkpointing_recomputes_with_the_same_rows():
    plain, again = made("llama"), made("llama")
    again[0].backbone.gradient_checkpointing_enable({"use_reentrant": False})
    train(*plain)
    train(*again)
    assert_same(held(*again), held(*plain))


def test_features_out_of_the_step_keep_every_bit():
    module, optimizer = made("llama", languages=50)
    train(module, optimizer, STEPS[:2])
    before = [tensor.clone() for tensor in held(module, optimizer)]
    train(module, optimizer, [STEPS[2]])
    rows = module.active_rows.tolist()
    still = [row for row in range(module.composer.total_rank) if row not in rows]
    moved = 0
    for one, other in zip(held(module, optimizer), before):
        assert torch.equal(one[still], other[still])
        moved += not torch.equal(one[rows], other[rows])
    assert moved == len(before)


def test_state_of_the_optimizer_goes_from_whole_banks_to_a_working_set():
    whole, working = made("llama", working=False), made("llama")
    train(*whole, STEPS[:2])
    working[1].load_state_dict(deepcopy(whole[1].state_dict()))
    for ours, theirs in zip(working[0].banks, whole[0].banks):
        ours.lora_a.data.copy_(theirs.lora_a)
        ours.lora_b.data.copy_(theirs.lora_b)
    train(*whole, STEPS[2:])
    train(*working, STEPS[2:])
    assert_same(held(*working), held(*whole))


def test_rows_that_do_not_fit_are_refused():
    module, _ = made("llama", working=False)
    module.work_on(1, width=7)
    with pytest.raises(ValueError, match="do not fit into a working set of 7"):
        module.training_step(batch_of(module, CELLS[:4], 0), 0)


class Watched(TorchDispatchMode):
    """Counts operations and the numbers they write to new memory, and refuses what makes a GPU wait."""

    WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.item", "aten.unique")

    def __init__(self, allowed=()):
        super().__init__()
        self.operations, self.written, self.waits, self.allowed = 0, 0, [], allowed

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.operations += 1
        if isinstance(result, torch.Tensor) and not function.is_view and not any(result is given for given in args):
            self.written += result.numel()
        if str(function).startswith(self.WAITS) or "index.Tensor" in str(function) and _asks(args):
            self.waits.append(str(function))
        return result


def _asks(args):
    """Whether an index is a mask, the size of whose result only the device knows."""
    return any(index is not None and index.dtype == torch.bool for index in args[1])


def cost(languages):
    module, optimizer = made("llama", languages=languages)
    train(module, optimizer, STEPS[:2])  # the optimizer's state is there
    watched = Watched()
    with watched:
        train(module, optimizer, [STEPS[2]])
    return watched


def test_a_step_costs_the_same_with_a_thousand_features():
    few, many = cost(40), cost(1000)
    assert many.operations == few.operations
    assert many.written == few.written


def test_a_step_of_the_model_waits_for_nothing():
    module, optimizer = made("llama", languages=40)
    batch = batch_of(module, STEPS[0], 0)
    whole = module.composer.compose(batch.global_cells)
    module.active.set(module.working.load(whole), working=True)
    module.active_rows = whole.index.unique()
    watched, bare = Watched(), Watched()
    with watched:
        module.target_loss(batch.inputs, batch.places).backward()
        module.on_before_optimizer_step(optimizer)
        optimizer.step()
    with bare:
        TOYS["llama"]()(input_ids=batch.inputs["input_ids"], use_cache=False)
    assert watched.operations > 5 * len(module.banks)
    assert watched.waits == bare.waits, "transformers looks at positions when it makes a mask; nothing else may wait"


@pytest.mark.slow
def test_compiled_whole_and_once_while_features_change():
    from torch._dynamo.testing import CompileCounter

    module, optimizer = made("llama", languages=40)
    eager = made("llama", languages=40)
    counter = CompileCounter()
    module.backbone.forward = torch.compile(module.backbone.forward, backend=counter, fullgraph=True, dynamic=False)
    steps = STEPS[:3]
    torch.testing.assert_close(train(module, optimizer, steps), train(*eager, steps))
    assert counter.frame_count == 1, "a graph broke, or was compiled again"
