"""Pretrains the embedded model: `python -m flix_lightning.models.pretraining`."""

import argparse
from pathlib import Path

from tokenizers import Tokenizer

from flix_lightning.models.pretraining.loop import Settings, pretrain
from flix_lightning.models.pretraining.tokenizer import train_tokenizer
from flix_lightning.models.tiny import tiny_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("runs/pretraining"), help="where vocabulary and checkpoint lie"
    )
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    vocabulary = args.work / "tokenizer.json"
    if not vocabulary.exists():
        train_tokenizer().save(str(vocabulary), pretty=False)
    pretrain(
        Settings(steps=args.steps, seed=args.seed), tiny_tokenizer(Tokenizer.from_file(str(vocabulary))), args.work
    )


if __name__ == "__main__":
    main()
