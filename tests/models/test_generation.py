"""Generation with rows leaving as they end, against transformers' own on the whole batch and on each row alone."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from flix_lightning.adapters.composition import Composition
from flix_lightning.common.errors import FlixError
from flix_lightning.models import generation
from flix_lightning.models.generation import new_tokens
from flix_lightning.models.next_token import Sampling
from tests.toy import CELLS, EOS, PAD, TOYS, VOCAB, toy_batch, toy_composer, toy_flix

ROWS, NEW = 9, 20


def prompts(backbone):
    """Prompts of several lengths, padded on the side that the family generates from."""
    batch = toy_batch(backbone, rows=ROWS, length=8)
    for row in range(ROWS):
        cut = slice(8 - row % 4, None) if backbone.config.is_encoder_decoder else slice(0, row % 4)
        batch["input_ids"][row, cut], batch["attention_mask"][row, cut] = PAD, 0
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def whole_batch(backbone, inputs, eos=EOS):
    tokens = backbone.generate(
        **inputs, max_new_tokens=NEW, do_sample=False, num_beams=1, pad_token_id=PAD, eos_token_id=eos
    )
    new = tokens[:, 1 if backbone.config.is_encoder_decoder else inputs["input_ids"].shape[1] :]
    return torch.nn.functional.pad(new, (0, NEW - new.shape[1]), value=PAD)


def generated(backbone, inputs, eos, limits=(NEW,) * ROWS):
    tokens = new_tokens(backbone, inputs, limits, PAD, eos)
    return torch.nn.functional.pad(tokens, (0, NEW - tokens.shape[1]), value=PAD)


def lengths_of(tokens, eos):
    """(rows,), the end token included."""
    ended = (tokens == eos).cumsum(dim=1) - (tokens == eos).int()
    return (ended == 0).sum(dim=1)


def ending_one_after_the_other(family):
    """A model, prompts, and the token that ends the most rows at different places when it is taken for the end."""
    backbone, active, composer = toy_flix(family)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.mul_(2.0)  # a fresh model repeats one token for ever
    active.set(composer.compose(CELLS[:ROWS]))
    inputs = prompts(backbone)
    endless = whole_batch(backbone, inputs, eos=VOCAB + 1)
    eos = max(range(3, VOCAB), key=lambda token: len(lengths_of(endless, token).unique()))
    expected = whole_batch(backbone, inputs, eos)
    assert len(lengths_of(expected, eos).unique()) >= 3, "the rows end together: nothing is tested"
    return backbone, active, inputs, eos, expected


@pytest.mark.parametrize("family", TOYS)
@pytest.mark.parametrize("segment", [1, 3, 64])
@pytest.mark.parametrize("leave", [0, 1 / 4, 1])
def test_the_tokens_are_those_of_the_whole_batch(family, segment, leave, monkeypatch):
    monkeypatch.setattr(generation, "LOOK", segment)
    monkeypatch.setattr(generation, "LEAVE", leave)
    backbone, active, inputs, eos, expected = ending_one_after_the_other(family)
    composition = active.current
    assert torch.equal(generated(backbone, inputs, eos), expected)
    assert active.current is composition, "the composition is left as it was"


@pytest.mark.parametrize("family", TOYS)
def test_rows_that_have_ended_are_computed_no_more(family, monkeypatch):
    monkeypatch.setattr(generation, "LOOK", 2)
    monkeypatch.setattr(generation, "LEAVE", 0)
    backbone, _, inputs, eos, expected = ending_one_after_the_other(family)
    lengths, sizes = lengths_of(expected, eos), []
    backbone.get_output_embeddings().register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    generated(backbone, inputs, eos)
    assert sizes == [int((lengths > step - step % 2).sum()) for step in range(len(sizes))]


@pytest.mark.parametrize("family", TOYS)
def test_the_output_embedding_is_not_multiplied_row_by_row(family):
    """PyTorch takes a slice's rows one by one, and copies the weight for each."""
    backbone, active, composer = toy_flix(family)
    active.set(composer.compose(CELLS[:ROWS]))
    pieces = []

    class Products(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function.overloadpacket is torch.ops.aten.linear and len(args[1]) == VOCAB:
                pieces.append(args[0].is_contiguous())
            return function(*args, **(kwargs or {}))

    with Products():
        generated(backbone, prompts(backbone), EOS)
    assert pieces and all(pieces)


def test_one_composition_for_all_rows_stays():
    backbone, active, composer = toy_flix("llama")
    active.set(composer.compose(CELLS[:1]))
    inputs = prompts(backbone)
    one = active.current
    active.set(Composition(one.index.expand(ROWS, -1), one.weight.expand(ROWS, -1)))
    expected = whole_batch(backbone, inputs)
    active.set(one)
    assert torch.equal(generated(backbone, inputs, EOS), expected)


# --- an answer does not depend on its neighbours ---


@pytest.mark.parametrize("family", TOYS)
def test_every_row_ends_at_its_own_limit(family):
    backbone, _, inputs, eos, whole = ending_one_after_the_other(family)
    limits = [1 + 5 * row % NEW for row in range(ROWS)]
    expected = whole.clone()
    for row, limit in enumerate(limits):
        expected[row, limit:] = PAD
    assert torch.equal(generated(backbone, inputs, eos, limits), expected)


CASES = {}  # family -> what `ending_one_after_the_other` gives, and each row's answer alone


def case(family):
    if family not in CASES:
        backbone, active, inputs, eos, _ = ending_one_after_the_other(family)
        alone = []
        for row in range(ROWS):
            kept = inputs["attention_mask"][row].bool()
            active.set(toy_composer().compose(CELLS[row : row + 1]))
            one = {name: tensor[row : row + 1, kept] for name, tensor in inputs.items()}
            alone.append(generated(backbone, one, eos, [NEW])[0])
        CASES[family] = backbone, active, inputs, eos, alone
    return CASES[family]


@pytest.mark.parametrize("family", TOYS)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_any_rows_in_any_order_are_answered_as_each_alone(family, data):
    backbone, active, inputs, eos, alone = case(family)
    rows = data.draw(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=ROWS))
    limits = data.draw(st.lists(st.integers(1, NEW), min_size=len(rows), max_size=len(rows)))
    active.set(toy_composer().compose([CELLS[row] for row in rows]))
    found = generated(backbone, {name: tensor[rows] for name, tensor in inputs.items()}, eos, limits)
    for got, row, limit in zip(found, rows, limits, strict=True):
        assert got[:limit].tolist() == alone[row][:limit].tolist()
        assert got[limit:].eq(PAD).all()


