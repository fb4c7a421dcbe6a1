"""Ctrl-C that other code swallowed still ends a run."""

import os
import signal
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback

from flix_lightning.training.run import train
from tests.configs import composed
from tests.training.test_resume import TINY, benchmark_of_short_targets, untrained_backbone


class Swallowing(Callback):
    """Presses Ctrl-C in one hook, in code that goes on whatever happens."""

    def __init__(self, hook: str, at: int) -> None:
        self.left = at
        setattr(self, hook, self._press)

    def _press(self, *_, **__) -> None:
        self.left -= 1
        if self.left == 0:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000):
                    pass
            except KeyboardInterrupt:
                pass


@pytest.mark.parametrize(
    "hook, at", [("on_train_batch_end", 2), ("on_validation_batch_start", 1), ("on_test_start", 1)]
)
def test_an_interrupt_that_was_swallowed_ends_the_run(hook, at):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as ended:
        train(
            composed(*TINY), Path("run"), benchmark_of_short_targets(), untrained_backbone(), None, (),
            [Swallowing(hook, at)],
        )  # fmt: skip
    assert isinstance(ended.value.__context__, KeyboardInterrupt)
    assert not Path("run/record.json").exists() and signal.getsignal(signal.SIGINT) is before
