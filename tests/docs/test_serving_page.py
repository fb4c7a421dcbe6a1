"""docs/serving.md: its Python runs, its names of cells are names, its variables are the plugin's."""

import json
import re
from dataclasses import replace

import pytest

from flix_lightning.adapters.features import Feature
from flix_lightning.data.cells import Cell
from flix_lightning.inference.serving.names import read_name
from speed.serving import page as measured
from tests.configs import ROOT
from tests.inference.serving.toy import toy_bank

PAGE = (ROOT / "docs/serving.md").read_text(encoding="utf8")
NAMES = re.findall(r"^\| `(\w+/[^`]+)`", PAGE, re.MULTILINE)


def test_the_prompt_of_a_request():
    toy_bank().write("bank.safetensors")
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    page: dict = {}
    exec(re.sub("^  ", "", block, flags=re.MULTILINE).replace("runs/joint-flix/HASH", "bank.safetensors"), page)
    assert page["prompt"] == "ner Swahili: 22 Aprili 2022 na Kifini\n"


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_the_table_is_one(name):
    bank = toy_bank()
    ranks = {**bank.ranks, Feature("language", "rw"): 2, Feature("domain", "news"): 1}
    tasks = {**bank.tasks, "topic": bank.tasks["ner"]}
    if "domain" in name:
        bank = replace(bank, axes=(*bank.axes, "domain"))
    cell, strengths = read_name(replace(bank, ranks=ranks, tasks=tasks), name)
    assert len(NAMES) >= 5 and isinstance(cell, Cell)
    assert bool(strengths.axes or strengths.features) == ("@" in name)


def test_every_variable_of_the_plugin_is_told_and_no_other():
    plugin = (ROOT / "flix_lightning/inference/serving/vllm.py").read_text()
    assert set(re.findall(r"FLIX_VLLM\w*", PAGE)) == set(re.findall(r'"(FLIX_VLLM\w*)"', plugin))


def test_the_measured_page_is_made_of_its_record():
    record = json.loads((ROOT / "speed/serving.json").read_text())
    assert measured(record) == (ROOT / "speed/serving.md").read_text()
