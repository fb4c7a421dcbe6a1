"""What a bank holds: its features by axis, with their ranks."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table


def print_bank(ranks: Mapping[str, int], parameters_per_rank: int) -> None:
    """One line for each feature.

    Args:
        ranks: feature `axis=value` -> rank, in the bank's order.
        parameters_per_rank: of all adapted modules together.
    """
    table = Table()
    table.add_column("feature", no_wrap=True)
    table.add_column("rank", justify="right")
    table.add_column("parameters", justify="right")
    before = None
    for feature, rank in ranks.items():
        axis = feature.partition("=")[0]
        if before not in (None, axis):
            table.add_section()
        table.add_row(feature, str(rank), f"{rank * parameters_per_rank:,}")
        before = axis
    Console(soft_wrap=True, markup=False).print(table)
