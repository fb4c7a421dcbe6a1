"""A trained bank ready to answer: requests of any tasks and languages, mixed in one batch."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.bank_file import is_bank
from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.corrections import Calibration
from flix_lightning.adapters.injection import inject
from flix_lightning.adapters.strengths import Strengths
from flix_lightning.adapters.unseen import TASK_ONLY, UnseenLanguage
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import fill, without
from flix_lightning.common.targets import packages
from flix_lightning.data.cells import Cell
from flix_lightning.data.tokens.encoding import Encoded, cut, encode, generation_batch, prompt_tail
from flix_lightning.inference.corrected import add_corrections
from flix_lightning.inference.hub import downloaded, is_on_hub
from flix_lightning.inference.requests import Text, cell_of, prompt_of
from flix_lightning.models.backbone import Backbone, bank_section, stored_backbone
from flix_lightning.models.generation import answers
from flix_lightning.models.next_token import Sampling, likeliest
from flix_lightning.models.positions import check_width
from flix_lightning.training.run_directory import read_config

Given = Strengths | Mapping[str, Any] | None


class FlixModel:
    """A backbone with a trained bank.

    Args:
        backbone: the one that the bank was trained on; adapted in place.
        bank: the trained features.
        device: to compute on; a GPU where there is one, by default.
        strengths: how strongly features serve, in the words of `adapters.strengths`.
        unseen_language: what serves languages that the bank does not know.

    Raises:
        FlixError: the bank does not fit the backbone, or the strengths name what it does not have.
    """

    def __init__(
        self,
        backbone: Backbone,
        bank: Bank,
        device: str | None = None,
        strengths: Given = None,
        unseen_language: UnseenLanguage = TASK_ONLY,
    ) -> None:
        self.backbone, self.tokenizer = backbone
        self.bank, self.unseen_language = bank, unseen_language
        self.composer = bank.composer().with_strengths(Strengths.of(strengths))
        self.active = ActiveComposition(self.composer.total_rank)
        self.truncated = 0  # prompts that were longer than training's and cut, so far
        inject(self.backbone, self.composer.total_rank, self.active, bank.modules, bank.scaling)
        bank.load_into(self.backbone, self.composer)
        try:
            self.backbone.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()  # type: ignore[arg-type]
        except (RuntimeError, AssertionError) as error:  # no such device, or torch is built without it
            raise FlixError(f"device: {device!r} cannot be used: {str(error).splitlines()[0]}") from error

    @staticmethod
    def from_run(
        run: str | Path,
        device: str | None = None,
        trust_remote_code: bool = False,
        trust: str | Sequence[str] = (),
        strengths: Given = None,
        unseen_language: UnseenLanguage = TASK_ONLY,
    ) -> "FlixModel":
        """The adapters of a finished run, or of a bank, on the backbone that they were trained on.

        Args:
            run: a run's folder; a bank file or its folder; or `hf://ORG/NAME[@REVISION]`, a bank exported there.
            device, strengths, unseen_language: see the class.
            trust_remote_code: run the Python code that comes with the backbone, if it is of that kind.
            trust: packages beside this one whose classes the run's config may name.

        Raises:
            FlixError: neither lies there.
        """
        place = downloaded(str(run)) if is_on_hub(run) else Path(run)
        if is_bank(place):
            served = (strengths, unseen_language)
            return FlixModel.from_bank(place, None, device, trust_remote_code, trust, *served)
        config, run, trust = read_config(place), place, packages(trust)
        backbone = stored_backbone(config["model"], trust_remote_code, trust)
        if "bank" not in config["adapter"]:
            return FlixModel(backbone, Bank.read(run), device, strengths, unseen_language)
        calibration = fill("adapter", Calibration, without(config["adapter"], "name"))
        model = FlixModel(backbone, calibration.read(), device, None, unseen_language)
        add_corrections(model, calibration, config, run, trust)
        model.composer = model.composer.with_strengths(Strengths.of(strengths))
        return model

    @staticmethod
    def from_bank(
        path: str | Path,
        backbone: Backbone | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        trust: str | Sequence[str] = (),
        strengths: Given = None,
        unseen_language: UnseenLanguage = TASK_ONLY,
    ) -> "FlixModel":
        """The adapters of a bank file.

        Args:
            backbone: as `load_tiny` and `load_pretrained` give it; by default the one that the bank names.
            device, trust_remote_code, trust, strengths, unseen_language: see `from_run`.
        """
        bank = Bank.read(Path(path))
        if backbone is None:
            backbone = stored_backbone(bank_section(bank), trust_remote_code, packages(trust))
        return FlixModel(backbone, bank, device, strengths, unseen_language)

    def cell(self, task: str, language: str, given: Text = "") -> Cell:
        """The cell of a request; see `requests.cell_of`."""
        return cell_of(self.bank, task, language, given)

    def serving(self, cells: Sequence[Cell], strengths: Given = None) -> Composer:
        """What composes `cells`, stand-ins for unknown languages included.

        Args:
            strengths: in the place of the model's own.

        Raises:
            FlixError: see `Strengths.parse`, `Strengths.check` and `UnseenLanguage.serve`.
        """
        composer = self.composer if strengths is None else self.composer.with_strengths(Strengths.of(strengths))
        return self.unseen_language.serve(composer, cells)

    def prompt(self, text: Text, cell: Cell) -> str:
        """What the model reads for a request; see `requests.prompt_of`."""
        return prompt_of(self.bank, text, cell)

    def generate(
        self,
        texts: Text | Sequence[Text],
        task: str | Sequence[str],
        language: str | Sequence[str],
        batch_size: int = 64,
        max_new_tokens: int | None = None,
        strengths: Given = None,
    ) -> list[str]:
        """Greedy answers, in the order of `texts`.

        Args:
            texts: inputs, without the words of the prompt, or mappings of the prompt's fields; one alone, or several. A
                mapping may hold values on further axes.
            task, language: of each text, or one for all.
            batch_size: answers computed at once; those of like length, whatever their cells. It changes none.
            max_new_tokens: where an answer ends; by default where an answer of its task may.
            strengths: in the place of the model's own.

        Raises:
            FlixError: a request that cannot be (see `cell`, `prompt`), as many texts as neither tasks nor languages, or
                a size out of its range.
        """
        check_sizes(batch_size=batch_size, max_new_tokens=max_new_tokens)
        columns = self._requests(texts, task, language, max_new_tokens)
        return self.answer(*columns, batch_size, strengths=strengths)

    def sample(
        self,
        texts: Text | Sequence[Text],
        task: str | Sequence[str],
        language: str | Sequence[str],
        num_answers: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        batch_size: int = 64,
        max_new_tokens: int | None = None,
        strengths: Given = None,
    ) -> list[list[str]]:
        """`num_answers` drawn answers to each of `texts`, in their order; see `Sampling` and `generate`.

        Under one seed a request has the same answers whatever stands beside it; where it is asked again in the same
        call, it has further ones.
        """
        check_sizes(batch_size=batch_size, max_new_tokens=max_new_tokens)
        columns = self._requests(texts, task, language, max_new_tokens)
        return self.draw(*columns, num_answers, temperature, top_p, seed, batch_size, strengths)

    def draw(
        self,
        cells: Sequence[Cell],
        prompts: Sequence[str],
        limits: Sequence[int],
        num_answers: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        batch_size: int = 64,
        strengths: Given = None,
    ) -> list[list[str]]:
        """`num_answers` drawn answers to each whole prompt; see `sample` and `answer`."""
        check_sizes(batch_size=batch_size, num_answers=num_answers)
        sampling = Sampling(temperature, top_p, seed)
        each = [number for number in range(len(cells)) for _ in range(num_answers)]
        several = [cells[i] for i in each], [prompts[i] for i in each], [limits[i] for i in each]
        drawn = self.answer(*several, batch_size, sampling, strengths)
        return [drawn[start : start + num_answers] for start in range(0, len(drawn), num_answers)]

    def _requests(
        self,
        texts: Text | Sequence[Text],
        task: str | Sequence[str],
        language: str | Sequence[str],
        max_new_tokens: int | None,
    ) -> tuple[list[Cell], list[str], list[int]]:
        """Cell, prompt and limit of each request."""
        texts = [texts] if isinstance(texts, str | Mapping) else list(texts)
        tasks, languages = _one_each("task", task, len(texts)), _one_each("language", language, len(texts))
        cells = [self.cell(*request) for request in zip(tasks, languages, texts)]
        prompts = [self.prompt(text, cell) for text, cell in zip(texts, cells)]
        return cells, prompts, self.limits(cells, max_new_tokens)

    def limits(self, cells: Sequence[Cell], max_new_tokens: int | None = None) -> list[int]:
        """The tokens that each answer may have: its task's, where no other number is given."""
        return [max_new_tokens or self.bank.tasks[cell.task].max_target_tokens for cell in cells]

    def answer(
        self,
        cells: Sequence[Cell],
        prompts: Sequence[str],
        limits: Sequence[int],
        batch_size: int = 64,
        sampling: Sampling | None = None,
        strengths: Given = None,
    ) -> list[str]:
        """Answers to whole prompts, each served by its cell's features and at most its limit of tokens long.

        They are greedy without `sampling`; with it, a prompt that is repeated in a cell has another answer each time.
        Prompts are cut where training's were.
        """
        is_encoder_decoder = self.backbone.config.is_encoder_decoder
        rows = self._encoded(prompts) if prompts else []
        order = sorted(range(len(rows)), key=lambda i: (limits[i], len(rows[i].prompt)))
        composer = self.serving(cells, strengths)
        said, names = [""] * len(rows), _numbered(cells, prompts)
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            check_width(self.backbone, max(len(rows[i].prompt) for i in part), max(limits[i] for i in part))
            inputs = generation_batch([rows[i] for i in part], self.tokenizer.pad_token_id, is_encoder_decoder)
            inputs = {name: tensor.to(self.backbone.device) for name, tensor in inputs.items()}
            self.active.set(composer.compose([cells[i] for i in part]).to(self.backbone.device))
            choose = sampling.choose([names[i] for i in part]) if sampling else likeliest
            found = answers(self.backbone, self.tokenizer, inputs, [limits[i] for i in part], choose)
            for i, answer in zip(part, found, strict=True):
                said[i] = answer
        return said

    def _encoded(self, prompts: Sequence[str]) -> list[Encoded]:
        longest = self.bank.prompting.max_tokens if self.bank.prompting else None
        rows = encode(self.tokenizer, prompts, [""] * len(prompts), self.backbone.config.is_encoder_decoder)
        if longest is None:
            return rows
        self.truncated += sum(len(row.prompt) > longest for row in rows)
        return [cut(row, longest, 1, prompt_tail(self.tokenizer)) for row in rows]


def _numbered(cells: Sequence[Cell], prompts: Sequence[str]) -> list[str]:
    """A name for each answer: its cell, its prompt, and how often this was asked before."""
    before, names = Counter[tuple[Cell, str]](), []
    for asked in zip(cells, prompts, strict=True):
        names.append("/".join(map(str, (*asked, before[asked]))))
        before[asked] += 1
    return names


def check_sizes(**sizes: int | None) -> None:
    """
    Raises:
        FlixError: one is out of its range.
    """
    for name, size in sizes.items():
        if size is not None and not 1 <= size < 1 << 31:
            raise FlixError(f"{name}: at least 1, below 2^31; got {size!r}.")


def _one_each(what: str, value: str | Sequence[str], count: int) -> list[str]:
    values = [value] * count if isinstance(value, str) else list(value)
    if len(values) != count:
        raise FlixError(f"{what}: one for all texts, or one for each of the {count}; got {len(values)}.")
    return values
