"""Windows by simulation: what POSIX alone has is taken away, and a run is trained, continued and answered from."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.configs import ROOT

# Lives in sitecustomize.py, so that it comes first in every process. Modules are refused to this package alone: other
# libraries go by sys.platform, and take them for granted here.
WINDOWS = """
import builtins, os, signal, types
POSIX = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"}
without_user_signals = types.SimpleNamespace(**vars(signal))
del without_user_signals.SIGUSR1, without_user_signals.SIGUSR2
imports, opened = builtins.__import__, os.open
def importing(name, within=None, *more, **named):
    if name in POSIX and (within or {}).get("__name__", "").startswith("flix_lightning"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    if name == "signal" and (within or {}).get("__name__", "").startswith("flix_lightning"):
        return without_user_signals
    return imports(name, within, *more, **named)
def opening(path, *more, **named):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return opened(path, *more, **named)
builtins.__import__, os.open = importing, opening
import psutil
type(psutil.Process().memory_info()).peak_wset = property(lambda self: self.rss)
"""
EVERY = """
import importlib, pkgutil, flix_lightning
for module in pkgutil.walk_packages(flix_lightning.__path__, "flix_lightning."):
    if not module.name.endswith("__main__") and ".serving" not in module.name:  # vLLM has no Windows
        importlib.import_module(module.name)
"""


@pytest.fixture
def windows(monkeypatch) -> None:
    Path("site").mkdir()
    Path("site/sitecustomize.py").write_text(WINDOWS)
    monkeypatch.setenv("PYTHONPATH", f"{Path('site').absolute()}:{ROOT}")


def ran(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_module_is_imported_and_a_run_is_made(windows):
    ran("-c", EVERY)
    flix = ("-m", "flix_lightning")
    few = ("experiment=smoke", "trainer.max_steps=2", "trainer.validate_every=1", "logger=none")
    ran(*flix, "train", *few, "trainer.checkpoint_every=1")
    assert "finished" in ran(*flix, "runs")
    assert "smoke: test scores" in ran(*flix, "evaluate", "run=runs/smoke", "tasks=[ner]")
    ran(*flix, "generate", "run=runs/smoke", "task=ner", "language=sw", "text=Dar es Salaam")
    ran(*flix, "export", "run=runs/smoke", "to=peft")
