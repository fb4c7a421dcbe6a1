"""The memory that this process took."""

import sys

try:
    import resource
except ImportError:  # Windows
    resource = None

UNIT = 1 if sys.platform == "darwin" else 1024  # bytes: macOS counts in them, Linux in KiB


def peak_memory_mib() -> float:
    """The largest resident memory of this process, in MiB."""
    if resource is None:
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 2**20
