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
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    num_answers: Count | None = None,
    device: Text | None = None,
    trust: str | tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """The requests, each with the `answer` of a finished run, or with drawn `answers` where a number is asked for.

    Args:
        run: its directory.
        asked: mappings with a task, a language and the fields of the task's prompt.
        batch_size, max_new_tokens: see `FlixModel.generate`.
        temperature, top_p, seed, num_answers: see `FlixModel.sample`; without a temperature nothing is drawn.
        device, trust: see `FlixModel.from_run`.

    Raises:
        FlixError: a request that the run's tasks do not take, or settings of drawn answers without a temperature.
    """
    drawing = {"temperature": temperature, "top_p": top_p, "seed": seed, "num_answers": num_answers}
    drawing = {name: value for name, value in drawing.items() if value is not None}
    if drawing and temperature is None:
        raise FlixError(f"{', '.join(drawing)}: of drawn answers only; set temperature=1 as well.")
    from flix_lightning.common.console import quieten
    from flix_lightning.inference.model import FlixModel

    quieten()
    columns = ([request[key] for request in asked] for key in OWN)
    model = FlixModel.from_run(run, device, trust=trust)
    wanted, sizes = (list(map(text_of, asked)), *columns), {"batch_size": batch_size, "max_new_tokens": max_new_tokens}
    if drawing:
        drawn = model.sample(*wanted, **drawing, **sizes)
        answers = [{"answers": said} if num_answers else {"answer": said[0]} for said in drawn]
    else:
        answers = [{"answer": said} for said in model.generate(*wanted, **sizes)]
    return [{**request, **said} for request, said in zip(asked, answers, strict=True)]


@checked("")
def tell(answered: Sequence[Mapping[str, Any]], out: Location | None = None) -> None:
    """Write a line of JSON for each answered request to the screen, or to a file."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in answered)
    if out is None:
        sys.stdout.write(lines)
    else:
        write_whole(Path(out), lines)
