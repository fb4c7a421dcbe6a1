"""The plugin in a real vLLM server: tokens and log probabilities of every cell are FlixModel's, and it stays alive."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.adapters.features import Feature
from flix_lightning.adapters.unseen import UnseenLanguage
from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.data.cells import Cell
from flix_lightning.data.tokens.encoding import PROMPT_END
from flix_lightning.inference.export.folders import export
from flix_lightning.inference.model import FlixModel
from flix_lightning.inference.serving.names import read_name
from flix_lightning.models.backbone import load_backbone
from flix_lightning.models.tiny import load_tiny
from flix_lightning.training.run import train
from speed.vllm_server import INSTALLED, Server
from tests.configs import SMALL, composed
from tests.inference.serving.toy import toy_bank

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not INSTALLED, reason="vLLM is not installed; `make test-vllm` does it where it can"),
]
LANGUAGES = ("sw", "yo", "bn", "ta", "te", "ko", "fi")
TASKS = ("semantic_parsing", "qa_cross_lang", "translation", "ner", "qa_in_lang")
OVERRIDES = (
    f"mixture.tasks=[{','.join(TASKS)}]",
    f"mixture.languages=[{','.join(LANGUAGES)}]",
    "mixture.train={qa_cross_lang: [bn, te]}",
    "+mixture.train.semantic_parsing=[sw, yo, bn]",
    "benchmark.rows={train: 20, validation: 1, test: 1}",
    "data.batch_size=16",
    "trainer.max_steps=25",
    "trainer.validate_every=25",
    "trainer.checkpoint_every=25",
    "optimizer.lr=0.03",
    "optimizer.warmup_steps=0",
    "trainer.precision=32-true",
    "rank.task=4",
)
TEXTS = ("22 Aprili 2022 na Kifini", "9 Januari 1982", "১৯ মে ২০২১", "moja mbili tatu")
FIELDS = ("question", "context", "title", "input")
DAMAGED = b"\x10\x00\x00\x00\x00\x00\x00\x00not a header"
TOKENS = 16


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A bank of five tasks and seven languages; twelve pairs of them were not trained."""
    folder = tmp_path_factory.mktemp("run") / "served"
    config = composed(*SMALL, *OVERRIDES)
    train(config, folder, load_benchmark(config["benchmark"]), load_backbone(config["model"]), None)
    return folder


@pytest.fixture(scope="module")
def wide(run, tmp_path_factory) -> Path:
    """A bank of 40 tasks, 50 languages and 3 domains with random features."""
    own, path = Bank.read(run), tmp_path_factory.mktemp("wide") / "wide.safetensors"
    named = {"task": (40, 4), "language": (50, 2), "domain": (3, 2)}
    ranks = {Feature(axis, f"{axis[0]}{i:02}"): rank for axis, (count, rank) in named.items() for i in range(count)}
    generator = torch.Generator().manual_seed(0)
    rows = sum(ranks.values())
    factors = {
        name: 0.1 * torch.randn((rows, factor.shape[1]), generator=generator) for name, factor in own.factors.items()
    }
    task = own.tasks["translation"]
    tasks = {f.value: replace(task, name=f.value) for f in ranks if f.axis == "task"}
    bank = replace(own, factors=factors, ranks=ranks, axes=tuple(named), cells=(), tasks=tasks)
    bank.write(path)
    return path


@pytest.fixture(scope="module")
def server(run, wide, tmp_path_factory):
    """One server of both banks; relatives serve in the place of languages that are not known."""
    folder = tmp_path_factory.mktemp("server")
    (backbone,) = export(str(run), "backbone", out=str(folder / "backbone"))
    shutil.copy(run / ADAPTER, folder / "replaced.safetensors")
    toy_bank().write(folder / "other.safetensors")
    banks = {"run": run, "wide": wide, **{name: folder / f"{name}.safetensors" for name in ("replaced", "other")}}
    settings = {
        "FLIX_VLLM_BANK": ":".join(f"{name}={path}" for name, path in banks.items()),
        "FLIX_VLLM_CACHE": str(folder / "cache"),
        "FLIX_VLLM_UNSEEN_LANGUAGE": "family",
    }
    with Server(backbone, settings, folder / "server.log") as running:
        yield running


class Reference:
    """What a bank on the backbone says token by token, composed as a name asks."""

    def __init__(self, path: Path) -> None:
        self.model, self.policy = FlixModel.from_bank(path, load_tiny(), "cpu"), UnseenLanguage("family")
        self.plain = self.model.composer

    def prompt(self, name: str, text: str) -> str:
        return self.model.prompt(dict.fromkeys(FIELDS, text), read_name(self.model.bank, name).cell) + PROMPT_END

    def check(self, name: str, prompt: str, answer: dict) -> float:
        """Each token of the answer is the likeliest after those before it; the largest gap of log probabilities."""
        cell, strengths = read_name(self.model.bank, name)
        composer = self.policy.serve(self.plain.with_strengths(strengths), [cell])
        ids = self.model.tokenizer(prompt, add_special_tokens=False).input_ids
        choice = answer["choices"][0]
        said = choice["token_ids"]
        self.model.active.set(composer.compose([cell]))
        with torch.no_grad():
            logits = self.model.backbone(input_ids=torch.tensor([ids + said])).logits[0, len(ids) - 1 : -1]
        assert said == logits.argmax(-1).tolist(), name
        wanted = logits.log_softmax(-1).gather(1, torch.tensor(said)[:, None])[:, 0]
        gaps = wanted - torch.tensor(choice["logprobs"]["token_logprobs"])
        return gaps.abs().max().item()


