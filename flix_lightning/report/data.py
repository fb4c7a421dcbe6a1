"""What an inspection of data found, as a table."""

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from flix_lightning.data.findings import Findings, Lengths
from flix_lightning.report.screen import printable, screen

WORDS = {
    "cut_prompts": "prompts cut",
    "cut_targets": "targets cut",
    "duplicates": "duplicates",
    "overlap": "prompts of training",
    "empty_targets": "empty targets",
    "unknown": "targets with unknown tokens",
    "changed": "targets the tokenizer changes",
    "replacement": "with U+FFFD",
    "control": "with control characters",
    "not_nfc": "not NFC",
}
SHOWN = 20  # malformed rows that are listed
LONGEST = 80  # characters of a target that are shown


def shortened(text: str) -> str:
    """A text from data on one line."""
    return repr(text) if len(text) <= LONGEST else f"{text[:LONGEST]!r}..."


def counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {WORDS[name]}" for name, count in counts.items() if count)


def lengths(part: Lengths | None) -> str:
    return "" if part is None else "/".join(map(str, part))


def data_table(findings: Iterable[Findings]) -> Table:
    """One line for each cell and split, and their sums."""
    table = Table(title="lengths in tokens: min/median/95 %/max", title_justify="left")
    table.add_column("cell", no_wrap=True)
    table.add_column("split")
    for name in ("rows", "prompt", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("to look at")
    total: dict[str, int] = dict.fromkeys(WORDS, 0)
    rows = 0
    for found in findings:
        counts = found.counts()
        total = {name: total[name] + counts[name] for name in WORDS}
        rows += found.rows
        line = [
            printable(str(found.cell)),
            found.split,
            f"{found.rows:,}",
            lengths(found.prompt),
            lengths(found.target),
        ]
        table.add_row(*line, "cannot be read" if found.error else counted(counts), style="red" if found.error else None)
    table.add_section()
    table.add_row("in all", "", f"{rows:,}", "", "", counted(total))
    return table


def print_findings(findings: Sequence[Findings], malformed: Sequence[str], tolerance: int) -> None:
    """The table, why a split cannot be read, and the malformed rows that were left out of the others."""
    console = screen()
    console.print(data_table(findings))
    for found in findings:
        if found.error:
            console.print(found.error, style="red", highlight=False)
    for found in findings:
        if found.change:
            target, said = (shortened(text) for text in found.change)
            message = f"no answer can be the target {target}; the tokenizer makes it {said}"
            message = f"{printable(str(found.cell))}, {found.split}: {message}"
            console.print(message, style="yellow", highlight=False)
    if malformed:
        console.print(f"{len(malformed)} malformed rows (benchmark.tolerance allows {tolerance} a file):", style="red")
        for line in malformed[:SHOWN]:
            console.print(f"  {line}", highlight=False)
        if len(malformed) > SHOWN:
            console.print(f"  and {len(malformed) - SHOWN} more")
