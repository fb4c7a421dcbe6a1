"""The same run started twice: the second is refused and changes nothing."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.training.lock import locked
from tests.training.test_resume import result, run_small

HOLD = """
import sys, time
from pathlib import Path
from flix_lightning.training.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder():
    """Another process that trains in `run`."""
    Path("run").mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLD, "run"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_run_that_another_process_trains_is_left_alone(holder):
    with pytest.raises(FlixError, match="'run': another process is training this run"):
        run_small("run", "trainer.max_steps=1")
    assert [path.name for path in Path("run").iterdir()] == ["lock"]


def test_a_killed_process_leaves_no_lock(holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(Path("run")):
        pass


def test_a_file_system_without_locks_does_not_stop_a_run(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    once = result("whole", run_small("whole", "trainer.max_steps=1"))
    monkeypatch.setattr("fcntl.lockf", refuse)
    assert result("run", run_small("run", "trainer.max_steps=1")) == once
