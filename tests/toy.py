"""Toy objects for tests: backbones of both families with random weights, a 3 x 4 grid of cells, filled adapters."""

from collections.abc import Iterable

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, T5Config, T5ForConditionalGeneration

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.features import FeatureSpace, Featurizer
from flix_lightning.adapters.injection import inject
from flix_lightning.adapters.layer import FeaturizedLinear
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.data.cells import Cell

VOCAB = 64
PAD, EOS, BOS = 0, 1, 2
TASKS = ("ner", "parse", "qa")
LANGUAGES = ("am", "bn", "sw", "yo")
CELLS = [Cell(task, language) for task in TASKS for language in LANGUAGES]
FLIX = Featurizer(("task", "language"))
# Unequal on purpose: 3 for a task, 2 for a language, 4 for Yoruba.
ALLOCATION = RankAllocation({"task": 3, "language": 2}, {"language=yo": 4})
RANKS = {
    "task=ner": 3, "task=parse": 3, "task=qa": 3,
    "language=am": 2, "language=bn": 2, "language=sw": 2, "language=yo": 4,
}  # fmt: skip


def toy_t5(seed: int = 0) -> T5ForConditionalGeneration:
    """An encoder-decoder of two layers without dropout, in evaluation mode."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=VOCAB, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=2, num_heads=4,
        dropout_rate=0.0, feed_forward_proj="gated-gelu",
        pad_token_id=PAD, eos_token_id=EOS, decoder_start_token_id=PAD,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).float().eval()


def toy_llama(seed: int = 0) -> LlamaForCausalLM:
    """A decoder of two layers with grouped keys and values, in evaluation mode."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False,
        pad_token_id=PAD, eos_token_id=EOS, bos_token_id=BOS,
    )  # fmt: skip
    return LlamaForCausalLM(config).float().eval()


TOYS = {"t5": toy_t5, "llama": toy_llama}


def toy_composer(featurizer: Featurizer = FLIX, allocation: RankAllocation = ALLOCATION) -> Composer:
    return Composer(featurizer, FeatureSpace.of(CELLS, featurizer), allocation)


def toy_batch(backbone: PreTrainedModel, rows: int, length: int = 7, seed: int = 0) -> dict[str, Tensor]:
    """Random token ids with labels; no two rows alike, no padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCAB, (rows, length), generator=generator)
    labels = torch.randint(3, VOCAB, (rows, 5), generator=generator) if backbone.config.is_encoder_decoder else ids
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def force_path(active: ActiveComposition, path: str) -> ActiveComposition:
    """Make a holder choose the `wide` or the `gathered` computation whatever the sizes."""
    active.WIDE_UP_TO = {"wide": 10**9, "gathered": 0}[path]
    return active


def fill(banks: Iterable[FeaturizedLinear], size: float = 0.2, seed: int = 1) -> None:
    """Give every factor random values, as if it had been trained: a fresh `lora_b` is zero and hides mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for bank in banks:
            for factor in (bank.lora_a, bank.lora_b):
                factor.copy_(size * torch.randn(factor.shape, generator=generator))


def toy_flix(family: str, path: str = "gathered", **options) -> tuple[PreTrainedModel, ActiveComposition, Composer]:
    """A toy backbone with filled FLix adapters, its holder and its composer."""
    backbone, composer = TOYS[family](), toy_composer()
    active = force_path(ActiveComposition(composer.total_rank), path)
    fill(inject(backbone, composer.total_rank, active, **options))
    return backbone, active, composer
