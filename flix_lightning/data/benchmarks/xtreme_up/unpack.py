"""Unpacks a folder of a .tar.gz: nothing is written outside it, no links, all of it or nothing."""

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from flix_lightning.common.errors import FlixError

GROWTH = 200  # text is never packed tighter than this


def unpack(archive: Path, under: str, folder: Path) -> int:
    """Put what lies below the archive's folder `under` into `folder`; returns the number of files.

    Args:
        archive: a .tar.gz.
        under: a path in it; `*` stands for any one folder.
        folder: made; must not be there yet.

    Raises:
        FlixError: a damaged archive, an entry that leads outside or is a link or device, one that unpacks to far more
            than text does, or nothing below `under`.
    """
    if folder.exists():
        raise FlixError(f"{folder} is there already; delete it to unpack {archive} again.")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            files = _write(tar, PurePosixPath(under).parts, partial, GROWTH * archive.stat().st_size)
        if not files:
            raise FlixError(f"{archive} holds nothing below {under!r}.")
        partial.rename(folder)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise FlixError(f"{archive} cannot be unpacked: {error}. Delete it and fetch it again.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return files


def _write(tar: tarfile.TarFile, under: tuple[str, ...], folder: Path, most: int) -> int:
    """Write the regular files below `under`; returns their number."""
    files = size = 0
    for member in tar:
        parts = PurePosixPath(member.name).parts
        if member.name.startswith(("/", "\\")) or ".." in parts or "\\" in member.name or "\0" in member.name:
            raise FlixError(f"{tar.name}: entry {member.name!r} leads outside the archive; nothing was unpacked.")
        inside = len(parts) > len(under) and all(u in ("*", p) for u, p in zip(under, parts))
        if not inside or member.isdir():
            continue
        if not member.isreg():
            raise FlixError(f"{tar.name}: entry {member.name!r} is a link or device; nothing was unpacked.")
        size += member.size
        if size > most:
            raise FlixError(f"{tar.name} unpacks to more than {GROWTH} times its size; nothing was unpacked.")
        path = folder.joinpath(*parts[len(under) :])
        path.parent.mkdir(parents=True, exist_ok=True)
        with tar.extractfile(member) as source, path.open("xb") as target:
            shutil.copyfileobj(source, target)
        files += 1
    return files
