"""A tokenizer with fewer tokens that splits the texts it is meant for as before; for those of the tokenizers library.

Why it does: what chose the tokens of such a text is still there, and whatever else is left was there before and was not
chosen. BPE applies the same merges in the same order, Unigram finds the same likeliest path (its least likely piece
stays, on which the cost of an unknown character depends), WordPiece the same longest pieces.
"""

import copy
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerBase

from flix_lightning.common.errors import FlixError

KINDS = ("BPE", "Unigram", "WordPiece", "WordLevel")
BASIC = {*pre_tokenizers.ByteLevel.alphabet(), *map(chr, range(128)), "▁", *(f"<0x{byte:02X}>" for byte in range(256))}
Rules = Mapping[str, Any]  # what the tokenizers library writes of one, as JSON


def kept_ids(tokenizer: PreTrainedTokenizerBase, used: Collection[int]) -> list[int]:
    """The ids that a smaller tokenizer has, in order: used ones, what leads to them, bytes, ASCII, special tokens.

    Args:
        used: those of texts, and any that a model needs, with a token or without.

    Raises:
        FlixError: a tokenizer of another library, or of an unknown kind.
    """
    rules, vocabulary = _rules(tokenizer), tokenizer.get_vocab()
    names = {number: token for token, number in vocabulary.items()}
    whole = BASIC | set(tokenizer.all_special_tokens)  # of no parts
    wanted = {names[number] for number in used if number in names}
    model, more = rules["model"], [number for number in used if number not in names]
    if model["type"] == "BPE":
        ranks = {(left, right): rank for rank, (left, right) in enumerate(model["merges"])}
        wanted |= {part for token in wanted - whole for part in _way(token, ranks)}
    elif model["type"] == "Unigram":
        scores = [score for _, score in model["vocab"]]
        more += [scores.index(min(scores)), *([] if model["unk_id"] is None else [model["unk_id"]])]
    _renumbered(rules["post_processor"], lambda number: more.append(number) or number)
    unknown = model.get("unk_token")
    return sorted({vocabulary[token] for token in {*wanted, *whole, unknown} if token in vocabulary} | set(more))


def smaller(tokenizer: PreTrainedTokenizerBase, kept: Sequence[int]) -> PreTrainedTokenizerBase:
    """The tokenizer with only the tokens `kept`, as returned by `kept_ids`; token `kept[i]` has the id i.

    Raises:
        FlixError: its library gives its tokens other ids.
    """
    rules, new = _rules(tokenizer), {old: number for number, old in enumerate(kept)}
    model = rules["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [piece for number, piece in enumerate(model["vocab"]) if number in new]
        model["unk_id"] = new.get(model["unk_id"])
    else:
        model["vocab"] = {token: new[number] for token, number in model["vocab"].items() if number in new}
    if model["type"] == "BPE":
        there = model["vocab"].keys()
        model["merges"] = [pair for pair in model["merges"] if {*pair, "".join(pair)} <= there]
    rules["added_tokens"] = [{**t, "id": new[t["id"]]} for t in rules["added_tokens"] if t["id"] in new]
    rules["post_processor"] = _renumbered(rules["post_processor"], new.__getitem__)
    rules["padding"] = rules["truncation"] = None
    found = copy.copy(tokenizer)
    found._tokenizer = Tokenizer.from_str(json.dumps(rules))
    if found.get_vocab() != {token: new[old] for token, old in tokenizer.get_vocab().items() if old in new}:
        raise refused(tokenizer, "its added tokens do not come after the others")
    return found


def refused(tokenizer: PreTrainedTokenizerBase, why: str) -> FlixError:
    name = type(tokenizer).__name__
    return FlixError(
        f"model.vocabulary=used: the tokenizer ({name}) cannot be made smaller: {why}; set model.vocabulary=all."
    )


def _rules(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise refused(tokenizer, "it is none of the tokenizers library")
    rules = json.loads(backend.to_str())
    model = rules["model"]
    if model["type"] not in KINDS:
        raise refused(tokenizer, f"its kind is {model['type']}, none of {', '.join(KINDS)}")
    if model.get("dropout"):
        raise refused(tokenizer, "it splits at random (dropout)")
    if model["type"] == "BPE" and (model["continuing_subword_prefix"] or model["end_of_word_suffix"]):
        raise refused(tokenizer, "its tokens mark where a word begins or ends (BPE with a prefix or suffix)")
    return rules


def _way(token: str, ranks: Mapping[tuple[str, str], int]) -> set[str]:
    """The token's characters and all that merges make of them on the way to it.

    In a text the same merges make it: none reaches over its borders, or it would not be a token there.
    """
    parts, found = list(token), set(token)
    while len(parts) > 1:
        rank, place = min((ranks.get(pair, math.inf), place) for place, pair in enumerate(pairwise(parts)))
        if rank == math.inf:
            break
        parts[place : place + 2] = ["".join(parts[place : place + 2])]
        found.add(parts[place])
    return found


def _renumbered(processor: Any, number: Callable[[int], int]) -> Any:
    """The rules of what puts special tokens around a text, with other ids: in `ids`, or in pairs of token and id."""
    if isinstance(processor, Mapping):
        return {
            key: [number(one) for one in value] if key == "ids" else _renumbered(value, number)
            for key, value in processor.items()
        }
    if isinstance(processor, list):
        if len(processor) == 2 and isinstance(processor[0], str) and type(processor[1]) is int:
            return [processor[0], number(processor[1])]
        return [_renumbered(inner, number) for inner in processor]
    return processor
