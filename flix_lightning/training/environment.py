"""The software of a run: versions and the commit, gathered before it begins; unknown ones are left empty."""

import os
import platform
import subprocess
from pathlib import Path

import flix_lightning
from flix_lightning.common.versions import version_of

VERSIONED = ("torch", "lightning", "transformers", "hydra-core", "babel", "numpy")
PACKAGE = Path(flix_lightning.__file__).parent


def environment() -> dict[str, str]:
    """The record's `environment`."""
    versions = {package: version_of(package) for package in VERSIONED}
    own = {"commit": own_commit(PACKAGE), "flix-lightning": flix_lightning.__version__}
    return {**own, "python": platform.python_version(), **versions}


def own_commit(package: Path) -> str:
    """The commit of the repository whose root holds the package; empty if there is none.

    An installed package often lies inside another repository, whose commit says nothing about it.
    """
    root = _git(package, "rev-parse", "--show-toplevel")
    if not root or not os.path.samefile(root, package.parent) or not _git(package, "ls-files", "__init__.py"):
        return ""
    return _git(package, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str:
    """What git prints in a folder; empty if git is not installed or fails."""
    around = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook has them
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, env=around, capture_output=True, text=True)
    except (OSError, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
