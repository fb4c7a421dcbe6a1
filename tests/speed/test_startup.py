"""A large mixture starts from what is kept, without reading its examples, in bounded memory."""

import sys
from pathlib import Path

import pytest

from speed.startup import MadeUp, data_module, measure


def test_a_start_reads_no_examples_and_tokenises_nothing(monkeypatch):
    benchmark = MadeUp(cells=60, rows=600)
    data = data_module(benchmark, Path("cache"))
    data.prepare_data()
    data.setup("fit")
    first = data.global_batches[1000]
    monkeypatch.setattr(MadeUp, "stream", None)
    monkeypatch.setattr("flix_lightning.data.tokens.tokenised.encode", None)
    again = data_module(MadeUp(cells=60, rows=600), Path("cache"))
    again.prepare_data()
    again.setup("fit")
    assert (
        again.tokenised.encoded(benchmark.cells[7], "train")[3]
        == data.tokenised.encoded(benchmark.cells[7], "train")[3]
    )
    assert again.global_batches[1000].rows.tolist() == first.rows.tolist()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_memory_does_not_follow_the_rows(tmp_path):
    measures = {rows: measure(cells=40, rows=rows, cache=tmp_path / str(rows))["start"] for rows in (40_000, 400_000)}
    grown = {rows: facts["own_mib_at_end"] - facts["own_mib_at_imports"] for rows, facts in measures.items()}
    assert measures[400_000]["cache_mib"] > 8 * measures[40_000]["cache_mib"]
    assert grown[400_000] < grown[40_000] + 5, grown
    assert measures[400_000]["build_cpu_seconds"] < 3
