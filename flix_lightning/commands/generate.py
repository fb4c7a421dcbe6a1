"""`flix generate`: answer requests from a file, from standard input, or one from the command line."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from flix_lightning.commands.arguments import EXTRA
from flix_lightning.commands.find_bank import find_bank
from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Location, check, fill

STANDARD_INPUT = "-"
CHOICES = ("batch_size", "max_new_tokens", "temperature", "top_p", "seed", "num_answers", "device", "strengths")
TRUST = ("trust", "trust_remote_code")
OWN = ("run", "runs_dir", "requests", "task", "language", "text", "out", "unseen_language", *CHOICES, *TRUST)


def task(config: DictConfig) -> None:
    plain = resolved(config)

    from flix_lightning.adapters.unseen import UnseenLanguage
    from flix_lightning.inference.generate import answer, parse_requests, read_requests, tell

    file, typed = check("requests", Location | None, plain["requests"]), request_of(plain)
    if (file is None) == (typed is None):
        raise FlixError("requests: a file, or - for standard input; or one request: task=ner language=sw text=...")
    run = find_bank("run", plain["run"], plain["runs_dir"])
    place = "the request" if typed is not None else "standard input" if file == STANDARD_INPUT else file
    if typed is not None:
        asked = parse_requests(place, json.dumps(typed).encode())
    elif file == STANDARD_INPUT:
        asked = parse_requests(place, sys.stdin.buffer.read())
    else:
        asked = read_requests(file)
    chosen = {key: plain[key] for key in (*CHOICES, *TRUST)}
    policy = fill("unseen_language", UnseenLanguage, plain["unseen_language"])
    answered = fill("", answer, chosen, run=run, place=place, asked=asked, unseen_language=policy)
    if typed is not None and plain["out"] is None:
        print("\n".join(answered[0].get("answers") or [answered[0]["answer"]]))
    else:
        fill("", tell, {"out": plain["out"]}, answered=answered)


def request_of(plain: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request on the command line; None without one."""
    fields = {key: value for key, value in plain.items() if key not in OWN}
    own = {key: plain[key] for key in ("task", "language", "text") if plain[key] is not None}
    return {**own, **fields} or None


def main(words: Sequence[str]) -> None:
    texts = ["run", "requests", "task", "language"]
    start(task, "generate", words, positional="requests", texts=texts, literal=["text", EXTRA])
