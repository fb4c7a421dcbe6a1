"""Answers of a finished run to requests of any task and language."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flix_lightning.adapters.unseen import TASK_ONLY, UnseenLanguage
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.common.settings import Count, Location, Text, checked
from flix_lightning.data.tasks import check_text

OWN = ("task", "language")
TEXT = "text"


def read_requests(path: str) -> list[dict[str, Any]]:
    """The requests of a file.

    Raises:
        FlixError: the file cannot be read, or a line is not a request; with its number.
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
        FlixError: a line is not a request; with its number.
    """
    lines = content.removesuffix(b"\n").split(b"\n")  # JSON may contain other line separators
    return [_request(f"{place}:{number}", line) for number, line in enumerate(lines, 1)] if any(lines) else []


def _request(place: str, line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line.decode("utf8"))
    except UnicodeDecodeError as error:
        raise FlixError(f"{place}: byte {error.start + 1} ({line[error.start]:#04x}) is no UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise FlixError(f"{place}: no JSON: {error}.") from error
    if not isinstance(request, dict) or not all(isinstance(request.get(key), str) for key in OWN):
        shown = line[:80].decode("utf8", "replace")
        raise FlixError(f"{place}: a request is a mapping with task, language and text; got {shown!r}.")
    if not isinstance(request.get(TEXT, ""), str):
        raise FlixError(f"{place}: text must be text; got {request[TEXT]!r}.")
    try:
        check_text(json.dumps(request, ensure_ascii=False))
    except FlixError as error:
        raise FlixError(f"{place}: {error}") from None
    return request


@checked("")
def answer(
    run: str | Path,
    place: str,
    asked: Sequence[Mapping[str, Any]],
    batch_size: Count = 64,
    max_new_tokens: Count | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    num_answers: Count | None = None,
    device: Text | None = None,
    strengths: Mapping[str, Any] | None = None,
    unseen_language: UnseenLanguage = TASK_ONLY,
    trust: str | tuple[str, ...] = (),
    trust_remote_code: bool = False,
) -> list[dict[str, Any]]:
    """The requests, each with the `answer` of a finished run, or with `num_answers` sampled `answers`.

    Args:
        run: its directory, or `hf://ORG/NAME`.
        place: where the requests come from, for messages.
        asked: mappings with a task, a language, the fields of the task's prompt and values on further axes.
        batch_size, max_new_tokens: see `FlixModel.generate`.
        temperature, top_p, seed, num_answers: see `FlixModel.sample`; without a temperature answers are greedy.
        device, strengths, unseen_language, trust, trust_remote_code: see `FlixModel.from_run`.

    Raises:
        FlixError: a request that the run's tasks do not take, or settings of sampling without a temperature.
    """
    drawing = {"temperature": temperature, "top_p": top_p, "seed": seed, "num_answers": num_answers}
    drawing = {name: value for name, value in drawing.items() if value is not None}
    if drawing and temperature is None:
        raise FlixError(f"{', '.join(drawing)}: of drawn answers only; set temperature=1 as well.")
    from flix_lightning.common.console import quieten
    from flix_lightning.inference.model import FlixModel, check_sizes

    quieten()
    check_sizes(batch_size=batch_size, max_new_tokens=max_new_tokens)
    model = FlixModel.from_run(run, device, trust_remote_code, trust, strengths, unseen_language)
    cells, prompts = [], []
    for number, request in enumerate(asked, 1):
        given = {key: value for key, value in request.items() if key not in OWN}
        try:
            cells.append(model.cell(request["task"], request["language"], given))
            prompts.append(model.prompt(given, cells[-1]))
        except FlixError as error:
            raise FlixError(f"{place}:{number}: {error}") from None
    limits = model.limits(cells, max_new_tokens)
    if drawing:
        drawn = model.draw(cells, prompts, limits, **drawing, batch_size=batch_size)
        answers = [{"answers": said} if num_answers else {"answer": said[0]} for said in drawn]
    else:
        answers = [{"answer": said} for said in model.answer(cells, prompts, limits, batch_size)]
    if model.truncated:
        print(f"{model.truncated} prompts were longer than data.max_prompt_tokens of the run and cut", file=sys.stderr)
    return [{**request, **said} for request, said in zip(asked, answers, strict=True)]


@checked("")
def tell(answered: Sequence[Mapping[str, Any]], out: Location | None = None) -> None:
    """Write a line of JSON for each answered request to the screen, or to a file."""
    if out is None:
        sys.stdout.write(as_lines(answered, ascii_only=not holds_any_text(sys.stdout.encoding)))
    else:
        write_whole(Path(out), as_lines(answered, ascii_only=False))


def as_lines(rows: Iterable[Mapping[str, Any]], ascii_only: bool) -> str:
    """One line of JSON for each row.

    Args:
        ascii_only: other characters as `\\u....`, for a screen that lacks them; it is the same JSON.
    """
    return "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)


def holds_any_text(encoding: str | None) -> bool:
    return (encoding or "").lower().replace("-", "").startswith("utf")
