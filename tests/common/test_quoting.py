"""YAML's reading of `no`, `on`, `null` as names, in any section of a user's config file: one line says to quote."""

from pathlib import Path

import pytest

from tests.commands.test_commands import run_command

TOPIC = "prompt: '{text}', target: '{label}', metric: exact_match, max_target_tokens: 4"
FILES = {  # what the user's file says -> where it is wrong
    "axes: {family: {language: {no: germanic, sw: bantu}}}": "benchmark.axes.family.language: a key is false",
    "axes: {family: {language: {sw: no}}}": "benchmark.axes.family.language: a value is text; got False",
    "axes: {family: no}": "benchmark.axes.family",
    "axes: {on: domain}": "benchmark.axes: a key is true",
    "names: {no: Bokmal}": "benchmark.names: a key is false",
    "names: {sw: yes}": "benchmark.names.sw: expected text that is not empty; got True",
    f"tasks: {{topic: {{{TOPIC}, languages: [sw, no]}}}}": "benchmark.tasks.topic.languages: item 2 is false",
    f"tasks: {{topic: {{{TOPIC}, scored: [~]}}}}": "benchmark.tasks.topic.scored: item 1 is null",
    f"tasks: {{topic: {{{TOPIC}, configs: {{no: null}}}}}}": "benchmark.tasks.topic.configs: a key is false",
    f"tasks: {{topic: {{{TOPIC}, language_column: no}}}}": "language_column: expected text that is not",
    "names: {null: x}": "NoneType",
}
SECTIONS = {
    "mixture": ("languages: [sw, no]", "mixture.languages: item 2 is false"),
    "rank": ("overrides: {language: {no: 4}}", "rank.overrides.language: a key is false"),
}


def refused(script: str, printed: str, *arguments: str, monkeypatch, capfd) -> None:
    assert run_command(script, "--config-dir", "mine", *arguments, monkeypatch=monkeypatch) == 1
    error = capfd.readouterr().err
    assert "Traceback" not in error
    (line,) = (line for line in error.splitlines() if line.startswith("error: "))
    assert printed in line and "; quote what is a name: '" in line


@pytest.mark.parametrize("lines", FILES)
def test_a_benchmark_of_the_users(lines, monkeypatch, capfd):
    Path("mine/benchmark").mkdir(parents=True)
    Path("mine/benchmark/mine.yaml").write_text(f"defaults: [directory]\nroot: data\n{lines}\n")
    refused("validate", FILES[lines], "benchmark=mine", monkeypatch=monkeypatch, capfd=capfd)


@pytest.mark.parametrize("section", SECTIONS)
def test_other_sections_of_the_users(section, monkeypatch, capfd):
    lines, printed = SECTIONS[section]
    Path("mine", section).mkdir(parents=True)
    Path("mine", section, "mine.yaml").write_text(f"defaults: [joint]\n{lines}\n")
    refused("train", printed, f"{section}=mine", monkeypatch=monkeypatch, capfd=capfd)


def test_norwegian_in_quotes_and_on_the_command_line_is_norwegian(monkeypatch, capfd):
    Path("mine/benchmark").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        Path(f"data/topic/{split}").mkdir(parents=True)
        for language in ("no", "sw"):
            Path(f"data/topic/{split}/{language}.jsonl").write_text('{"text": "a", "label": "b"}\n')
    task = f"tasks: {{topic: {{{TOPIC}}}}}"
    lines = f"defaults: [directory]\nroot: data\naxes: {{family: {{language: {{'no': germanic}}}}}}\n{task}\n"
    Path("mine/benchmark/mine.yaml").write_text(lines)
    arguments = ("--config-dir", "mine", "benchmark=mine", "languages=[no]")
    assert run_command("validate", *arguments, monkeypatch=monkeypatch) == 0
    printed = capfd.readouterr().out
    assert "topic/no/family=germanic" in printed and "topic/sw" not in printed
