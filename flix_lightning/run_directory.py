"""Where a run lies: `runs/<experiment name>/<hash of its config>`, the same for the same command; and writing there."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flix_lightning.errors import FlixError
from flix_lightning.sections import check_sections

# Keys that say where and how a run is computed, not what: changing them continues the same run.
INCIDENTAL = (
    "runs_dir",
    "run_dir",
    "logger",
    "data.micro_batch_size",
    "data.eval_batch_size",
    "data.eval_batch_tokens",
    "data.workers",
    "data.cache",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.progress",
    "trainer.checkpoint_every",
    "trainer.keep_checkpoints",
    "trainer.gradient_checkpointing",
)


def fingerprint(config: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits of what decides a run's result."""
    config = json.loads(json.dumps(config))
    for key in INCIDENTAL:
        *groups, last = key.split(".")
        place = config
        for group in groups:
            place = place.get(group, {})
        place.pop(last, None)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:10]


def run_directory(config: Mapping[str, Any]) -> Path:
    """
    Raises:
        FlixError: a section that is not one, or a name that would lead out of `runs_dir`.
    """
    check_sections(config)
    if not isinstance(config["runs_dir"], str):
        raise FlixError(f"runs_dir: a path; got {config['runs_dir']!r}.")
    return Path(config["runs_dir"]) / plain_name("name", config["name"]) / fingerprint(config)


def plain_name(place: str, name: Any) -> str:
    """The name, if it can be one of a file.

    Raises:
        FlixError: it is no text, or holds what leads elsewhere: a slash, a leading dot, an unprintable character.
    """
    if (
        not isinstance(name, str)
        or not name
        or name.startswith(".")
        or set(name) & set("/\\")
        or not name.isprintable()
    ):
        raise FlixError(f"{place}: a name for a folder or file, without slashes or a leading dot; got {name!r}.")
    return name


def escaped(text: str) -> str:
    """The text as a file's name or a part of one: what leads elsewhere, or some file system refuses, becomes `%..`."""
    plain = "".join(c if c.isprintable() and c not in '/\\%:*?"<>|' else quote(c, safe="") for c in text)
    return "%2E" + plain[1:] if plain.startswith(".") else plain


def make_directory(path: Path) -> None:
    """Make a directory and its parents.

    Raises:
        FlixError: the file system refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FlixError(f"cannot make the directory {str(path)!r}: {error.strerror}.") from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; it is on the disk, under its name, when this returns.

    Raises:
        FlixError: the file system refuses (full, read-only); what stood there before still stands.
    """
    if not path.name:
        raise FlixError(f"{str(path)!r} names no file.")
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        try:
            partial.unlink(missing_ok=True)
        except OSError:
            pass  # a read-only file system keeps what it has
        raise FlixError(
            f"cannot write {str(path)!r}: {error.strerror}. What was saved before is whole; when there is room, the "
            "same command continues."
        ) from error


def read_config(run: Path) -> dict[str, Any]:
    """The resolved config a run was started with.

    Raises:
        FlixError: no run lies there.
    """
    path = run / "config.json"
    if not path.is_file():
        raise FlixError(f"run: no run lies in {str(run)!r}: it has no config.json. Give runs/<name>/<hash>.")
    return json.loads(path.read_text(encoding="utf8"))


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill that then takes the place of `path`; an error on the way leaves all as it was.

    Raises:
        FlixError: something else lies at `path`.
    """
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        made = {file.name for file in partial.iterdir()}
        if path.exists() and not (path.is_dir() and made >= {file.name for file in path.iterdir()}):
            raise FlixError(f"{str(path)!r} exists and holds something else; choose another place.")
    except BaseException:
        shutil.rmtree(partial)
        raise
    shutil.rmtree(path, ignore_errors=True)
    partial.replace(path)
