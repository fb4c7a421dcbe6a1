"""Export a finished run: for each cell a folder with a LoRA or a merged model, or one folder with the whole bank."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from flix_lightning.adapters.bank_file import ADAPTER, is_bank
from flix_lightning.adapters.features import Feature
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import escaped, whole_folder
from flix_lightning.common.settings import Count, Location, checked
from flix_lightning.data.cells import Cell
from flix_lightning.data.mixture import ALL
from flix_lightning.inference.export.card import model_card
from flix_lightning.inference.export.composed import check_lora, merged_model, one_composition, served_rank, write_lora
from flix_lightning.inference.model import FlixModel
from flix_lightning.training.results import cell_of, read_record

CARD = "README.md"
CELL = re.compile(r"(?P<task>[^/]+)/(?P<language>\w[\w.+-]*)(?P<further>(?:/\w+=.+)?)", re.DOTALL)
FORM = "task/language, e.g. ner/sw, and /axis=value for each further axis"


@checked("")
def export(
    run: Location,
    to: Literal["peft", "merged", "bank", "backbone"],
    cells: str | tuple[str, ...] = ALL,
    out: Location | None = None,
    lora_rank: Count | None = None,
    trust: str | tuple[str, ...] = (),
    trust_remote_code: bool = False,
) -> list[Path]:
    """Write a finished run, or a bank, in another format; returns the folders made.

    Args:
        run: its directory; or a bank file, or its folder.
        to: `peft` and `merged` make a folder for each of `cells`, `bank` one of all features, `backbone` one of the
            bare backbone with its tokenizer.
        cells: `all` that the run trained or scored, or pairs `task/language`, trained or not, and `/axis=value` for
            each further axis that the run has features of.
        out: where the folders are made; by default `export/<to>` in the run's directory.
        lora_rank: of every LoRA, filled up with zeros; by default the smallest that vLLM can serve and that holds all.
        trust: as in `FlixModel.from_run`.
        trust_remote_code: run the Python code that comes with the run's model.

    Raises:
        FlixError: the run is unfinished, or an unknown format, task or pair.
    """
    place = Path(run)
    record = None if is_bank(place) else read_record(place)
    folder = Path(out) if out else (place.parent if place.is_file() else place) / "export" / to
    if to == "bank" and record and (corrected := record["config"]["adapter"].get("bank")):
        raise FlixError(f"to: 'bank': this calibration's is {corrected!r}. Allowed: peft, merged, backbone.")
    model = FlixModel.from_run(run, "cpu", trust_remote_code, trust)
    if to == "backbone":
        return [export_backbone(model, folder)]
    chosen = chosen_cells(model, record, cells)
    if to == "bank":
        return [export_bank(model, record, chosen, folder)]
    return export_cells(model, record, to, chosen, folder, lora_rank)


def chosen_cells(model: FlixModel, record: dict[str, Any] | None, cells: str | Sequence[str]) -> list[Cell]:
    """The cells that `cells` names.

    Raises:
        FlixError: none, a name that is no cell, or an unknown task; an axis without a value, or with an unknown one.
    """
    found = []
    if cells == ALL:
        found = [cell_of(row) for row in record["cells"]] if record else list(model.bank.cells)
        cells = ()
    for name in [cells] if isinstance(cells, str) else cells:
        if (match := CELL.fullmatch(str(name))) is None:
            raise FlixError(f"cells: a cell is written {FORM}; got {name!r}.")
        values = dict(part.split("=", 1) for part in re.split(r"/(?=\w+=)", match["further"])[1:])
        found.append(model.cell(match["task"], match["language"], values))
    if not found:
        raise FlixError(f"cells: none named. Allowed: {ALL!r}, or {FORM}.")
    return found


def export_cells(
    model: FlixModel, record: dict[str, Any] | None, to: str, cells: Sequence[Cell], folder: Path, rank: int | None
) -> list[Path]:
    """A folder `<task>-<language>` for each cell, with the values of further axes if it has any; one rank for all.

    Raises:
        FlixError: two cells whose folders have one name; or see `one_composition`, `write_lora`.
    """
    names: dict[str, Cell] = {}
    for cell in cells:
        name = "-".join(map(escaped, [cell.task, cell.language, *dict(cell.attributes).values()]))
        if names.setdefault(name, cell) != cell:
            raise FlixError(f"cells: {names[name]} and {cell} would both lie in {name!r}; export them to two places.")
    composed = {cell: one_composition(model.composer, cell) for cell in cells}
    if to == "peft" and rank is None:
        rank = served_rank(max(len(index) for index, _ in composed.values()))
    for one in composed.values() if to == "peft" else ():
        check_lora(model.backbone, *one)
    folders = []
    for name, cell in names.items():
        index, weight = composed[cell]
        folders.append(folder / name)
        with whole_folder(folders[-1]) as partial:
            if to == "peft":
                write_lora(partial, model.backbone, index, weight, rank)
            else:
                merged_model(model.backbone, index, weight).save_pretrained(partial)
                model.tokenizer.save_pretrained(partial)
            ranks = {feature: model.composer.allocation[feature] for feature in model.composer.active(cell)}
            _write_card(partial, to, model, record, [cell], ranks)
    return folders


def _write_card(
    folder: Path,
    to: str,
    model: FlixModel,
    record: dict[str, Any] | None,
    cells: Sequence[Cell],
    ranks: Mapping[Feature, int],
) -> None:
    card = model_card(to, model.bank, record, model.backbone.config.is_encoder_decoder, cells, ranks)
    (folder / CARD).write_text(card, encoding="utf8")


def export_bank(model: FlixModel, record: dict[str, Any] | None, cells: Sequence[Cell], folder: Path) -> Path:
    with whole_folder(folder) as partial:
        model.bank.write(partial / ADAPTER)
        _write_card(partial, "bank", model, record, cells, model.bank.ranks)
    return folder


def export_backbone(model: FlixModel, folder: Path) -> Path:
    with whole_folder(folder) as partial:
        none = torch.empty(0, dtype=torch.long)
        merged_model(model.backbone, none, none.float()).save_pretrained(partial)
        model.tokenizer.save_pretrained(partial)
    return folder
