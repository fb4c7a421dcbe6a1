"""Inspections of hand-made cells, counted by hand; the command that prints them."""

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.benchmark import Example
from flix_lightning.data.cells import Cell
from flix_lightning.data.inspection import Findings, Inspector, Lengths
from flix_lightning.data.tasks import Task
from flix_lightning.models.tiny_bytes import byte_tokenizer
from flix_lightning.report.data import WORDS
from tests.commands.test_commands import run_command

CELL = Cell("copy", "sw")


class Rows:
    """A benchmark of one cell: split -> (prompt, target) pairs."""

    tasks = {"copy": Task("copy", "{text}", "exact_match", max_target_tokens=6)}

    def __init__(self, **splits):
        self.pairs = splits

    def splits(self, cell):
        return [split for split in ("train", "validation", "test") if split in self.pairs]

    def examples(self, cell, split):
        if self.pairs[split] is None:
            raise FlixError("the file is damaged.")
        return [Example(f"{split}/{i}", *pair) for i, pair in enumerate(self.pairs[split])]


def inspected(tokenizer=None, is_encoder_decoder=True, max_prompt_tokens=20, **splits) -> dict[str, Findings]:
    inspector = Inspector(Rows(**splits), tokenizer or byte_tokenizer(), is_encoder_decoder, max_prompt_tokens)
    return {found.split: found for found in inspector.inspect([CELL])}


def some(found: Findings) -> dict[str, int]:
    return {name: count for name, count in found.counts().items() if count}


def test_lengths_are_in_tokens_with_the_end_of_text():
    # bytes and one end token each: 2, 3, 4, 11
    found = inspected(train=[("a", "x"), ("aa", "xx"), ("é\u00e9"[:1] + "a", "xxx"), ("a" * 10, "")])["train"]
    assert found.rows == 4 and found.prompt == (2, 4, 11, 11) and found.target == (1, 3, 4, 4)


def test_percentiles():
    assert Lengths.of(list(range(1, 101))) == Lengths(1, 51, 96, 100)


def test_what_is_longer_than_a_limit_is_cut():
    rows = [("a" * 19, "x" * 5), ("a" * 20, "x" * 5), ("a", "x" * 6), ("b" * 30, "x" * 7)]
    assert some(inspected(train=rows)["train"]) == {"cut_prompts": 2, "cut_targets": 2}
    # a decoder-only prompt ends in a line feed and no end token: as long
    assert some(inspected(is_encoder_decoder=False, train=rows)["train"]) == {"cut_prompts": 2, "cut_targets": 2}


def test_duplicates_are_within_a_split_and_overlap_is_with_training():
    found = inspected(
        train=[("a", "x"), ("a", "x"), ("a", "y"), ("b", "x")],
        validation=[("a", "z"), ("c", "x"), ("c", "x")],
        test=[("b", "x"), ("b", "z"), ("d", "x")],
    )
    assert some(found["train"]) == {"duplicates": 1}
    assert some(found["validation"]) == {"duplicates": 1, "overlap": 1}
    assert some(found["test"]) == {"overlap": 2}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a\ufffd", "replacement"),
        ("a\x00", "control"),
        ("a\x85", "control"),
        ("a\x1b[0m", "control"),
        ("e\u0301", "not_nfc"),
        ("\u0958", "not_nfc"),  # a letter that NFC takes apart
        ("\u00e9\t", None),
    ],
)
@pytest.mark.parametrize("side", [0, 1])
def test_encoding_trouble_is_found_on_either_side(text, kind, side):
    row = (text, "x") if side == 0 else ("x", text)
    assert some(inspected(train=[("a", "x"), row])["train"]) == ({kind: 1} if kind else {})


def test_empty_targets_are_counted():
    assert some(inspected(test=[("a", ""), ("b", " \n"), ("c", "x")])["test"]) == {"empty_targets": 2}


def test_targets_that_the_tokenizer_cannot_spell_are_counted():
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "habari": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="</s>", pad_token="</s>")
    found = inspected(tokenizer, train=[("ጤና", "habari"), ("a", "habari ጤና")])["train"]
    assert some(found) == {"unknown": 1, "changed": 1} and found.target == (2, 3, 3, 3)
    tokenizer.unk_token = "</s>"  # as in some byte-level tokenizers: the end of text is no unknown token
    assert "unknown" not in some(inspected(tokenizer, train=[("a", "habari")])["train"])