@pytest.mark.parametrize("family", TOYS)
def test_a_model_s_own_generation_settings_are_not_followed(family):
    backbone, _, inputs, eos, expected = ending_one_after_the_other(family)
    own = backbone.generation_config
    own.repetition_penalty, own.no_repeat_ngram_size, own.suppress_tokens = 5.0, 1, [expected[0, 0].item()]
    own.forced_bos_token_id = own.forced_eos_token_id = 7
    own.max_length, own.min_new_tokens, own.num_beams, own.do_sample = 3, 15, 4, True
    assert torch.equal(generated(backbone, inputs, eos), expected)


@pytest.mark.parametrize("family", TOYS)
def test_a_model_without_a_cache_reads_everything_again_and_says_so(family, monkeypatch):
    monkeypatch.setattr(generation, "key_values", lambda backbone: None)
    backbone, _, inputs, eos, expected = ending_one_after_the_other(family)
    with pytest.warns(UserWarning, match="is slow"):
        assert torch.equal(generated(backbone, inputs, eos), expected)


# --- drawn answers ---


def by_hand(logits, temperature, top_p):
    """Probabilities of the tokens that may be drawn, (vocabulary,), one token after the other."""
    likely = torch.softmax(logits / temperature, 0)
    kept, held = torch.zeros_like(likely), 0.0
    for token in sorted(range(len(logits)), key=lambda token: -likely[token]):
        if held < top_p:
            kept[token], held = likely[token], held + likely[token].item()
    return kept / kept.sum()


@pytest.mark.parametrize("temperature, top_p", [(1.0, 1.0), (0.5, 0.9), (3.0, 0.6), (1.0, 1e-6)])
def test_tokens_are_drawn_as_often_as_their_probability_says(temperature, top_p):
    logits = torch.tensor([0.3, 2.0, -1.0, 1.5, 0.0, -4.0])
    uniform = (torch.arange(20000) + 0.5) / 20000
    drawn = Sampling(temperature, top_p).pick(logits.expand(20000, -1), uniform)
    shares = torch.bincount(drawn, minlength=6) / 20000
    torch.testing.assert_close(shares, by_hand(logits, temperature, top_p), rtol=0, atol=2e-4)


def test_little_temperature_draws_the_likeliest():
    logits = torch.randn(50, 30, generator=torch.Generator().manual_seed(0))
    drawn = Sampling(1e-4).choose([str(row) for row in range(50)])(logits, range(50))
    assert torch.equal(drawn, logits.argmax(1))


@pytest.mark.parametrize("family", TOYS)
def test_a_drawn_answer_follows_from_its_name_and_the_seed(family):
    backbone, active, inputs, eos, _ = case(family)
    order = random.Random(0).sample(range(ROWS), ROWS)

    def drawn(rows, seed):
        active.set(toy_composer().compose([CELLS[row] for row in rows]))
        choose = Sampling(1.0, 0.95, seed).choose([f"row {row}" for row in rows])
        tokens = new_tokens(backbone, {k: v[rows] for k, v in inputs.items()}, [NEW] * len(rows), PAD, eos, choose)
        return {row: answer[answer != PAD].tolist() for row, answer in zip(rows, tokens)}

    whole = drawn(range(ROWS), seed=3)
    assert drawn(order, seed=3) == whole
    assert {row: drawn([row], seed=3)[row] for row in range(3)} == {row: whole[row] for row in range(3)}
    assert drawn(range(ROWS), seed=4) != whole


@pytest.mark.parametrize("bad", [{"temperature": 0}, {"temperature": float("inf")}, {"top_p": 0}, {"top_p": 1.1}])
def test_settings_out_of_their_range_are_refused(bad):
    with pytest.raises(FlixError, match=next(iter(bad))):
        Sampling(**bad)
