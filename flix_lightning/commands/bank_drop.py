"""`flix bank drop`: a bank without some of its features."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from flix_lightning.commands.find_bank import find_bank
from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Location, Text, fill


def drop(bank: Text, features: tuple[Text, ...], out: Location, runs_dir: Location) -> None:
    """See conf/bank_drop.yaml."""
    from flix_lightning.adapters.bank import Bank
    from flix_lightning.adapters.features import Feature
    from flix_lightning.adapters.surgery import dropped

    if not features:
        raise FlixError("features: at least one to be dropped, as in features=[language=sw]; got none.")
    whole = Bank.read(find_bank("bank", bank, runs_dir))
    print(dropped(whole, [Feature.parse(feature) for feature in features]).write_folder(Path(out)))


def task(config: DictConfig) -> None:
    fill("", drop, resolved(config))


def main(words: Sequence[str]) -> None:
    start(task, "bank drop", words, positional="bank", texts=["bank", "out"])
