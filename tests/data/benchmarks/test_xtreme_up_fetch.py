"""Fetching against a local server: whole, broken off, changed, damaged; archives that mean harm."""

import base64
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.xtreme_up.download import download
from flix_lightning.data.benchmarks.xtreme_up.unpack import unpack
from tests.commands.test_commands import run_command

BODY = bytes(range(256)) * 40_000  # 10 MB
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`; what it does wrong is set by attributes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.headers = {"/file": BODY}, {"ETag": '"1"'}
        self.cuts, self.ranges, self.asked = [], True, []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers["Range"]
        server.asked.append(asked)
        if self.path not in server.files:
            self.send_error(404)
            return
        body, start = server.files[self.path], 0
        if asked and server.ranges and self.headers["If-Range"] == server.headers.get("ETag"):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        end = server.cuts.pop(0) if server.cuts else len(body)
        self.wfile.write(body[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


def fetched(server, path=Path("out/file"), sha256=SHA256, report=lambda here, total: None):
    return download(f"{server.url}/file", path, sha256, report, wait=0)


def beside(path=Path("out")) -> list[str]:
    return sorted(p.name for p in path.iterdir())


def test_a_file_comes_whole_with_progress(server):
    seen = []
    assert fetched(server, report=lambda here, total: seen.append((here, total))) == "its SHA-256"
    assert Path("out/file").read_bytes() == BODY and beside() == ["file"]
    assert seen[0] == (0, len(BODY)) and seen[-1] == (len(BODY), len(BODY)) and seen == sorted(seen)


def test_a_broken_connection_is_resumed_where_it_stopped(server):
    server.cuts = [3_000_000, 7_000_000]
    fetched(server)
    assert server.asked == [None, "bytes=3000000-", "bytes=7000000-"]
    assert Path("out/file").read_bytes() == BODY and beside() == ["file"]


def test_a_later_call_continues_what_an_earlier_one_gave_up(server):
    server.cuts = [1_000_000 + i for i in range(5)]
    with pytest.raises(FlixError, match=r"1,000,004 bytes are kept; the same command continues"):
        fetched(server)
    assert beside() == ["file.partial", "file.partial.json"]
    server.asked.clear()
    fetched(server)
    assert server.asked == ["bytes=1000004-"] and Path("out/file").read_bytes() == BODY


def test_a_file_that_changed_meanwhile_comes_from_the_start(server):
    server.cuts = [1_000_000]
    other = BODY[::-1]

    def change(here, total):
        if here == 1_000_000:
            server.files["/file"], server.headers["ETag"] = other, '"2"'

    fetched(server, sha256=hashlib.sha256(other).hexdigest(), report=change)
    assert server.asked == [None, "bytes=1000000-"] and Path("out/file").read_bytes() == other


@pytest.mark.parametrize("lacking", ["ranges", "version"])
def test_a_server_that_cannot_continue_starts_again(server, lacking):
    server.cuts = [1_000_000]
    if lacking == "ranges":
        server.ranges = False
    else:
        server.headers = {}
    fetched(server)
    assert Path("out/file").read_bytes() == BODY
    assert server.asked == [None, "bytes=1000000-" if lacking == "ranges" else None]


def test_all_bytes_here_and_only_the_renaming_missing(server):
    fetched(server)
    Path("out/file").rename("out/file.partial")
    note = f'{{"url": "{server.url}/file", "version": "\\"1\\"", "bytes": {len(BODY)}, "md5": null}}'
    Path("out/file.partial.json").write_text(note)
    fetched(server)
    assert beside() == ["file"] and Path("out/file").read_bytes() == BODY


def test_a_wrong_checksum_is_told_and_nothing_kept(server):
    with pytest.raises(FlixError, match=f"sha256 {SHA256} came, {'0' * 64} was expected"):
        fetched(server, sha256="0" * 64)
    assert beside() == []


@pytest.mark.parametrize("right", [True, False])
def test_the_servers_md5_is_checked(server, right):
    md5 = base64.b64encode(hashlib.md5(BODY if right else b"other").digest()).decode()
    server.headers["x-goog-hash"] = f"crc32c=AAAAAA==,md5={md5}"
    if right:
        assert fetched(server, sha256=None) == "the MD5 that the server gave"
    else:
        with pytest.raises(FlixError, match=f"md5 {hashlib.md5(BODY).hexdigest()} came"):
            fetched(server, sha256=None)


def test_without_any_checksum_it_is_said(server):
    assert fetched(server, sha256=None) == "its length alone"


def test_what_is_not_there_is_told_at_once(server):
    with pytest.raises(FlixError, match="HTTP Error 404.*0 bytes are kept"):
        download(f"{server.url}/other", Path("out/other"), None, lambda here, total: None)
    assert server.asked == [None]


# Archives


def archive(path: Path, *entries: tuple[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in entries:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            info.size = len(content) if isinstance(content, bytes) else 0
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def test_a_folder_of_an_archive_is_unpacked_and_the_rest_left():
    made = archive(Path("a.tgz"), ("./r/x/ner/sw.jsonl", b"1"), ("r/y/z", b"2"), ("r/l", link(tarfile.SYMTYPE, "/")))
    assert unpack(made, "*/x", Path("out/x")) == 1
    assert [p for p in Path("out").rglob("*") if p.is_file()] == [Path("out/x/ner/sw.jsonl")]


@pytest.mark.parametrize(
    "entry",
    [
        ("../evil", b"x"),
        ("r/x/../../../evil", b"x"),
        ("/evil", b"x"),
        ("r/x/..\\..\\evil", b"x"),
        ("r/x/evil", link(tarfile.SYMTYPE, "/etc/passwd")),
        ("r/x/evil", link(tarfile.LNKTYPE, "r/x/first")),
        ("r/x/evil", link(tarfile.FIFOTYPE, "")),
        ("r/x/evil", link(tarfile.CHRTYPE, "")),
        ("r/x/evil", b"\0" * 10_000_000),
    ],
    ids=["parent", "parent inside", "absolute", "backslash", "symlink", "hard link", "pipe", "device", "bomb"],
)
def test_an_archive_that_means_harm_unpacks_nothing(entry, tmp_path):
    made = archive(Path("a.tgz"), ("r/x/first", b"1"), entry)
    with pytest.raises(FlixError, match="a.tgz.*nothing was unpacked"):
        unpack(made, "r/x", Path("out/x"))
    assert sorted(p.name for p in tmp_path.rglob("*")) in (["a.tgz", "out"], ["a.tgz"])


def test_a_damaged_archive_is_told_and_leaves_nothing():
    made = archive(Path("a.tgz"), ("r/x/first", bytes(range(256)) * 100))
    made.write_bytes(made.read_bytes()[:-200])
    with pytest.raises(FlixError, match="cannot be unpacked.*fetch it again"):
        unpack(made, "r/x", Path("x"))
    made.write_bytes(b"no archive")
    with pytest.raises(FlixError, match="cannot be unpacked"):
        unpack(made, "r/x", Path("x"))
    assert not Path("x").exists()


def test_an_archive_without_the_folder_and_a_folder_that_is_there_are_told():
    made = archive(Path("a.tgz"), ("r/x/first", b"1"))
    with pytest.raises(FlixError, match="holds nothing below 'r/y'"):
        unpack(made, "r/y", Path("y"))
    unpack(made, "r/x", Path("x"))
    with pytest.raises(FlixError, match="is there already"):
        unpack(made, "r/x", Path("x"))


def test_the_command_fetches_both_archives_and_is_done_when_called_again(server, monkeypatch, capsys):
    release = archive(Path("r.tgz"), ("xtreme_up_v1.1/qa_in_lang/train/sw.jsonl", b"{}"), ("xtreme_up_v1.1/asr/x", b""))
    ner = archive(Path("n.tgz"), ("masakhane-ner-5f6/xtreme-up/MasakhaNER-X/train/sw.jsonl", b"{}"))
    server.files = {"/r": release.read_bytes(), "/n": ner.read_bytes()}
    arguments = ["folder=data", f"archive={server.url}/r", f"ner={server.url}/n"]
    assert run_command("data fetch_xtreme_up", *arguments, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert hashlib.sha256(release.read_bytes()).hexdigest() in printed
    assert "benchmark.root=data/xtreme_up_v1.1" in printed
    assert Path("data/xtreme_up_v1.1/qa_in_lang/train/sw.jsonl").is_file()
    assert Path("data/MasakhaNER-X/train/sw.jsonl").is_file() and beside(Path("data")) == [
        "MasakhaNER-X", "xtreme_up_v1.1"
    ]  # fmt: skip
    server.asked.clear()
    assert run_command("data fetch_xtreme_up", *arguments, monkeypatch=monkeypatch) == 0
    assert not server.asked and capsys.readouterr().out.count("is there already") == 2


def test_a_failed_fetch_is_one_message_and_exit_code_1(server, monkeypatch, capsys):
    words = ("folder=data", f"archive={server.url}/none")
    assert run_command("data fetch_xtreme_up", *words, monkeypatch=monkeypatch) == 1
    assert "error: " in capsys.readouterr().err
