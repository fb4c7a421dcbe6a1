"""Answer a file of requests: `python -m flix_lightning.generate run=runs/<name>/<hash> requests.jsonl [out=FILE]`.

A request is a line of JSON, with the task's fields in the place of `text` where it has several:

    {"task": "ner", "language": "sw", "text": "22 Aprili 2022 na Kifini"}

The answers come in the same order, each the request with an `answer`, to the screen or to `out`. Further keys:
`batch_size=64`, `max_new_tokens=N`, `device=cpu`. With `temperature=T`, above 0, answers are drawn, not the likeliest:
`top_p=P` and `seed=N` then say how, and `num_answers=N` gives each request so many, as a list `answers`.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flix_lightning.command import command, key_values
from flix_lightning.errors import FlixError
from flix_lightning.filling import fill
from flix_lightning.run_directory import write_whole

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
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    num_answers: int | None = None,
) -> None:
    """Answer the file `requests` by a finished run; see the head of this file."""
    drawing = {"temperature": temperature, "top_p": top_p, "seed": seed, "num_answers": num_answers}
    drawing = {name: value for name, value in drawing.items() if value is not None}
    if drawing and temperature is None:
        raise FlixError(f"{', '.join(drawing)}: of drawn answers only; set temperature=1 as well.")
    asked = read_requests(Path(requests))

    from flix_lightning.inference import FlixModel
    from flix_lightning.quiet import quieten

    quieten()
    columns = ([request[key] for request in asked] for key in OWN)
    model = FlixModel.from_run(run, device)
    wanted = (list(map(text_of, asked)), *columns)
    sizes = {"batch_size": batch_size, "max_new_tokens": max_new_tokens}
    if drawing:
        drawn = model.sample(*wanted, **drawing, **sizes)
        answers = [{"answers": said} if num_answers else {"answer": said[0]} for said in drawn]
    else:
        answers = [{"answer": said} for said in model.generate(*wanted, **sizes)]
    told = "".join(json.dumps({**request, **said}, ensure_ascii=False) + "\n" for request, said in zip(asked, answers))
    if out is None:
        sys.stdout.write(told)
    else:
        write_whole(Path(out), told)


@command
def main() -> None:
    fill("", answer, key_values(sys.argv[1:], __doc__, positional="requests"))


if __name__ == "__main__":
    main()
