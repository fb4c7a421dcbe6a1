"""Ctrl-C ends a run, also where other code swallowed it."""

import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch.callbacks import Callback


class Interruption(Callback):
    """As a context, makes Ctrl-C raise `KeyboardInterrupt` at once, and before the next batch if the run goes on.

    Much of C code asks for a Python attribute and clears whatever error that ends in, an interrupt as well.
    """

    def __init__(self) -> None:
        self._noted = False
        self._before: Any = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)

    def __exit__(self, *_: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = True
        raise KeyboardInterrupt

    def _raise_again(self, *_: Any, **__: Any) -> None:
        if self._noted:
            raise KeyboardInterrupt

    on_train_batch_start = on_validation_batch_start = on_test_batch_start = _raise_again
