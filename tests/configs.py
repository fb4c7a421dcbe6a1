"""Composed configs and small experiments for tests."""

import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from flix_lightning.commands.shell import Section
from flix_lightning.data.benchmarks.cldr.benchmark import Cldr
from flix_lightning.models.backbone import Backbone
from flix_lightning.models.tiny_bytes import byte_tokenizer

ROOT = Path(__file__).parent.parent
FLIX = (sys.executable, "-m", "flix_lightning")
SMALL = (
    "mixture.tasks=[semantic_parsing, qa_cross_lang, translation]",
    "mixture.languages=[sw, yo, bn]",
    "mixture.train={qa_cross_lang: [bn]}",
    "benchmark.rows={train: 20, validation: 2, test: 3}",
    "data.batch_size=8",
    "data.bucket=2",
    "trainer.max_steps=6",
    "trainer.validate_every=3",
    "trainer.checkpoint_every=2",
    "trainer.progress=false",
    "trainer.accelerator=cpu",
    "logger=none",
    "runs_dir=runs",
)


def composed(*overrides: str, config: str = "train") -> Section:
    """The resolved config of a command line, as its command gets it."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return Section.of(OmegaConf.to_container(compose(config, overrides=list(overrides)), resolve=True))


def small_benchmark() -> Cldr:
    return Cldr(rows={"train": 20, "validation": 2, "test": 3})


def untrained_backbone(kind: str = "llama") -> Backbone:
    """A byte-level model of a few thousand parameters with fixed random weights."""
    import torch

    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "eos_token_id": 1, "vocab_size": 384}
    if kind == "llama":
        config = LlamaConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, **ids)
        return Backbone(LlamaForCausalLM(config).eval(), byte_tokenizer())
    config = T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0, dropout_rate=0.0, **ids
    )
    return Backbone(T5ForConditionalGeneration(config).eval(), byte_tokenizer())
