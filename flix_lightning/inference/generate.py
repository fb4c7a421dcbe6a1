"""Answer a file of requests, each of any task and language, by a finished run."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole

OWN = ("task", "language")


def read_requests(path: Path) -> list[dict[str, Any]]:
    """The requests of a file.

    Raises:
        FlixError: the file cannot be read, or a line is no request; with its number.
    """
    try:
        lines = path.read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FlixError(f"requests: {str(path)!r} cannot be read: {error}.") from error
    requests = []
    for number, line in enumerate(lines, 1):
        try:
            request = json.loads(line)
        except ValueError as error:
            raise FlixError(f"{path}:{number}: no JSON: {error}.") from error
        if not isinstance(request, dict) or not all(isinstance(request.get(key), str) for key in OWN):
            raise FlixError(f"{path}:{number}: a request is a mapping with task, language and text; got {line[:80]!r}.")
        requests.append(request)
    return requests


def text_of(request: Mapping[str, Any]) -> Any:
    """The request's text, or the fields of its prompt."""
    return request["text"] if "text" in request else {k: v for k, v in request.items() if k not in OWN}


def answer(
    run: str,
    requests: str,
    out: str | None = None,
    batch_size: int = 64,
    max_new_tokens: int | None = None,
    device: str | None = None,
    trust: str | Sequence[str] = (),
) -> None:
    """Answer the file `requests` by a finished run; `trust` as in `FlixModel.from_run`."""
    asked = read_requests(Path(requests))

    from flix_lightning.common.console import quieten
    from flix_lightning.inference.model import FlixModel

    quieten()
    columns = ([request[key] for request in asked] for key in OWN)
    model = FlixModel.from_run(run, device, trust=trust)
    answers = model.generate(list(map(text_of, asked)), *columns, batch_size, max_new_tokens)
    told = "".join(
        json.dumps({**request, "answer": said}, ensure_ascii=False) + "\n" for request, said in zip(asked, answers)
    )
    if out is None:
        sys.stdout.write(told)
    else:
        write_whole(Path(out), told)
