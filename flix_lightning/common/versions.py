"""Versions of other packages, kept with results."""

from importlib.metadata import PackageNotFoundError, version


def version_of(package: str) -> str:
    """Its version; `unknown` where it can be imported but was not installed as a distribution."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
