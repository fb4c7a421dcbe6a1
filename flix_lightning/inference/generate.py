"""Answer a file of requests, each of any task and language, by a finished run."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.common.settings import Count, Location, Text, checked

OWN = ("task", "language")


def read_requests(path: str) -> list[dict[str, Any]]:
    """The requests of a file.

    Raises:
        FlixError: the file cannot be read, or a line is no request; with its number.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise FlixError(f"requests: {path!r} cannot be read: {error.strerror}.") from error
    return parse_requests(path, content)


def parse_requests(place: str, content: bytes) -> list[dict[str, Any]]:
    """The requests that lines of JSON hold.

    Args:
        place: where they come from, for messages.

    Raises:
        FlixError: a line is no request; with its number.
    """
    try:
        lines = content.decode("utf8").splitlines()
    except UnicodeDecodeError as error:
        raise FlixError(f"{place}: no UTF-8: {error}.") from error
    requests = []
    for number, line in enumerate(lines, 1):
        try:
            request = json.loads(line)
        except ValueError as error:
            raise FlixError(f"{place}:{number}: no JSON: {error}.") from error
        if not isinstance(request, dict) or not all(isinstance(request.get(key), str) for key in OWN):
            raise FlixError(
                f"{place}:{number}: a request is a mapping with task, language and text; got {line[:80]!r}."
            )
        requests.append(request)
    return requests


def text_of(request: Mapping[str, Any]) -> Any:
    """The request's text, or the fields of its prompt."""
    return request["text"] if "text" in request else {k: v for k, v in request.items() if k not in OWN}


@checked("")
def answer(
    run: Path,
    asked: Sequence[Mapping[str, Any]],
    batch_size: Count = 64,
    max_new_tokens: Count | None = None,
    device: Text | None = None,
    trust: str | tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """The requests, each with the `answer` of a finished run; `trust` as in `FlixModel.from_run`."""
    from flix_lightning.common.console import quieten
    from flix_lightning.inference.model import FlixModel

    quieten()
    columns = ([request[key] for request in asked] for key in OWN)
    model = FlixModel.from_run(run, device, trust=trust)
    answers = model.generate(list(map(text_of, asked)), *columns, batch_size, max_new_tokens)
    return [{**request, "answer": said} for request, said in zip(asked, answers, strict=True)]


@checked("")
def tell(answered: Sequence[Mapping[str, Any]], out: Location | None = None) -> None:
    """Write a line of JSON for each answered request to the screen, or to a file."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in answered)
    if out is None:
        sys.stdout.write(lines)
    else:
        write_whole(Path(out), lines)
