"""`model.vocabulary=used`: a run's backbone with the tokens that its data use, every text of it split as before.

Adapters do not depend on the vocabulary: what is trained serves the whole model.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import fill
from flix_lightning.data.benchmarks.benchmark import Benchmark, Example
from flix_lightning.data.mixture import Mixture, build_mixture
from flix_lightning.data.row_digests import Place
from flix_lightning.data.tokens.encoding import encode, prompt_tail
from flix_lightning.data.tokens.store import Caching, TokenStore
from flix_lightning.data.tokens.tokenised import TOGETHER, groups, tokenizer_fingerprint
from flix_lightning.models.backbone import Backbone
from flix_lightning.models.vocabulary import tokenizer as cutting
from flix_lightning.models.vocabulary.tokenizer import kept_ids, refused, smaller
from flix_lightning.models.vocabulary.weights import cut_weights, named_ids
from flix_lightning.training.run_data import RunData

ALL = "all"
SHOWN = 40  # characters of a text that a message shows


def cut_vocabulary(config: Mapping[str, Any], benchmark: Benchmark, mixture: Mixture, backbone: Backbone) -> Backbone:
    """The backbone, cut in place if the config says so, with its new tokenizer.

    Args:
        config: the whole one of a run.

    Raises:
        FlixError: the model or the tokenizer cannot be cut, or the data are not read before training.
    """
    if config["model"].get("vocabulary", ALL) == ALL:
        return backbone
    if config["data"].get("stream_chunk") is not None:
        raise FlixError(
            "model.vocabulary=used: with data.stream_chunk the texts are not known before training; set one of the two "
            "otherwise."
        )
    data = RunData.of(config, mixture, benchmark)
    store = TokenStore(fill("data.cache", Caching, config["data"].get("cache", {})))
    kept = json.loads(store.text(f"{_key(data, backbone)}.vocabulary", lambda: json.dumps(_kept(data, backbone))))
    tokenizer = smaller(backbone.tokenizer, kept)
    cut_weights(backbone.model, kept)
    return Backbone(backbone.model, tokenizer)


def known_texts(config: Mapping[str, Any], benchmark: Benchmark, places: Iterable[Place]) -> bool:
    """Whether the tokens of a run are known to be enough for cells and splits: it reads these itself, or has all."""
    if config["model"].get("vocabulary", ALL) == ALL:
        return True
    return set(places) <= set(RunData.of(config, build_mixture(config, benchmark), benchmark).places)


def _key(data: RunData, backbone: Backbone) -> str:
    """The same for the same rows and tokenizer, and code of this."""
    code = [Path(module).read_text(encoding="utf8") for module in (__file__, cutting.__file__)]
    rows = [[repr(place), digest] for place, digest in data.digests.all(data.places).items()]
    tokens = [tokenizer_fingerprint(backbone.tokenizer), sorted(named_ids(backbone.model))]
    kind = backbone.model.config.is_encoder_decoder
    return hashlib.sha256(json.dumps([code, rows, tokens, kind]).encode()).hexdigest()[:32]


def _kept(data: RunData, backbone: Backbone) -> list[int]:
    """The ids of the tokens that are kept, after every text was split with them alone and found the same.

    Raises:
        FlixError: a text is split otherwise.
    """
    full, used = backbone.tokenizer, named_ids(backbone.model)
    for _, ids in _texts(data, backbone):
        used.update(*ids)
    kept = kept_ids(full, used)
    cut = backbone._replace(tokenizer=smaller(full, kept))
    for (example, ids), (_, fewer) in zip(_texts(data, backbone), _texts(data, cut), strict=True):
        if [[kept[number] for number in part] for part in fewer] != list(ids):
            text = f"{example.prompt[:SHOWN]!r} with the answer {example.target[:SHOWN]!r}"
            raise refused(full, f"it would split {text}, row {example.id}, otherwise")
    if prompt_tail(full) != prompt_tail(cut.tokenizer):
        raise refused(full, "its chat template would end otherwise")
    return kept


def _texts(data: RunData, backbone: Backbone) -> Iterator[tuple[Example, tuple[list[int], list[int]]]]:
    """Every example that the run reads, with the ids of its prompt and of its target, whole."""
    kind = backbone.model.config.is_encoder_decoder
    for place in data.places:
        for some in groups(data.digests.benchmark.stream(*place), TOGETHER):
            rows = encode(backbone.tokenizer, [e.prompt for e in some], [e.target for e in some], kind)
            yield from zip(some, rows, strict=True)
