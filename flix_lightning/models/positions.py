"""The longest inputs of models with a table of positions; longer ones would end in an IndexError."""

from collections.abc import Iterable

from torch import nn
from transformers import PreTrainedModel

from flix_lightning.common.errors import FlixError
from flix_lightning.data.tasks import Task
from flix_lightning.data.tokens.encoding import padded

TABLES = ("embed_positions", "position_embeddings", "wpe")  # in transformers' models


def positions(model: PreTrainedModel) -> int | None:
    """The positions of the model's smallest table; None for one that computes them (rotary, relative, ALiBi)."""
    modules = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.Embedding)]
    found = [part.num_embeddings - (getattr(part, "offset", 0) or 0) for name, part in modules if is_table(name)]
    found += [len(buffer) for name, buffer in model.named_buffers() if is_table(name) and buffer.ndim == 2]
    return min(found, default=None)


def check_positions(model: PreTrainedModel, tasks: Iterable[Task], max_prompt_tokens: int) -> None:
    """
    Raises:
        FlixError: the longest prompt and answer allowed do not fit into the model's positions.
    """
    most, longest = positions(model), max(tasks, key=lambda task: task.max_target_tokens)
    if most is None:
        return
    together = 0 if model.config.is_encoder_decoder else longest.max_target_tokens
    name = model.config.name_or_path
    if padded(longest.max_target_tokens) > most or most - together < 1:
        raise FlixError(
            f"benchmark.tasks.{longest.name}.max_target_tokens: {longest.max_target_tokens}; model {name!r} has {most} "
            "positions only."
        )
    if padded(max_prompt_tokens + together) > most:
        raise FlixError(
            f"data.max_prompt_tokens: {max_prompt_tokens}"
            + (f", and {together} tokens of an answer to task {longest.name!r} after them" if together else "")
            + f"; model {name!r} has {most} positions only. At most {_largest(most) - together} fit."
        )


def check_width(model: PreTrainedModel, prompt: int, answer: int) -> None:
    """
    Raises:
        FlixError: a prompt and an answer of these lengths do not fit into the model's positions.
    """
    most = positions(model)
    width = max(padded(prompt), answer) if model.config.is_encoder_decoder else padded(prompt) + answer
    if most is not None and width > most:
        raise FlixError(
            f"model {model.config.name_or_path!r} has {most} positions; prompts of {prompt} tokens and answers of up "
            f"to {answer} do not fit. Set a smaller max_new_tokens, or shorten the texts."
        )


def is_table(name: str) -> bool:
    return name.rpartition(".")[2] in TABLES


def _largest(most: int) -> int:
    """The largest width of a batch that is rounded up to at most `most`."""
    return next(width for width in range(most, 0, -1) if padded(width) <= most)