def test_mixed_requests_at_once_are_answered_as_by_flixmodel(run, server):
    reference, draw = Reference(run), random.Random(0)
    cells = [f"{task}/{language}" for task in TASKS for language in (*LANGUAGES, "gu", "rw", "xx")]
    strong = [
        "ner/sw@language=0.5",
        "ner/ko@language=0.7*sw+0.3*fi",
        "qa_in_lang/bn@task=1.5@language=0",
        "ner/sw@task=0",
    ]
    names = [*cells, *strong, *draw.sample(cells, 20)]
    draw.shuffle(names)
    prompts = [reference.prompt(name, draw.choice(TEXTS)) for name in names]
    answers = server.at_once([(f"run:{n}", p, TOKENS) for n, p in zip(names, prompts)], len(names))
    assert [status for status, _ in answers] == [200] * len(names)
    gaps = [reference.check(*asked) for asked in zip(names, prompts, (answer for _, answer in answers))]
    assert len(names) >= 50 and len(set(names)) >= 30 and max(gaps) < 1e-4
    said = {answer["choices"][0]["text"] for _, answer in answers}
    assert len(said) > 20, "other cells, other answers"
    print(f"{len(names)} requests over {len(set(names))} cells: largest gap of log probabilities {max(gaps):.1e}")


def test_three_hundred_cells_of_a_wide_bank(wide, server):
    reference, draw = Reference(wide), random.Random(1)
    grid = [
        Cell(f"t{t:02}", f"l{n:02}", (("domain", f"d{d:02}"),)) for t in range(40) for n in range(50) for d in (0, 2)
    ]
    names = list(map(str, draw.sample(grid, 300)))
    prompts = [reference.prompt(name, TEXTS[0]) for name in names]
    answers = server.at_once([(f"wide:{n}", p, 4) for n, p in zip(names, prompts)], 32)
    assert [status for status, _ in answers] == [200] * 300
    assert max(reference.check(n, p, answer) for n, p, (_, answer) in list(zip(names, prompts, answers))[::25]) < 1e-4


@pytest.mark.parametrize(
    "name, told",
    [
        ("run:nre/sw", "did you mean 'ner'"),
        ("run:../sw", "unknown task '..'"),
        ("run:../../etc/passwd", "a cell is written"),
        ("run:ner/..", "a cell is written"),
        ("run:ner", "a cell is written"),
        ("run:ner/sw@language=much", "a strength is written"),
        ("run:ner/sw@domain=0.5", "unknown axis of strengths 'domain'"),
        ("run:ner/sw@task=0@language=0", "nothing serves ner/sw"),
        ("rnu:ner/sw", "did you mean 'run'"),
        ("wide:t01/l01", "axis 'domain'"),
        ("run:" + "x" * 600, "at most 512"),
    ],
)
def test_a_name_without_a_cell_is_404_and_the_log_says_why(server, name, told):
    before = len(server.log.read_text(errors="replace"))
    assert server.complete(name, "a", 2)[0] == 404
    assert told in server.log.read_text(errors="replace")[before:]
    assert server.complete("run:ner/sw", "a", 2)[0] == 200


def test_a_damaged_and_a_replaced_bank(run, server):
    path, whole = server.log.with_name("replaced.safetensors"), (run / ADAPTER).read_bytes()
    assert server.complete("replaced:ner/sw", "a", 2)[0] == 200
    path.write_bytes(DAMAGED)
    assert server.complete("replaced:ner/yo", "a", 2)[0] == 404
    assert "damaged" in server.log.read_text(errors="replace")
    assert server.complete("replaced:ner/sw", "a", 2)[0] == 200, "what was composed before still serves"
    path.unlink()
    assert server.complete("replaced:ner/yo", "a", 2)[0] == 404
    other = Bank.read(run)
    other = replace(other, factors={name: 0.5 * factor for name, factor in other.factors.items()})
    other.write(path)
    reference = Reference(path)
    prompt = reference.prompt("ner/yo", TEXTS[1])
    status, answer = server.complete("replaced:ner/yo", prompt, TOKENS)
    assert status == 200 and reference.check("ner/yo", prompt, answer) < 1e-4
    assert len(whole) > 0 and server.lives()


def test_a_deleted_cache_is_composed_again_where_vllm_asks_again(run, server):
    assert server.complete("run:ner/fi", "a", 2)[0] == 200
    assert server.post("/v1/unload_lora_adapter", lora_name="run:ner/fi")[0] == 200
    shutil.rmtree(server.log.with_name("cache"))
    reference = Reference(run)
    prompt = reference.prompt("ner/fi", TEXTS[1])
    status, answer = server.complete("run:ner/fi", prompt, TOKENS)
    assert status == 200 and reference.check("ner/fi", prompt, answer) < 1e-4 and server.lives()


def test_a_bank_of_another_backbone_is_refused(server):
    assert server.complete("other:ner/sw", "a", 2)[0] == 404
    assert "bank: trained on '', where" in server.log.read_text(errors="replace")
    assert server.complete("run:ner/sw", "a", 2)[0] == 200
