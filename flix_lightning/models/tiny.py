"""The embedded model `tiny`: a byte-level decoder that has seen the tasks of `cldr`, not its languages."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import ByT5Tokenizer, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from flix_lightning.models.backbone import Backbone

WEIGHTS = Path(__file__).parent / "tiny" / "model.safetensors"


def tiny_config() -> Qwen3Config:
    """Its shape. Attention is computed in plain matrix products: on a CPU at this size that is the fastest."""
    tokenizer = tiny_tokenizer()
    return Qwen3Config(  # type: ignore[call-arg]    # PreTrainedConfig's own
        vocab_size=384,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=6,
        num_key_value_heads=6,
        head_dim=32,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        name_or_path="tiny",
        attn_implementation="eager",
    )


def tiny_tokenizer() -> ByT5Tokenizer:
    """ByT5's byte vocabulary, which needs no file."""
    return ByT5Tokenizer()


def untrained_tiny(seed: int) -> PreTrainedModel:
    """The shape with fresh weights."""
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(tiny_config())


def load_tiny() -> Backbone:
    """The model as shipped: weights in bfloat16 on disk, float32 in memory."""
    model = Qwen3ForCausalLM(tiny_config())
    state = {name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}
    model.load_state_dict({**state, "lm_head.weight": state["model.embed_tokens.weight"]})
    return Backbone(model.eval(), tiny_tokenizer())
