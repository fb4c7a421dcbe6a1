"""The file of the study's records: what it lacks, and what is refused before anything is trained."""

import json
from pathlib import Path

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.evaluation.compositional.records import check_file, lacking
from flix_lightning.report.compositional import METHODS
from tests.report.test_compositional import record

FILE = Path("records.json")
LONGER = "trainer.max_steps=20"


def keep(*records: dict) -> None:
    FILE.write_text(json.dumps(records))


def test_a_seed_lacks_the_methods_without_a_record_of_its_own():
    assert lacking(FILE, 0) == list(METHODS)
    keep(record("LoraHub", 0, 1, 2), record("multi-step", 1, 1, 2))
    assert set(METHODS) - set(lacking(FILE, 0)) == {"LoraHub"}
    assert set(METHODS) - set(lacking(FILE, 1)) == {"multi-step"}


def test_records_of_another_study_are_not_added_to():
    check_file(FILE, [LONGER])
    keep(record("LoraHub", 0, 1, 2))
    check_file(FILE, ["runs_dir=elsewhere", "trainer.accelerator=cpu"])  # says where, not what
    with pytest.raises(FlixError, match="max_steps=20.*name another file"):
        check_file(FILE, [LONGER])
    keep({**record("LoraHub", 0, 1, 2), "overrides": [LONGER]})
    check_file(FILE, ["trainer.progress=true", LONGER])
    with pytest.raises(FlixError, match="max_steps=20.*name another file"):
        check_file(FILE, [])


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"method": "LoRAHub"}]'])
def test_a_file_of_something_else_is_refused(content):
    FILE.write_text(content)
    with pytest.raises(FlixError, match="results: 'records.json'"):
        check_file(FILE, [])
    with pytest.raises(FlixError, match=r"ends in \.json"):
        check_file(Path("records.md"), [])
