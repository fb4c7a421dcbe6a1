"""Notebooks run from top to bottom, and lie in git without outputs."""

import json
from pathlib import Path

import pytest

from tests.configs import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FOUND = ("flix_lightning", "conf")  # what notebooks find in the repository


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path):
    for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
        assert not cell.get("outputs"), "jupyter nbconvert --clear-output --inplace notebooks/*.ipynb"
        assert cell.get("execution_count") is None


def test_links_lead_somewhere():
    for path in NOTEBOOKS:
        text = "".join(
            "".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "markdown"
        )
        for target in (part.partition(")")[0] for part in text.split("](")[1:]):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """The package, configs and notebooks, with a runs folder of their own that the notebooks share."""
    root = tmp_path_factory.mktemp("repository")
    for name in FOUND:
        (root / name).symlink_to(ROOT / name)
    (root / "notebooks").mkdir()
    return root


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, repository):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(repository / "notebooks")}}
    ).execute()
    message = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert "error: " not in message and "Traceback" not in message, "a command in a cell failed"
