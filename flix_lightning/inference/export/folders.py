"""Export a finished run: folders of cells, as LoRAs or merged models; one folder of features, bank or backbone."""

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from flix_lightning.adapters.bank_file import ADAPTER, is_bank
from flix_lightning.adapters.unseen import TASK_ONLY, UnseenLanguage
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import escaped, whole_folder
from flix_lightning.common.settings import Count, Location, Text, checked
from flix_lightning.data.cells import Cell
from flix_lightning.data.mixture import ALL
from flix_lightning.inference import hub
from flix_lightning.inference.export.card import UNSERVED, write_card
from flix_lightning.inference.export.composed import check_lora, merged_model, one_composition, served_rank, write_lora
from flix_lightning.inference.export.features import export_features
from flix_lightning.inference.model import FlixModel
from flix_lightning.inference.requests import FORM, named_cell
from flix_lightning.training.results import cell_of, read_record


@checked("")
def export(
    run: Location,
    to: Literal["peft", "features", "merged", "bank", "backbone"],
    cells: str | tuple[str, ...] = ALL,
    out: Location | None = None,
    lora_rank: Count | None = None,
    base_model_name_or_path: Text | None = None,
    strengths: Mapping[str, Any] | None = None,
    unseen_language: UnseenLanguage = TASK_ONLY,
    push: Text | None = None,
    trust: str | tuple[str, ...] = (),
    trust_remote_code: bool = False,
) -> list[Path]:
    """Write a finished run, or a bank, in another format; returns the folders made.

    Args:
        run: its directory; or a bank file, or its folder.
        to: `peft` and `merged` make a folder for each of `cells`, `features` one with a LoRA for each feature and a
            manifest that says which of them serve a cell, `bank` one of all features in a file, `backbone` one of the
            bare backbone with its tokenizer.
        cells: `all` that the run trained or scored, or pairs `task/language`, trained or not, and `/axis=value` for
            each further axis that the run has features of.
        out: where the folders are made; by default `export/<to>` in the run's directory.
        lora_rank: of every LoRA, filled up with zeros; by default the smallest that vLLM can serve and that holds all,
            and of a feature its own.
        base_model_name_or_path: of every LoRA: where a reader finds the backbone; by default its name.
        push: a repository of the Hugging Face hub, ORG/NAME, that gets what was written.
        strengths, unseen_language: what serves the cells, as in `FlixModel.from_run`.
        trust: as in `FlixModel.from_run`.
        trust_remote_code: run the Python code that comes with the run's model.

    Raises:
        FlixError: the run is unfinished, or an unknown format, task or pair.
    """
    if push is not None:
        hub.check_repository(push)
    place = Path(run)
    record = None if is_bank(place) else read_record(place)
    folder = Path(out) if out else (place.parent if place.is_file() else place) / "export" / to
    if to in ("bank", "features") and record and (corrected := record["config"]["adapter"].get("bank")):
        raise FlixError(f"to: {to!r}: this calibration's bank is {corrected!r}. Allowed: peft, merged, backbone.")
    _check_used(to, ("bank", "backbone"), strengths=strengths, unseen_language=unseen_language != TASK_ONLY)
    _check_used(to, ("bank", "backbone", "merged"), base_model_name_or_path=base_model_name_or_path)
    model = FlixModel.from_run(run, "cpu", trust_remote_code, trust, strengths, unseen_language)
    chosen = chosen_cells(model, record, cells)
    if to == "backbone":
        made = [export_backbone(model, folder)]
    elif to == "bank":
        made = [export_bank(model, record, chosen, folder)]
    elif to == "features":
        made = [export_features(model, record, chosen, folder, cells == ALL, lora_rank, base_model_name_or_path)]
    else:
        made = export_cells(model, record, to, chosen, folder, lora_rank, base_model_name_or_path)
    if model.backbone.config.is_encoder_decoder:
        print(UNSERVED, file=sys.stderr)
    if push is not None:
        print(f"pushed to {hub.push(made, push)}", file=sys.stderr)
    return made


def _check_used(to: str, without: Collection[str], **settings: Any) -> None:
    """
    Raises:
        FlixError: a setting that an export of this kind would not use.
    """
    for name, given in settings.items():
        if given and to in without:
            raise FlixError(f"{name}: an export to={to} holds no composition that it could change.")


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
        found.append(named_cell(model.bank, str(name), "cells"))
    if not found:
        raise FlixError(f"cells: none named. Allowed: {ALL!r}, or {FORM}.")
    return found


def export_cells(
    model: FlixModel,
    record: dict[str, Any] | None,
    to: str,
    cells: Sequence[Cell],
    folder: Path,
    rank: int | None,
    base: str | None,
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
    composer = model.serving(cells)
    composed = {cell: one_composition(composer, cell) for cell in cells}
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
                write_lora(partial, model.backbone, index, weight, rank, base)
            else:
                merged_model(model.backbone, index, weight).save_pretrained(partial)
                model.tokenizer.save_pretrained(partial)
            ranks = {feature: composer.allocation[feature] for feature in composer.active(cell)}
            write_card(partial, to, model, record, [cell], ranks, composer.weights(cell))
    return folders


def export_bank(model: FlixModel, record: dict[str, Any] | None, cells: Sequence[Cell], folder: Path) -> Path:
    with whole_folder(folder) as partial:
        model.bank.write(partial / ADAPTER)
        write_card(partial, "bank", model, record, cells, model.bank.ranks)
    return folder


def export_backbone(model: FlixModel, folder: Path) -> Path:
    with whole_folder(folder) as partial:
        none = torch.empty(0, dtype=torch.long)
        merged_model(model.backbone, none, none.float()).save_pretrained(partial)
        model.tokenizer.save_pretrained(partial)
    return folder
