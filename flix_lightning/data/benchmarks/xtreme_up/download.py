"""Downloads a file: resumed where it stopped, checked, and in place only when whole."""

import base64
import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole

CHUNK = 1 << 20
ATTEMPTS = 5
TIMEOUT = 60  # seconds without a byte

Progress = Callable[[int, int | None], None]  # bytes here, bytes in all if known


def download(url: str, path: Path, sha256: str | None, progress: Progress, wait: float = 2.0) -> str:
    """Fetch `url` to `path`; returns what its bytes were checked against.

    What has come is kept beside `path` when the connection breaks, and a later call continues there if the server says
    that the file is still the same. Without a `sha256`, the MD5 that Google's storage sends along is checked.

    Args:
        url, path: from and to.
        sha256: hexadecimal, of the whole file.
        progress: called after every chunk.
        wait: seconds before the second attempt, doubled before each further one.

    Raises:
        FlixError: the server does not answer or sends another file than expected.
    """
    partial, note = path.with_name(path.name + ".partial"), path.with_name(path.name + ".partial.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(ATTEMPTS):
        try:
            md5 = _continue(url, partial, note, progress)
            break
        except (OSError, http.client.HTTPException) as error:
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if final or attempt + 1 == ATTEMPTS:
                kept = partial.stat().st_size if partial.exists() else 0
                raise FlixError(
                    f"{url} cannot be fetched: {error}. {kept:,} bytes are kept; the same command continues."
                ) from error
            time.sleep(wait * 2**attempt)
    checked = "its SHA-256" if sha256 else "the MD5 that the server gave" if md5 else "its length alone"
    for name, expected in {"sha256": sha256, "md5": md5}.items():
        if expected and (found := digest(partial, name)) != expected.lower():
            partial.unlink()
            note.unlink(missing_ok=True)
            raise FlixError(f"{url}: {name} {found} came, {expected.lower()} was expected; what came is deleted.")
    os.replace(partial, path)
    note.unlink(missing_ok=True)
    return checked


def digest(path: Path, name: str) -> str:
    """The hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest()


def _continue(url: str, partial: Path, note: Path, progress: Progress) -> str | None:
    """Add what is missing of `partial`; returns the MD5 that the server gives, if any."""
    have = partial.stat().st_size if partial.exists() else 0
    noted = json.loads(note.read_text(encoding="utf8")) if note.exists() else {}
    request = urllib.request.Request(url)
    if have and noted.get("url") == url and noted["version"]:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", noted["version"])
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the rest that was asked for is empty
            raise
        if have == noted["bytes"]:
            return noted["md5"]
        partial.unlink()
        raise ConnectionError("the server's file is shorter than what had come; from the start") from None
    with response:
        continued = response.status == 206
        start = have if continued else 0
        length = response.headers["Content-Length"]
        total = None if length is None else start + int(length)
        md5 = _md5(response.headers)
        version = response.headers["ETag"] or response.headers["Last-Modified"]
        write_whole(note, json.dumps({"url": url, "version": version, "bytes": total, "md5": md5}))
        with partial.open("ab" if continued else "wb") as file:
            progress(start, total)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                progress(file.tell(), total)
    if total is not None and partial.stat().st_size != total:
        raise ConnectionError(f"the connection ended after {partial.stat().st_size:,} of {total:,} bytes")
    return md5


def _md5(headers: http.client.HTTPMessage) -> str | None:
    """Of a header `x-goog-hash: crc32c=..., md5=...`, in base64 there."""
    for line in headers.get_all("x-goog-hash", []):
        for part in line.split(","):
            name, _, value = part.strip().partition("=")
            if name == "md5":
                return base64.b64decode(value).hex()
    return None
