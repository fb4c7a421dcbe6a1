"""Tiny random models of the named families, saved with tokenizers of the same habits, to be loaded like real ones."""

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    ByT5Tokenizer,
    Gemma3TextConfig,
    LlamaConfig,
    MT5Config,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    T5Config,
    T5GemmaConfig,
)

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA_CHAT = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LLAMA_CHAT = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
# family -> (is it an encoder-decoder, end of text, padding, begin of text that the tokenizer adds, does it add the end,
#            chat template, further special tokens)
HABITS = {
    "mt5": (True, "</s>", "<pad>", None, True, None, ()),
    "byt5": (True, "</s>", "<pad>", None, True, None, ()),
    "flan_t5": (True, "</s>", "<pad>", None, True, None, ()),
    "t5gemma": (True, "<eos>", "<pad>", "<bos>", False, GEMMA_CHAT, ("<start_of_turn>", "<end_of_turn>")),
    "gemma3": (False, "<eos>", "<pad>", "<bos>", False, GEMMA_CHAT, ("<start_of_turn>", "<end_of_turn>")),
    "qwen3": (False, "<|im_end|>", "<|endoftext|>", None, False, CHATML, ("<|im_start|>",)),
    "smollm2": (False, "<|endoftext|>", None, None, False, None, ()),
    "llama32": (False, "<|end_of_text|>", None, "<|begin_of_text|>", False, LLAMA_CHAT,
                ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
}  # fmt: skip
FAMILIES = tuple(HABITS)
CHATTY = tuple(family for family, habits in HABITS.items() if habits[5])
UNTIED = ("mt5", "byt5", "flan_t5")  # their output embedding is a matrix of its own
ENCODER_DECODERS = tuple(family for family, habits in HABITS.items() if habits[0])


@cache
def tiny_pretrained_tokenizer(family: str) -> PreTrainedTokenizerBase:
    """A byte-level BPE of a few hundred tokens with the family's special tokens; ByT5's own for ByT5."""
    if family == "byt5":
        return ByT5Tokenizer()
    _, end, padding, begin, adds_end, template, more = HABITS[family]
    special = [token for token in (padding, end, begin, *more) if token]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Parse Swahili: habari ya asubuhi", "user\nmodel\nassistant\n"] * 3, trainer)
    if begin or adds_end:
        single = " ".join(part for part in (begin, "$A", end if adds_end else None) if part)
        used = [token for token in (begin, end if adds_end else None) if token]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[(token, tokenizer.token_to_id(token)) for token in used]
        )
    names = {"eos_token": end, "pad_token": padding, "bos_token": begin}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=list(more),
        chat_template=template,
        **{name: token for name, token in names.items() if token},
    )


def tiny_config(family: str) -> PretrainedConfig:
    """Two layers, 16 wide."""
    tokenizer = tiny_pretrained_tokenizer(family)
    ids = {
        "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }  # fmt: skip
    decoder = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, **ids,
    }  # fmt: skip
    t5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "dropout_rate": 0.0, **ids}
    gated = {"feed_forward_proj": "gated-gelu", "decoder_start_token_id": tokenizer.pad_token_id, **t5}
    match family:
        case "mt5":
            return MT5Config(**gated)
        case "byt5" | "flan_t5":
            return T5Config(**gated)
        case "t5gemma":
            side = {**decoder, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
            return T5GemmaConfig(encoder=side, decoder=side, dropout_rate=0.0, **ids)
        case "gemma3":
            layers = ["sliding_attention", "full_attention"]
            return Gemma3TextConfig(**decoder, sliding_window=8, layer_types=layers)
        case "qwen3":
            return Qwen3Config(**decoder)
        case _:
            return LlamaConfig(**decoder, tie_word_embeddings=True)


def save_family(family: str, folder: Path) -> Path:
    """Model and tokenizer as `load_pretrained` finds them; the weights are wide enough for answers to differ."""
    torch.manual_seed(0)
    config = tiny_config(family)
    model = (AutoModelForSeq2SeqLM if HABITS[family][0] else AutoModelForCausalLM).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.3)
    if family in UNTIED:  # transformers 5 ties every T5 that it makes itself
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().flip(0).clone())
    model.save_pretrained(folder)
    tiny_pretrained_tokenizer(family).save_pretrained(folder)
    return folder
