"""A hub of models in memory that answers what huggingface_hub asks to create, upload and download a repository."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """`repositories`: name -> path -> content; `told`: the requests so far, as `METHOD path`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.told: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def say(self, body: object, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def missing(self) -> None:
        self.say({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.told.append(f"POST {self.path}")
        if not self.headers.get("Authorization"):
            return self.say({"error": "Invalid credentials"}, 401)
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.server.repositories.setdefault(name, {})
            return self.say({"url": f"{self.server.url}/{name}"})
        if self.path == "/api/validate-yaml":
            return self.say({"errors": [], "warnings": []})
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main(\?.*)?", self.path)
        if found is None or found[1] not in self.server.repositories:
            return self.missing()
        if found[2] == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self.say({"files": files})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.server.repositories[found[1]][line["value"]["path"]] = content
        return self.say(
            {
                "success": True,
                "commitOid": COMMIT,
                "commitUrl": f"{self.server.url}/{found[1]}/commit/{COMMIT}",
                "hookOutput": "",
            }
        )

    def do_GET(self) -> None:
        self.server.told.append(f"{self.command} {self.path}")
        about = re.fullmatch(r"/api/models/([^/]+/[^/]+?)(/revision/[^/]+)?(/tree/.*)?(\?.*)?", self.path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path)
        name = (about or file)[1] if about or file else ""
        if name not in self.server.repositories:
            return self.missing()
        files = self.server.repositories[name]
        if about and about[3]:
            return self.say([{"type": "file", "path": path, "size": len(files[path]), "oid": COMMIT} for path in files])
        if about:
            siblings = [{"rfilename": path} for path in files]
            return self.say({"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})
        if file[2] not in files:
            return self.say({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
        content = files[file[2]]
        return self.say(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET


@contextmanager
def running_hub() -> Iterator[Hub]:
    with Hub() as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        yield hub
        hub.shutdown()
