"""The embedded model `tiny`: it knows the languages of `cldr` and many forms of output, not those of its tasks."""

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from flix_lightning.models.backbone import Backbone

FOLDER = Path(__file__).parent / "tiny"
WEIGHTS, VOCABULARY = FOLDER / "model.safetensors", FOLDER / "tokenizer.json"


def tiny_config() -> Qwen3Config:
    """Its shape. Attention is computed in plain matrix products: on a CPU at this size that is the fastest."""
    return Qwen3Config(  # type: ignore[call-arg]    # PreTrainedConfig's own
        vocab_size=4096,
        hidden_size=224,
        intermediate_size=576,
        num_hidden_layers=6,
        num_attention_heads=7,
        num_key_value_heads=7,
        head_dim=32,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
        name_or_path="tiny",
        attn_implementation="eager",
    )


def tiny_tokenizer(vocabulary: Tokenizer | None = None) -> PreTrainedTokenizerFast:
    """Byte-level BPE with padding and an end of text; of the package's vocabulary where none is given."""
    return PreTrainedTokenizerFast(
        tokenizer_object=vocabulary or _shipped_vocabulary(),
        pad_token="<pad>",
        eos_token="</s>",
        clean_up_tokenization_spaces=False,
        name_or_path="tiny",
    )


@cache
def _shipped_vocabulary() -> Tokenizer:
    return Tokenizer.from_file(str(VOCABULARY))


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
