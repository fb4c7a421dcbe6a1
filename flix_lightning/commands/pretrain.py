"""`flix pretrain`: the embedded model anew, or a learning curve for its card."""

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.settings import Count, Location, Positive, Seed, fill


def make_model(steps: Count, batch_size: Count, learning_rate: Positive, seed: Seed, work: Location) -> None:
    """Pretrain to the last step and ship; see conf/pretrain.yaml."""
    from tokenizers import Tokenizer

    from flix_lightning.common.files import make_directory
    from flix_lightning.models.pretraining.loop import Settings, pretrain
    from flix_lightning.models.pretraining.shipping import ship
    from flix_lightning.models.pretraining.tokenizer import train_tokenizer
    from flix_lightning.models.tiny import tiny_tokenizer

    folder = Path(work)
    make_directory(folder)
    kept = folder / "tokenizer.json"
    if not kept.exists():
        train_tokenizer().save(str(kept), pretty=False)
    vocabulary = Tokenizer.from_file(str(kept))
    ship(*pretrain(Settings(steps, batch_size, learning_rate, seed), tiny_tokenizer(vocabulary), folder), vocabulary)


def add_curve(runs: Path) -> None:
    """Add the runs of the experiment `tiny_curve` to the card of the shipped model."""
    from flix_lightning.models.pretraining.measuring import learning_curve
    from flix_lightning.models.pretraining.shipping import MEASUREMENTS, write_card
    from flix_lightning.models.tiny import FOLDER
    from flix_lightning.report.results import finished

    measured = json.loads((FOLDER / MEASUREMENTS).read_text(encoding="utf8"))
    write_card({**measured, "curve": learning_curve(list(finished(runs).values()))})


def task(config: DictConfig) -> None:
    plain = resolved(config)
    curve = plain.pop("curve")
    if curve is None:
        fill("", make_model, plain)
    else:
        add_curve(Path(curve))


def main(words: Sequence[str]) -> None:
    start(task, "pretrain", words, texts=["work", "curve"])
