"""Answer a file of requests: `python -m flix_lightning.generate run=runs/<name>/<hash> requests.jsonl [out=FILE]`.

A request is a line of JSON, with the task's fields in the place of `text` where it has several, and with a value on
every further axis that the run has features of, null for none:

    {"task": "ner", "language": "sw", "text": "22 Aprili 2022 na Kifini"}
    {"task": "topic", "language": "sw", "text": "...", "domain": "news"}

The answers come in the same order, each the request with an `answer`, to the screen or to `out`. Further keys:
`batch_size=64`, `max_new_tokens=N`, `device=cpu`, `trust_remote_code=true` (run the Python code that comes with the
run's model).
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flix_lightning.command import command, key_values
from flix_lightning.errors import FlixError
from flix_lightning.filling import fill
from flix_lightning.run_directory import write_whole
from flix_lightning.tasks import check_text

OWN = ("task", "language")
TEXT = "text"


def read_requests(path: Path) -> list[dict[str, Any]]:
    """The requests of a file.

    Raises:
        FlixError: the file cannot be read, or a line is no request; with its number.
    """
    try:
        lines = path.read_bytes().removesuffix(b"\n").split(b"\n")  # JSON may hold what other line ends are made of
    except OSError as error:
        raise FlixError(f"requests: {str(path)!r} cannot be read: {error.strerror}.") from error
    return [_request(f"{path}:{number}", line) for number, line in enumerate(lines, 1)] if any(lines) else []


def _request(place: str, line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line.decode("utf8"))
    except UnicodeDecodeError as error:
        raise FlixError(f"{place}: byte {error.start + 1} ({line[error.start]:#04x}) is no UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise FlixError(f"{place}: no JSON: {error}.") from error
    if not isinstance(request, dict) or not all(isinstance(request.get(key), str) for key in OWN):
        raise FlixError(f"{place}: a request is a mapping with task, language and text; got {line[:80]!r}.")
    if not isinstance(request.get(TEXT, ""), str):
        raise FlixError(f"{place}: text must be text; got {request[TEXT]!r}.")
    try:
        check_text(json.dumps(request, ensure_ascii=False))
    except FlixError as error:
        raise FlixError(f"{place}: {error}") from None
    return request


def answer(
    run: str,
    requests: str,
    out: str | None = None,
    batch_size: int = 64,
    max_new_tokens: int | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> None:
    """Answer the file `requests` by a finished run; see the head of this file."""
    asked = read_requests(Path(requests))

    from flix_lightning.inference import FlixModel, check_sizes
    from flix_lightning.quiet import quieten

    quieten()
    check_sizes(batch_size, max_new_tokens)
    model = FlixModel.from_run(run, device, trust_remote_code)
    cells, prompts = [], []
    for number, request in enumerate(asked, 1):
        given = {key: value for key, value in request.items() if key not in OWN}
        try:
            cells.append(model.cell(request["task"], request["language"], given))
            prompts.append(model.prompt(given, cells[-1]))
        except FlixError as error:
            raise FlixError(f"{requests}:{number}: {error}") from None
    answers = model.answer(cells, prompts, model.limits(cells, max_new_tokens), batch_size)
    if model.truncated:
        print(f"{model.truncated} prompts were longer than data.max_prompt_tokens of the run and cut", file=sys.stderr)
    rows = [{**request, "answer": said} for request, said in zip(asked, answers, strict=True)]
    if out is None:
        sys.stdout.write(as_lines(rows, ascii_only=not holds_any_text(sys.stdout.encoding)))
    else:
        write_whole(Path(out), as_lines(rows, ascii_only=False))


def as_lines(rows: Iterable[Mapping[str, Any]], ascii_only: bool) -> str:
    """A line of JSON a row.

    Args:
        ascii_only: other characters as `\\u....`, for a screen that has none; it is the same JSON.
    """
    return "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)


def holds_any_text(encoding: str | None) -> bool:
    return (encoding or "").lower().replace("-", "").startswith("utf")


@command
def main() -> None:
    fill("", answer, key_values(sys.argv[1:], __doc__, positional="requests"))


if __name__ == "__main__":
    main()
