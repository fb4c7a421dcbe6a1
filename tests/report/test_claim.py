"""Claims' verdicts: by rows as `difference` has them, by seeds as scipy has them."""

import math
from pathlib import Path

import pytest
from scipy import stats

from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.predictions import Prediction, write_predictions
from flix_lightning.report.claim import Claim, claims_table
from flix_lightning.report.diversity import Diversity
from flix_lightning.report.evidence import Evidence
from flix_lightning.report.paired import Column as Pairs
from flix_lightning.report.paired import difference
from flix_lightning.report.side_by_side import by_cell
from tests.report.test_study import RECORDS, STUDY, cells, run

CELLS = [Cell("ner", "sw"), Cell("parse", "sw"), Cell("parse", "yo")]


def kept(records) -> Evidence:
    """Records that lie on no disk."""
    return Evidence({Path(f"{number}.json"): record for number, record in enumerate(records)})


def with_rows(adapter: str, seed: int, right: int, rows: int = 40, target: str = "yes"):
    """A run that answers `right` and every seventh further row of each cell, its record and its predictions."""
    answers = [target if i < right + seed or i % 7 == 0 else "no" for i in range(rows)]
    score = 100 * answers.count(target) / rows
    predictions = [Prediction(c, i, "exact_match", said, target) for c in CELLS for i, said in enumerate(answers)]
    path = Path(f"{adapter}-{seed}.json")
    write_predictions(path, predictions)
    return path, run(adapter, seed, cells(score, score, score)), by_cell(predictions)


@pytest.mark.parametrize("head, columns", [("NER", CELLS[:1]), ("zero-shot", CELLS[2:]), ("avg", None)])
def test_where_predictions_are_kept_a_verdict_is_by_rows(head, columns):
    found = [with_rows("flix", seed, 20) for seed in (0, 1, 2)] + [with_rows("lora", seed, 12) for seed in (0, 1)]
    evidence = Evidence({path: record for path, record, _ in found})
    ours, theirs = {s: found[s][2] for s in (0, 1)}, {s: found[3 + s][2] for s in (0, 1)}
    parts = [Pairs(ours, theirs, own) for own in ([columns] if columns else [CELLS[:1], CELLS[2:]])]
    claim = Claim("", STUDY, "ours", "theirs", head)
    assert claim.found(evidence) == difference(parts)
    assert claim.found(evidence).evidence == "rows"
    assert claim.verdict(claim.found(evidence)) == "holds"
    (line,) = claims_table([claim], evidence).splitlines()[2:]
    assert line.endswith("| 2 | rows | **holds** |")


def test_one_seed_is_said_to_be_one():
    found = [with_rows("flix", 0, 20), with_rows("lora", 0, 12)]
    evidence = Evidence({path: record for path, record, _ in found})
    assert Claim("", STUDY, "ours", "theirs").found(evidence).evidence == "rows, one seed"
    (line,) = claims_table([Claim("better", STUDY, "ours", "theirs")], kept(RECORDS)).splitlines()[2:]
    assert line == (
        "| better | Table, avg | 0 | -1.0 | +12.0 | unknown | unknown | 1 | seeds only, one seed | **undecided** |"
    )


def test_a_run_without_predictions_leaves_seeds_only():
    found = [with_rows(adapter, seed, right) for adapter, right in (("flix", 20), ("lora", 12)) for seed in (0, 1)]
    Path("lora-1.predictions.jsonl.gz").unlink()
    by_seeds = Claim("", STUDY, "ours", "theirs").found(Evidence({path: record for path, record, _ in found}))
    assert (by_seeds.evidence, by_seeds.rows) == ("seeds only", 0)


@pytest.mark.parametrize("bound, verdict", [(0, "holds"), (8, "undecided"), (30, "fails")])
def test_seeds_only_is_students_interval(bound, verdict):
    points = [9.0, 11.5, 10.0]
    records = [run("flix", seed, cells(50 + gain, 0, 50 + gain)) for seed, gain in enumerate(points)]
    records += [run("lora", seed, cells(50, 0, 50)) for seed in range(3)]
    claim = Claim("", STUDY, "ours", "theirs", bound=bound)
    found = claim.found(kept(records))
    expected = stats.ttest_1samp(points, 0).confidence_interval()
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert claim.verdict(found) == verdict
    half = (stats.t.ppf(0.975, 2) + stats.t.ppf(0.8, 2)) * stats.sem(points)
    assert found.smallest == pytest.approx(half)
    assert "| +10.2 ± 1.3 | +7.0 to +13.3 |" in claims_table([claim], kept(records))


def test_what_was_not_run_is_told():
    claims = [Claim("a", STUDY, "ours", "theirs"), Claim("b", STUDY, "theirs", "ours")]
    assert claims_table(claims, kept([])) == "2 claims: not run.\n"
    elsewhere = Claim("c", STUDY, "ours", "theirs", "NER")
    only_parse = [run("flix", 4, {("parse", "yo", "unseen combination"): 1})]
    found = kept([*RECORDS, *only_parse])
    assert claims_table([elsewhere, *claims], found).count("seeds only") == 3
    assert Claim("", STUDY, "ours", "theirs").verdict(None) == "not run"


def test_a_difference_from_nothing_and_one_between_studies_are_by_seeds():
    assert Claim("", STUDY, "ours", None).found(kept(RECORDS)).by_seed == {0: 42.0, 1: 41.0}
    twice = Diversity("Figure", "", STUDY, STUDY, labels=("NER",), comparable=("NER",))
    assert Claim("", twice, "ours", "ours").found(kept(RECORDS)).mean == 0


def test_runs_of_other_rows_make_no_claim():
    found = [with_rows("flix", 0, 20), with_rows("lora", 0, 12, target="aye")]
    with pytest.raises(FlixError, match="Table, NER, ours and theirs: ner/sw: .* other rows"):
        Claim("", STUDY, "ours", "theirs").found(Evidence({path: record for path, record, _ in found}))
    assert math.isinf(Claim("", STUDY, "ours", "theirs").found(kept(RECORDS)).error)
