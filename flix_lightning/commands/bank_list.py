"""`flix bank list`: the features of a bank, with their ranks and sizes, and what it was trained on."""

from collections.abc import Sequence

from omegaconf import DictConfig

from flix_lightning.commands.find_bank import find_bank
from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved


def task(config: DictConfig) -> None:
    plain = resolved(config)

    from flix_lightning.adapters.bank import Bank
    from flix_lightning.report.bank import print_bank

    bank = Bank.read(find_bank("bank", plain["bank"], plain["runs_dir"]))
    per_rank = sum(factor.numel() for factor in bank.factors.values()) // sum(bank.ranks.values())
    print_bank({str(feature): rank for feature, rank in bank.ranks.items()}, per_rank)
    print(f"backbone {bank.backbone or 'without a name'}; {len(bank.modules)} adapted modules; {len(bank.cells)} cells")


def main(words: Sequence[str]) -> None:
    start(task, "bank list", words, positional="bank", texts=["bank"])
