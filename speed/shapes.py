"""The backbones that speed is measured on, randomly initialised, and a batch for each."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)  # fmt: skip

from flix_lightning.common.errors import unknown
from flix_lightning.data.tokens.encoding import IGNORE
from flix_lightning.models.tiny import tiny_config
from flix_lightning.models.tiny_bytes import byte_tokenizer, tiny_bytes_config

PAD, EOS = 0, 1


@dataclass(frozen=True)
class Shape:
    """A backbone's name and the batch it is measured with: rows, tokens a row, the last `targets` of them targets.

    `features` are the numbers of features that its banks are measured with; larger ones take many GiB. `large` ones are
    measured on a GPU, unless they are asked for.
    """

    name: str
    rows: int
    length: int
    targets: int
    features: tuple[int, ...] = (8, 1024)
    large: bool = False

    def backbone(self) -> PreTrainedModel:
        """A fresh one; the same weights every time."""
        torch.manual_seed(0)
        return BACKBONES[self.name]()

    def batch(self, is_encoder_decoder: bool, vocabulary: int) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask`, `labels` of random tokens."""
        draw = torch.Generator().manual_seed(1)
        ids = torch.randint(3, vocabulary, (self.rows, self.length), generator=draw)
        labels = ids.clone()
        labels[:, : self.length - self.targets] = IGNORE
        if is_encoder_decoder:
            labels = ids[:, : self.targets].clone()
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def _mt5_small() -> PreTrainedModel:
    return MT5ForConditionalGeneration(MT5Config(decoder_start_token_id=PAD))  # its defaults are mT5-small's


def _smollm2_135m() -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, tie_word_embeddings=True, max_position_embeddings=2048,
        pad_token_id=PAD, eos_token_id=EOS, bos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def _qwen3_06b() -> PreTrainedModel:
    config = Qwen3Config(
        vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
        num_key_value_heads=8, head_dim=128, tie_word_embeddings=True, max_position_embeddings=40960,
        pad_token_id=PAD, eos_token_id=EOS, bos_token_id=None,
    )  # fmt: skip
    return Qwen3ForCausalLM(config)


def _tiny() -> PreTrainedModel:
    return Qwen3ForCausalLM(tiny_config())


def _tiny_bytes() -> PreTrainedModel:
    return Qwen3ForCausalLM(tiny_bytes_config())


BACKBONES = {
    "tiny": _tiny,
    "tiny_bytes": _tiny_bytes,
    "mt5_small": _mt5_small,
    "smollm2_135m": _smollm2_135m,
    "qwen3_0.6b": _qwen3_06b,
}
SHAPES = {
    shape.name: shape
    for shape in (
        Shape("tiny", 32, 48, 16),
        Shape("tiny_bytes", 32, 112, 32, (8, 64, 512, 1024, 4096)),
        Shape("mt5_small", 8, 64, 16),
        Shape("smollm2_135m", 8, 48, 16),
        Shape("qwen3_0.6b", 32, 128, 32, large=True),
    )
}


def measured_on(kind: str) -> list[str]:
    """The shapes that are measured on a kind of device if none is named."""
    return [name for name, shape in SHAPES.items() if kind == "cuda" or not shape.large]


def shape_named(name: str) -> Shape:
    """
    Raises:
        FlixError: no such shape.
    """
    if name not in SHAPES:
        raise unknown("shape", name, SHAPES)
    return SHAPES[name]


def tokenizer():
    """Any with an end and a padding token; nothing is tokenised."""
    return byte_tokenizer()
