"""A model cut to some tokens gives them the logits that the whole model gives them."""

import copy

import pytest
import torch
from torch import nn

from flix_lightning.common.errors import FlixError
from flix_lightning.models.vocabulary.weights import cut_weights, named_ids
from tests.toy import BOS, EOS, PAD, VOCAB, toy_t5
from tests.zoo import FAMILIES, family

FEW = ("llama", "gemma3_text", "gpt2", "opt", "phi", "xglm", "qwen2_moe", "bart", "m2m_100", "t5", "mt5")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES if name not in FEW]
KEPT = [PAD, EOS, BOS, *range(5, VOCAB - 1, 3)]
IDS = torch.tensor([[BOS, 5, 8, 11], [14, 17, 5, 20]])


def tied(name: str):
    """A family's model whose output layer is its embedding."""
    model = family(name)
    model.config.tie_word_embeddings = True
    model.get_output_embeddings().weight = model.get_input_embeddings().weight
    return model


def logits(model, ids: torch.Tensor) -> torch.Tensor:
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids.flip(0)
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.parametrize("made", [family, tied])
@pytest.mark.parametrize("name", [*FEW, *SLOW])
def test_the_logits_of_what_is_kept_stay(name, made):
    model = made(name)
    if (bias := getattr(model, "final_logits_bias", None)) is not None:
        bias.copy_(torch.arange(VOCAB) / 10)
    before, whole = logits(model, IDS)[..., KEPT], copy.deepcopy(model.state_dict())
    try:
        cut_weights(model, KEPT)
    except FlixError as refused:
        assert name == "fsmt" and "its output layer is no plain linear" in str(refused)
        return
    assert whole.keys() == model.state_dict().keys()
    new = torch.tensor([[KEPT.index(number) for number in row] for row in IDS.tolist()])
    torch.testing.assert_close(logits(model, new), before, rtol=1e-4, atol=1e-4)
    assert model.config.get_text_config().vocab_size == len(KEPT)
    shared = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert shared == (made is tied)
    assert model.get_output_embeddings().out_features == model.get_input_embeddings().num_embeddings == len(KEPT)


def test_the_tokens_that_a_model_names_move_with_it():
    model = family("llama")
    model.config.eos_token_id, model.config.pad_token_id = [EOS, 60], 60
    assert named_ids(model) == {PAD, EOS, BOS, 60}, "PAD in its generation_config"
    cut_weights(model, [PAD, EOS, BOS, 10, 20, 60])
    assert (model.config.eos_token_id, model.config.bos_token_id, model.config.pad_token_id) == ([EOS, 5], BOS, 5)


def test_a_model_that_reads_ids_in_another_way_is_refused():
    class Odd(nn.Embedding):
        def forward(self, ids):
            return super().forward(ids) * (1 + ids[..., None] % 7)

    model = toy_t5()
    odd = Odd(VOCAB, 32)
    odd.weight = model.shared.weight
    model.set_input_embeddings(odd)
    with pytest.raises(FlixError, match="T5ForConditionalGeneration cannot do without its other tokens: without them"):
        cut_weights(model, KEPT)