def normalising():
    """A tokenizer that rewrites text, as those of mT5 and NLLB do."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    alphabet = {letter: i for i, letter in enumerate(["</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    letters = Tokenizer(models.BPE(alphabet, []))
    letters.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\u200c", "")])
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="</s>", pad_token="</s>")


@pytest.mark.parametrize("kind", ["byte-level", "normalising"])
def test_targets_that_the_tokenizer_changes_are_counted_and_shown(kind):
    kept = [" news", "news\n", "a  b", "a\nb", ""]
    changed = [("a</s>b", "ab"), *([("½ ﬁ", "1⁄2 fi"), ("می\u200cخواهم", "میخواهم")] if kind == "normalising" else [])]
    rows = [("a", text) for text in [*kept, *(text for text, _ in changed)]]
    found = inspected(normalising() if kind == "normalising" else None, train=rows, test=rows[: len(kept)])
    assert found["train"].changed == len(changed) and found["train"].change == changed[0]
    assert found["test"].changed == 0 and found["test"].change is None


def test_the_command_shows_a_target_that_the_tokenizer_changes(monkeypatch, capsys):
    Path("data/topic/train").mkdir(parents=True)
    rows = [json.dumps({"text": f"t {i}", "label": label}) for i, label in enumerate(("a", " b", "tag </s> [/b] end"))]
    Path("data/topic/train/sw.jsonl").write_text("\n".join(rows) + "\n")
    task = "{prompt: '{text}', target: '{label}', metric: exact_match, max_target_tokens: 16}"
    arguments = [
        "benchmark=directory",
        "benchmark.root=data",
        f"+benchmark.tasks.topic={task}",
        "json=found.json",
        "model=tiny_bytes",
    ]
    assert run_command("validate", *arguments, monkeypatch=monkeypatch) == 0
    message = capsys.readouterr().out
    assert "1 targets the" in message and "'tag </s> [/b] end'; the tokenizer makes it 'tag[/b] end'" in message
    (cell,) = json.loads(Path("found.json").read_text())["cells"]
    assert cell["changed"] == 1 and cell["change"] == ["tag </s> [/b] end", "tag[/b] end"]


def test_a_split_that_cannot_be_read_is_told_and_the_others_are_read():
    found = inspected(train=None, test=[("a", "x")])
    assert found["train"].error == "the file is damaged." and found["train"].prompt is None
    assert found["test"].rows == 1 and found["test"].error is None


def test_every_count_has_words():
    assert set(Findings(CELL, "train").counts()) == set(WORDS)


def test_the_command_lists_every_malformed_row_and_fails_beyond_the_tolerance(monkeypatch, capsys):
    def validate(*arguments: str) -> tuple[int, str]:
        return run_command("validate", *arguments, monkeypatch=monkeypatch), capsys.readouterr().out

    Path("data/qa_in_lang/train").mkdir(parents=True)
    row = json.dumps({"question": "q", "title": "t", "context": "c", "target": "a"})
    Path("data/qa_in_lang/train/sw.jsonl").write_text(f"{row}\n{{}}\n{row}\nx\n")
    Path("data/qa_in_lang/train/yo.jsonl").write_text("")
    arguments = ["benchmark=directory", "benchmark.root=data", "json=found.json", "languages=sw"]
    code, message = validate(*arguments)
    assert code == 1 and "2 malformed rows (benchmark.tolerance allows 0 a file)" in message
    found = json.loads(Path("found.json").read_text())
    assert [line.partition(": ")[0] for line in found["malformed"]] == [
        "data/qa_in_lang/train/sw.jsonl, line 2", "data/qa_in_lang/train/sw.jsonl, line 4"
    ]  # fmt: skip
    (cell,) = found["cells"]
    assert (cell["cell"], cell["rows"], cell["duplicates"]) == ("qa_in_lang/sw", 2, 1) and cell["target"]["max"] == 2
    assert validate(*arguments, "benchmark.tolerance=2")[0] == 0
    code, message = validate(*arguments[:3], "benchmark.tolerance=2")
    assert code == 1 and "yo.jsonl holds no rows" in message
