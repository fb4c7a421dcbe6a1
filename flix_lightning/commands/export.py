"""`flix export`: a finished run in the formats of others."""

from collections.abc import Sequence

from omegaconf import DictConfig

from flix_lightning.commands.find_bank import find_bank
from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.settings import fill, without


def task(config: DictConfig) -> None:
    plain = resolved(config)

    from flix_lightning.adapters.unseen import UnseenLanguage
    from flix_lightning.common.console import quieten
    from flix_lightning.inference.export.folders import export

    quieten()
    run = find_bank("run", plain["run"], plain["runs_dir"])
    policy = fill("unseen_language", UnseenLanguage, plain["unseen_language"])
    settings = without(plain, "run", "runs_dir", "unseen_language")
    for folder in fill("", export, settings, run=str(run), unseen_language=policy):
        print(folder)


def main(words: Sequence[str]) -> None:
    start(task, "export", words, positional="run", texts=["run"])
