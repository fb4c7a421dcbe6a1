"""Pretrains the embedded model and puts it into the package; or, with --curve, adds a learning curve to its card."""

import argparse
import json
from pathlib import Path

from tokenizers import Tokenizer

from flix_lightning.command import command
from flix_lightning.models.pretraining.loop import Settings, pretrain
from flix_lightning.models.pretraining.measuring import learning_curve
from flix_lightning.models.pretraining.shipping import MEASUREMENTS, ship, write_card
from flix_lightning.models.pretraining.tokenizer import train_tokenizer
from flix_lightning.models.tiny import FOLDER, tiny_tokenizer


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flix_lightning.models.pretraining", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/pretraining"), help="vocabulary, checkpoint, log")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--curve", type=Path, help="runs of experiment=tiny_curve, for the card of the shipped model")
    args = parser.parse_args()
    if args.curve is not None:
        measured = json.loads((FOLDER / MEASUREMENTS).read_text(encoding="utf8"))
        write_card({**measured, "curve": learning_curve(args.curve)})
        return
    args.work.mkdir(parents=True, exist_ok=True)
    kept = args.work / "tokenizer.json"
    if not kept.exists():
        train_tokenizer().save(str(kept), pretty=False)
    vocabulary = Tokenizer.from_file(str(kept))
    settings = Settings(steps=args.steps, seed=args.seed)
    ship(*pretrain(settings, tiny_tokenizer(vocabulary), args.work), vocabulary)


if __name__ == "__main__":
    main()
