"""`flix pretrain`: the embedded model anew."""

from collections.abc import Sequence

from omegaconf import DictConfig

from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.settings import fill


def task(config: DictConfig) -> None:
    plain = resolved(config)

    from flix_lightning.models.pretrain import Pretraining, launch

    launch(fill("", Pretraining, plain))


def main(words: Sequence[str]) -> None:
    start(task, "pretrain", words)
