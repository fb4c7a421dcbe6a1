"""A vLLM server to measure and to test: its own environment, its own process, requests over HTTP."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / ".venv-vllm"  # made by `make test-vllm`
PYTHON = Path(os.environ.get("VLLM_PYTHON") or ENVIRONMENT / "bin/python")
INSTALLED = "VLLM_PYTHON" in os.environ or (ENVIRONMENT / ".installed").is_file()
STARTS_WITHIN = 400  # seconds
OPTIONS = {
    "dtype": "float32", "max-model-len": "512", "max-lora-rank": "64", "max-loras": "4", "max-cpu-loras": "8",
    "max-num-seqs": "32",
}  # fmt: skip


class Server:
    """A running server.

    Args:
        backbone: a folder with the model.
        settings: environment variables of the plugin.
        log: the file that its lines go to.
        options: of vLLM, beside `OPTIONS`.
    """

    def __init__(self, backbone: Path, settings: Mapping[str, str], log: Path, options: Sequence[str] = ()) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.log = log
        flags = [part for name, value in OPTIONS.items() for part in (f"--{name}", value)]
        command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", backbone, "--enable-lora", *flags]
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            **settings,
        }
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", self.url.rpartition(":")[2], *options],
                env=environment, stdout=file, stderr=subprocess.STDOUT, cwd=log.parent, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> "Server":
        end = time.monotonic() + STARTS_WITHIN
        while not self.lives():
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise RuntimeError(self.log.read_text(errors="replace")[-4000:])
            time.sleep(1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def lives(self) -> bool:
        try:
            with urlopen(f"{self.url}/health", timeout=30) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        """Status and answer of a request."""
        data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
        try:
            with urlopen(Request(f"{self.url}{path}", data, kind), timeout=300) as answer:
                told, status = answer.read(), answer.status
        except HTTPError as error:
            told, status = error.read(), error.code
        try:
            return status, json.loads(told)
        except ValueError:
            return status, told.decode()

    def complete(self, model: str, prompt: str, tokens: int) -> tuple[int, Any]:
        """The greedy answer of one cell, with its tokens and their logprobs."""
        greedy = {"temperature": 0.0, "max_tokens": tokens, "logprobs": 1, "return_token_ids": True}
        return self.post("/v1/completions", model=model, prompt=prompt, add_special_tokens=False, **greedy)

    def at_once(self, asked: Sequence[tuple[str, str, int]], together: int) -> list[tuple[int, Any]]:
        """The answers to several requests (see `complete`), so many of them at a time."""
        with ThreadPoolExecutor(together) as pool:
            return list(pool.map(lambda one: self.complete(*one), asked))
