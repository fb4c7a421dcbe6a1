"""Progress of a command on standard error: a bar on a terminal, a line at least every ten seconds in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 10.0  # seconds between two lines

Item = TypeVar("Item")


def on_terminal() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr.isatty()


def tell(line: str) -> None:
    """Print a line for readers of a log."""
    print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """In words: `45 s`, `12 min`, `1 h 05 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


class Pace:
    """When the next line is due, and the speed of the work."""

    def __init__(self) -> None:
        self.began = self._told = time.monotonic()

    def due(self) -> bool:
        """Whether the last line is `EVERY` seconds old; asking starts the next wait."""
        now = time.monotonic()
        if now - self._told < EVERY:
            return False
        self._told = now
        return True

    def left(self, done: int, total: int) -> str:
        """The time left at the speed so far."""
        return duration((time.monotonic() - self.began) / max(1, done) * (total - done))


def track(items: Iterable[Item], what: str, total: int, shown: bool = True) -> Iterator[Item]:
    """The items, with progress over `total` shown; `what` names the work."""
    if not shown:
        yield from items
    elif on_terminal():
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            yield from bars.track(items, total=total, description=what)
    else:
        pace = Pace()
        for done, item in enumerate(items, 1):
            yield item
            if pace.due():
                tell(f"{what} {done}/{total}  {pace.left(done, total)} left")
