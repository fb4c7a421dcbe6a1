"""The parts of the benchmark; each returns a record of plain numbers."""

import subprocess
import sys
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import torch

from flix_lightning.adapters.injection import merge
from flix_lightning.data.benchmarks.cldr.benchmark import Cldr
from flix_lightning.data.datamodule import Batching, Mixing, MixtureDataModule
from flix_lightning.data.mixture import Mixture
from flix_lightning.data.tokens.store import Caching
from flix_lightning.models.generation import new_tokens
from flix_lightning.models.tiny_bytes import byte_tokenizer
from speed.contestants import STEPS, cells, flix_module, flix_step, peft_model
from speed.device import computed, device
from speed.paths import paths
from speed.shapes import EOS, PAD, Shape
from speed.timing import interleaved, peak_mib

NEW_TOKENS, CELLS = 16, 64  # of part (c)

Record = dict[str, Any]


def training(shape: Shape, rounds: int, quick: bool) -> Record:
    """(a) A training step, time and memory."""
    names = [name for name in STEPS if not (quick and name in ("full", "peft_switched"))]
    memory = {name: peak_mib(lambda name=name: _twice(STEPS[name](shape))) for name in names}
    return {"seconds": interleaved({name: STEPS[name](shape) for name in names}, rounds), "peak_mib": memory}


def _twice(step: Callable) -> None:
    step()
    step()


def features(shape: Shape, rounds: int, quick: bool) -> Record:
    """(b) A training step of FLix with more and more features, optimizer included."""
    counts = shape.features[:2] if quick else shape.features
    return {"seconds": interleaved({str(count): flix_step(shape, features=count) for count in counts}, rounds)}


def generation(shape: Shape, rounds: int, quick: bool) -> Record:
    """(c) Generation for a batch of as many cells as rows: FLix, PEFT's mixed batches, one merged model."""
    rows = 8 if quick else CELLS
    length = 2 if quick else NEW_TOKENS
    limits = [length] * rows
    known = cells(rows + 4)
    module, merged = (flix_module(shape, ("task", "language"), rows + 4) for _ in range(2))
    config = module.backbone.config
    sized = Shape(shape.name, rows, shape.length, shape.targets)
    batch = sized.batch(config.is_encoder_decoder, config.vocab_size)
    inputs = {name: batch[name].to(device()) for name in ("input_ids", "attention_mask")}
    one = merged.composer.compose(known[:1])
    merge(merged.backbone, one.index[0].to(device()), one.weight[0].to(device()))
    peft = peft_model(shape, rows)
    for model in (module.backbone, merged.backbone, peft):
        model.eval()
        model.generation_config.eos_token_id = None
    names = [f"a{row}" for row in range(rows)]
    options = {"max_new_tokens": length, "do_sample": False, "num_beams": 1, "pad_token_id": PAD}

    def flix() -> None:
        module.active.set(module.composer.compose(known).to(device()))
        new_tokens(module.backbone, inputs, limits, PAD, config.vocab_size + EOS)

    def plain() -> None:
        new_tokens(merged.backbone, inputs, limits, PAD, config.vocab_size + EOS)

    contestants = {
        "flix": flix,
        "peft_adapter_names": lambda: peft.generate(**inputs, adapter_names=names, **options),
        "merged": plain,
    }
    with computed(), torch.inference_mode():
        return {"seconds": interleaved(contestants, rounds), "rows": rows, "new_tokens": length}


def loading(shape: Shape, rounds: int, quick: bool) -> Record:
    """(d) Batches from the sampler and the loader beside the training step that waits for them."""
    benchmark = Cldr(rows={"train": 40, "validation": 2, "test": 2})
    mixture = Mixture.select(benchmark.cells, tasks=["semantic_parsing"] if quick else "all")
    batching, caching = Batching(batch_size=shape.rows), Caching(directory=None)
    data = MixtureDataModule(benchmark, mixture, byte_tokenizer(), False, Mixing(), batching, 0, caching)
    data.trainer = _Alone()
    data.setup("fit")
    draws, batches = iter(range(10**9)), iter(data.train_dataloader())
    contestants = {
        "step": STEPS["flix"](shape),
        "sample": lambda: data.global_batches[next(draws)],
        "load": lambda: next(batches),
    }
    found = interleaved(contestants, max(rounds, 4) * 4)
    return {"seconds": found, "rows": shape.rows}


class _Alone:
    """What a datamodule asks of a trainer."""

    global_rank, world_size, global_step = 0, 1, 0


BARE = """
import babel, datasets, hydra, lightning, sacrebleu, torch, torchmetrics, transformers
from lightning.pytorch.callbacks import ModelCheckpoint
from transformers import ByT5Tokenizer, Qwen3ForCausalLM
from flix_lightning.models.tiny_bytes import load_tiny_bytes
load_tiny_bytes()
"""
FIRST_STEP = """
import os, sys
from flix_lightning.commands.main import flix
from flix_lightning.training.module import FlixModule
FlixModule.on_train_batch_end = lambda *_: os._exit(0)
sys.argv = ["flix", "train", "runs_dir=" + sys.argv[1], "logger=none", "trainer.progress=false"]
flix()
"""


def start(shape: Shape, rounds: int, quick: bool) -> Record:
    """(e) From launch to the end of the main job's first step, against the same imports and model and nothing else."""
    with TemporaryDirectory() as folder:
        contestants = {
            "first_step": lambda: _python(FIRST_STEP, folder),
            "bare": lambda: _python(BARE),
        }
        return {"seconds": interleaved(contestants, 1 if quick else rounds, children=True)}


def _python(script: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)


PARTS: dict[str, Callable[[Shape, int, bool], Record]] = {
    "training": training,
    "features": features,
    "generation": generation,
    "paths": paths,
    "loading": loading,
    "start": start,
}
ON_TINY = ("loading", "start")  # measured on the shape that is hardest for them only
