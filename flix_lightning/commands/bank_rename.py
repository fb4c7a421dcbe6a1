"""`flix bank rename`: a bank with other names for some of its features."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from omegaconf import DictConfig
from typing_extensions import Doc

from flix_lightning.commands.find_bank import find_bank
from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Location, Text, fill

Names = Annotated[Mapping[str, Text], Doc("old value -> new value, as in {language: {iw: he}}")]


def rename(bank: Text, names: Mapping[str, Names], out: Location, runs_dir: Location) -> None:
    """See conf/bank_rename.yaml."""
    from flix_lightning.adapters.bank import Bank
    from flix_lightning.adapters.features import Feature
    from flix_lightning.adapters.surgery import renamed

    new = {Feature(axis, old): value for axis, values in names.items() for old, value in values.items()}
    if not new:
        raise FlixError("names: at least one to be changed, as in 'names={language: {iw: he}}'; got none.")
    print(renamed(Bank.read(find_bank("bank", bank, runs_dir)), new).write_folder(Path(out)))


def task(config: DictConfig) -> None:
    fill("", rename, resolved(config))


def main(words: Sequence[str]) -> None:
    start(task, "bank rename", words, positional="bank", texts=["bank", "out"])
