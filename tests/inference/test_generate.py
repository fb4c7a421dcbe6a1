"""The command that answers a file of requests, called as users call it."""

import runpy
import sys


def call(*arguments: str, monkeypatch) -> int:
    """Exit code of the command."""
    monkeypatch.setattr(sys, "argv", ["generate", *arguments])
    try:
        runpy.run_module("flix_lightning.generate", run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    return 0
