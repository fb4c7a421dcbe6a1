"""Two main tasks, seven auxiliary ones and their fourteen compositions, as prompts, metrics and lengths in bytes."""

from flix_lightning.data.cells import JOIN
from flix_lightning.data.tasks import Task

LANGUAGES = {"translation_it": "it", "translation_nl": "nl", "translation_sv": "sv"}
STYLES = {f"style_{style}": style for style in ("full", "long", "medium", "short")}  # CLDR's forms of a date

_WORDS = {
    "translation_it": "Italian", "translation_nl": "Dutch", "translation_sv": "Swedish",
    **{task: f"{style} style" for task, style in STYLES.items()},
}  # fmt: skip
_MAIN = {"qa": ("Answer", "exact_match", 60), "ner": ("Entities", "span_f1", 160)}

SINGLE = {
    **{name: Task(name, f"{verb} {{language}}: {{input}}", metric, n) for name, (verb, metric, n) in _MAIN.items()},
    **{
        name: Task(name, f"Rewrite {{language}} in {words}: {{input}}", "exact_match", 160)
        for name, words in _WORDS.items()
    },
}
COMPOSITE = {
    name: Task(name, f"{verb} {{language}} in {words}: {{input}}", metric, n)
    for main, (verb, metric, n) in _MAIN.items()
    for auxiliary, words in _WORDS.items()
    for name in (f"{main}{JOIN}{auxiliary}",)
}
TASKS = {**SINGLE, **COMPOSITE}
