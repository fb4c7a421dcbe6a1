"""Policies for unseen languages side by side: one row for each language, one column for each policy."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from flix_lightning.adapters.unseen import LANGUAGE, STAND_INS
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import make_directory, write_whole
from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.languages import family, script
from flix_lightning.evaluation.kept_scores import read_scores
from flix_lightning.report.comparison import Record, by_model, check_alike, check_one_format, spread
from flix_lightning.training.results import place_of

FOLDER = "unseen_languages"  # of results/: what `flix evaluate` wrote, by policy
UNSEEN = f"unseen {LANGUAGE}"  # the group of cells
Place = tuple[str, str]  # task, and language with values on further axes


def collect_policies(runs: Sequence[Path], results: Path) -> None:
    """Copy the test scores of every policy that runs were evaluated with.

    Raises:
        FlixError: there are none, they are damaged, or they make no one table with those of before; nothing is copied.
    """
    folder, copies = results / FOLDER, {}
    for run in runs:
        found = [path for path in sorted(run.rglob("scores-*.json")) if _is_of_a_policy(read_scores(path))]
        if not found:
            raise FlixError(f"policies: no run in {str(run)!r} was evaluated on its test cells.")
        copies |= {folder / f"{path.parent.parent.name}-{path.parent.name}-{path.name}": path for path in found}
    if copies:
        before = {path: path for path in sorted(folder.glob("*.json"))}
        by_model([read_scores(path) for path in (before | copies).values()], policies_table)
        make_directory(folder)
    for copy, path in copies.items():
        write_whole(copy, path.read_bytes())


def _is_of_a_policy(scores: Record) -> bool:
    """Whether they are test scores with every known feature at full strength."""
    return scores.get("split") == "test" and not scores.get("strengths")


def policies_table(scores: Sequence[Record]) -> str:
    """A Markdown table of the scores of unseen languages, mean ± standard deviation over seeds.

    The last rows are means over the cells that every evaluation has scored, so that policies can be compared by them.

    Raises:
        FlixError: no such language was scored; or the evaluations are of runs that differ in more than the seed, of
            several benchmarks or rows, or in several number formats.
    """
    found = {label: records for label, records in _by_policy(scores).items() if records}
    every = [record for records in found.values() for record in records]
    if not every:
        raise FlixError("policies: none of the evaluations has scored a language that was not trained.")
    _check_comparable(every)
    own = {label: [_unseen(record) for record in records] for label, records in found.items()}
    shared = set.intersection(*(set(cells) for records in own.values() for cells in records))
    lines = []
    for task, place in sorted({cell for records in own.values() for cells in records for cell in cells}):
        language = place.partition("/")[0]
        values = {label: [c[task, place] for c in records if (task, place) in c] for label, records in own.items()}
        lines.append([task, place, (family(language) or ("",))[-1], script(language) or "", *_row(values)])
    means = {label: [fmean(c[cell] for cell in shared) for c in records] for label, records in own.items() if shared}
    of = "mean" if len(shared) == len(lines) else f"mean of the {len(shared)} that all have"
    lines.append([of, "", "", "", *(_row(means) if shared else [""] * len(own))])
    lines.append(["seeds", "", "", "", *(len({r["config"]["seed"] for r in records}) for records in found.values())])
    return markdown_table(["task", "language", "family", "script", *own], lines)


def _unseen(record: Record) -> dict[Place, float]:
    return {(row["task"], place_of(row)): row["score"] for row in record["cells"] if row["group"] == UNSEEN}


def _by_policy(scores: Sequence[Record]) -> dict[str, list[Record]]:
    """Policies in the order of `STAND_INS`, those with several settings told apart by these."""
    found: dict[str, list[Record]] = {}
    for stand_in in STAND_INS:
        own = [r for r in scores if r["unseen_language"]["stand_in"] == stand_in and _unseen(r)]
        several = len({repr(r["unseen_language"]) for r in own}) > 1
        for record in own:
            settings = (f"{key}={value}" for key, value in record["unseen_language"].items() if key != "stand_in")
            found.setdefault(" ".join([stand_in, *settings]) if several else stand_in, []).append(record)
    return found


def _check_comparable(scores: Sequence[Record]) -> None:
    check_one_format("policies", scores)
    check_alike("policies", scores)
    for what, values in _same(scores):
        if len(values) > 1:
            raise FlixError(f"policies: evaluations on several {what} make no one table: {', '.join(sorted(values))}.")


def _same(scores: Sequence[Record]) -> Iterator[tuple[str, set[str]]]:
    """What all evaluations have to have in common: the values that occur."""
    yield "benchmarks", {f"{r['benchmark']} {r.get('source') or ''}".strip() for r in scores if "benchmark" in r}
    rows: dict[Place, set[str]] = {}
    for record in scores:
        for row in record["cells"]:
            if "rows" in row:
                rows.setdefault((row["task"], place_of(row)), set()).add(row["rows"])
    yield from ((f"sets of rows of {'/'.join(place)}", digests) for place, digests in rows.items())


def _row(found: Mapping[str, Sequence[float]]) -> list[str]:
    best = max(round(fmean(values), 1) for values in found.values() if values)
    told = [(spread(values), round(fmean(values), 1) == best) if values else ("", False) for values in found.values()]
    return [f"**{text}**" if bold else text for text, bold in told]
