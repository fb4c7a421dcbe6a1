"""What a model config gives: a transformers model with its tokenizer."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flix_lightning.adapters.bank import Bank
from flix_lightning.common.errors import FlixError
from flix_lightning.common.targets import Trust, construct
from flix_lightning.data.tokens.encoding import encode, training_batch

EMBEDDED = {name: f"flix_lightning.models.{name}.load_{name}" for name in ("tiny", "tiny_bytes")}
PRETRAINED = "flix_lightning.models.pretrained.load_pretrained"


class Backbone(NamedTuple):
    """A transformers model, encoder-decoder or decoder-only, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def tokens(self) -> int:
        """Those that the model has embeddings of."""
        return self.model.get_input_embeddings().num_embeddings  # type: ignore[return-value]    # of nn.Embedding

    def training_batch(self, prompts: Sequence[str], targets: Sequence[str]) -> dict[str, Tensor]:
        """What `model` reads to be trained on `targets`, (rows, length) each, as in a run; nothing is cut.

        `model(**batch).loss` is then the mean cross-entropy of all target tokens.
        """
        is_encoder_decoder = self.model.config.is_encoder_decoder
        rows = encode(self.tokenizer, prompts, targets, is_encoder_decoder)
        batch = training_batch(rows, self.tokenizer.pad_token_id, is_encoder_decoder)
        return {name: tensor.to(self.model.device) for name, tensor in batch.items()}


def load_backbone(section: Mapping[str, Any], trust: Trust = ()) -> Backbone:
    """The backbone of a config's `model` section.

    Args:
        trust: see `construct`; by default the section may name this project's classes only.

    Raises:
        FlixError: the section names no model, or one that does not load.
    """
    return construct("model", section, Backbone, trust)


def stored_backbone(section: Mapping[str, Any], trust_remote_code: bool, trust: Trust = ()) -> Backbone:
    """The backbone of a finished run; the user decides anew whether to trust a model's own Python code.

    Raises:
        FlixError: the model brings code, and `trust_remote_code` is false.
    """
    if section.get("trust_remote_code") and not trust_remote_code:
        raise FlixError(
            f"model {section.get('name')!r} of this run brings Python code of its own; if you trust its authors, set "
            "trust_remote_code=true."
        )
    return load_backbone(section, trust)


def bank_section(bank: Bank) -> Mapping[str, Any]:
    """The `model` section of the backbone that a bank was trained on; by its name where the bank does not hold it.

    Raises:
        FlixError: it has no name either.
    """
    if bank.model is not None:
        return bank.model
    if not bank.backbone:
        raise FlixError("bank: it does not name its backbone; load that yourself and use FlixModel.from_bank.")
    name = bank.backbone
    return {"_target_": EMBEDDED[name]} if name in EMBEDDED else {"_target_": PRETRAINED, "name": name}
