"""Any transformers backbone, encoder-decoder or decoder-only, by name or local path."""

import os
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import is_bitsandbytes_available

from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Location, Text, checked
from flix_lightning.data.tokens.encoding import answer_end
from flix_lightning.models.backbone import Backbone
from flix_lightning.models.damage import check_whole, damage
from flix_lightning.models.precision import device_kind

Quantization = Literal["4bit", "8bit"]
LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID")  # a process's number on its machine: Lightning's and torchrun's; srun's


@checked("model")
def load_pretrained(
    name: Location,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    attention: Text | None = None,
    quantization: Quantization | None = None,
    chat_template: bool = False,
    vocabulary: Literal["all", "used"] = "all",
    revision: Text | None = None,
    trust_remote_code: bool = False,
) -> Backbone:
    """A pretrained model and its tokenizer.

    Args:
        name: on the model hub, or a local folder.
        dtype: of the frozen weights; of the products if these are quantized.
        attention: transformers' `attn_implementation`; its own choice when not given.
        quantization: `4bit` (NF4, double quantization) or `8bit`, by bitsandbytes; on a CPU too.
        chat_template: put each prompt into the tokenizer's chat template, as a user's turn.
        vocabulary: `used`: a run trains and is scored with the tokens that its data use, as `training.used_vocabulary`
            makes it; what is returned here has all.
        revision: branch, tag or commit on the hub.
        trust_remote_code: run the Python code that comes with the model.

    Raises:
        FlixError: the model cannot be found or read, or a setting is unknown or not possible here.
    """
    if vocabulary == "used" and quantization is not None:
        raise FlixError("model.vocabulary=used: not with quantized weights; set model.quantization=null.")
    weights = getattr(torch, dtype)
    quantized = None if quantization is None else _quantized(quantization, weights)
    name = str(Path(name).expanduser()) if name.startswith("~") else name
    source = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(name, **source)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model, found = kind.from_pretrained(  # type: ignore[misc]    # a pair, as output_loading_info asks
            name,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `check_whole` refuses them, and says which
            dtype=weights,
            attn_implementation=attention,
            quantization_config=quantized,
            device_map={"": own_device()} if quantized else None,
            **source,
        )
        loaded = AutoTokenizer.from_pretrained(name, **source)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever transformers and the model's own code raise
        raise FlixError(f"model.name {name!r} cannot be loaded: {_remedy(name, error)}") from error
    check_whole(name, model, found)
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # weights laid out for inference give no gradients afterwards
    tokenizer = _ready(loaded, name, chat_template)
    most = model.get_input_embeddings().num_embeddings
    if (last := max(tokenizer.get_vocab().values())) >= most:
        raise FlixError(
            f"model.name {name!r}: its tokenizer gives ids up to {last}, and the model has embeddings of {most} only; "
            "one of the two belongs to another model."
        )
    return Backbone(model, tokenizer)


def _ready(tokenizer: PreTrainedTokenizerBase, name: str, chat_template: bool) -> PreTrainedTokenizerBase:
    """Give the tokenizer a padding token, and the end of text that stands after an answer.

    Its chat template is kept only if requested: `encode` uses the tokenizer's.
    """
    if tokenizer.eos_token_id is None:
        raise FlixError(f"model.name {name!r}: its tokenizer has no end-of-text token; add eos_token to its config.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not chat_template:
        tokenizer.chat_template = None
    elif not tokenizer.chat_template:
        raise FlixError(f"model.chat_template: the tokenizer of {name!r} has none; set model.chat_template=false.")
    else:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(answer_end(tokenizer))
    return tokenizer


def own_device() -> str:
    """The device of this process, where quantized weights are put at once: they cannot all move later."""
    kind = device_kind()
    if kind != "cuda":
        return kind
    number = next((os.environ[name] for name in LOCAL_RANKS if name in os.environ), "0")
    return f"cuda:{int(number) % torch.cuda.device_count()}"  # 0 where each sees its own only


def check_device(model: PreTrainedModel, accelerator: str) -> None:
    """
    Raises:
        FlixError: weights that were put on a device when they were loaded, and a run on another kind of device.
    """
    wanted, there = device_kind(accelerator), model.device.type
    if there not in ("cpu", wanted):
        raise FlixError(
            f"trainer.accelerator={accelerator} is a {wanted}, and the model's weights lie on {model.device}, where "
            "quantized ones are put at once; set trainer.accelerator=auto or hide the GPU with CUDA_VISIBLE_DEVICES=-1."
        )


def _quantized(quantization: Quantization, dtype: torch.dtype) -> BitsAndBytesConfig:
    if not is_bitsandbytes_available():
        raise FlixError(
            f"model.quantization={quantization} needs bitsandbytes: pip install 'flix-lightning[quantized]'."
        )
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _remedy(name: str, error: Exception) -> str:
    """What to do about a model that does not load; by default the library's message."""
    message, cause = " ".join(str(error).split()), error.__cause__
    if found := damage(Path(name)):
        return found
    if name.startswith((".", "/", "~")) and not Path(name).is_dir():
        return "there is no such folder."
    if isinstance(cause, GatedRepoError):
        return f"accept its licence at https://huggingface.co/{name}, then log in with `hf auth login`."
    if isinstance(cause, RepositoryNotFoundError):
        return "the hub has no model of that name, or it is private; see https://huggingface.co/models."
    if isinstance(cause, LocalEntryNotFoundError):
        return (
            f"it is not in {constants.HF_HUB_CACHE}, and the hub cannot be reached. With a connection, "
            f"`hf download {name}` puts it there (HF_HUB_OFFLINE must be unset); or give a local folder as model.name."
        )
    if "trust_remote_code" in message:
        return (
            "it runs Python code of its own; if you trust its authors, set trust_remote_code=true, which is "
            "model.trust_remote_code=true for train and validate."
        )
    if isinstance(error, SafetensorError):
        return f"{message}. Its weights are not whole; `hf download {name} --force-download` gets them again."
    return message or type(error).__name__
