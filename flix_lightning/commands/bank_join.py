"""`flix bank join`: one bank with the features of several of the same backbone."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from flix_lightning.commands.find_bank import find_bank
from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Location, Text, fill


def join(banks: tuple[Text, ...], out: Location, runs_dir: Location) -> None:
    """See conf/bank_join.yaml."""
    from flix_lightning.adapters.bank import Bank
    from flix_lightning.adapters.surgery import joined

    if len(banks) < 2:
        raise FlixError(f"banks: at least two to be joined; got {len(banks)}.")
    print(joined([Bank.read(find_bank("banks", bank, runs_dir)) for bank in banks]).write_folder(Path(out)))


def task(config: DictConfig) -> None:
    fill("", join, resolved(config))


def main(words: Sequence[str]) -> None:
    start(task, "bank join", words, positional="banks")
