"""Lengths against a model's table of positions: what is allowed runs, one more is refused before anything runs."""

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    GPTJConfig,
    GPTJForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MarianConfig,
    MarianMTModel,
    OPTConfig,
    OPTForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.injection import inject
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.tasks import Task
from flix_lightning.inference.model import FlixModel
from flix_lightning.models.backbone import Backbone
from flix_lightning.models.positions import check_positions, positions
from flix_lightning.models.tiny_bytes import byte_tokenizer
from flix_lightning.training.assembly import build_experiment
from tests.configs import SMALL, composed, small_benchmark
from tests.toy import CELLS, toy_composer

MOST = 64
IDS = {"vocab_size": 384, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
SEQ2SEQ = {
    **IDS, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "decoder_start_token_id": 0,
    "forced_eos_token_id": None,
}  # fmt: skip
SMALL_ONE = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": MOST}
OPT = {"hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "word_embed_proj_dim": 16}
LLAMA = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
MODELS = {
    "bart": lambda: BartForConditionalGeneration(BartConfig(**SEQ2SEQ, max_position_embeddings=MOST)),
    "marian": lambda: MarianMTModel(MarianConfig(**SEQ2SEQ, max_position_embeddings=MOST)),
    "opt": lambda: OPTForCausalLM(OPTConfig(**IDS, **OPT, max_position_embeddings=MOST)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**IDS, **SMALL_ONE)),
    "gptj": lambda: GPTJForCausalLM(GPTJConfig(**IDS, **SMALL_ONE, rotary_dim=4)),
}
ENDLESS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**IDS, **LLAMA, max_position_embeddings=MOST)),
    "t5": lambda: T5ForConditionalGeneration(T5Config(**{**IDS, **T5})),
}


def runs(model, length: int) -> bool:
    ids = torch.ones(1, length, dtype=torch.long)
    try:
        with torch.no_grad():
            model(input_ids=ids, **({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}))
    except (IndexError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize("kind", MODELS)
def test_positions_are_those_that_the_model_runs_with(kind):
    model = MODELS[kind]().eval()
    assert positions(model) == MOST and runs(model, MOST) and not runs(model, MOST + 1)


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_model_that_computes_positions_has_no_end(kind):
    model = ENDLESS[kind]().eval()
    assert positions(model) is None and runs(model, 3 * MOST)
    check_positions(model, [Task("t", "{text}", "f1", 8)], 4096)


@pytest.mark.parametrize("kind", MODELS)
def test_limits_beyond_the_positions_are_refused_with_the_largest_that_fit(kind):
    model = MODELS[kind]()
    tasks, fits = (
        [Task("s", "{text}", "f1", 4), Task("t", "{text}", "f1", 16)],
        64 if kind in ("bart", "marian") else 48,
    )
    check_positions(model, tasks, fits)
    with pytest.raises(FlixError, match=f"data.max_prompt_tokens: {fits + 1}.* {MOST} positions.* {fits} fit"):
        check_positions(model, tasks, fits + 1)
    with pytest.raises(FlixError, match="benchmark.tasks.t.max_target_tokens: 65"):
        check_positions(model, [Task("t", "{text}", "f1", 65)], 4)


def test_training_is_refused_before_it_starts():
    with pytest.raises(FlixError, match="translation.max_target_tokens: 100; .* 64 positions"):
        build_experiment(composed(*SMALL), small_benchmark(), Backbone(MODELS["opt"](), byte_tokenizer()))


@pytest.mark.parametrize("kind", ["bart", "opt"])
def test_an_answer_that_does_not_fit_is_refused(kind):
    backbone, composer = Backbone(MODELS[kind]().eval(), byte_tokenizer()), toy_composer()
    inject(backbone.model, composer.total_rank, ActiveComposition(composer.total_rank))
    bank = Bank.of(backbone.model, composer, {"ner": Task("ner", "{input}", "f1", 8)}, CELLS)
    model = FlixModel(Backbone(MODELS[kind]().eval(), byte_tokenizer()), bank, device="cpu")
    assert len(model.generate("a" * 20, "ner", "sw")) == 1
    for text, options in (("a" * 80, {}), ("a" * 20, {"max_new_tokens": 70})):
        with pytest.raises(FlixError, match="64 positions"):
            model.generate(text, "ner", "sw", **options)
    assert model.cell("ner", "sw") == Cell("ner", "sw")
