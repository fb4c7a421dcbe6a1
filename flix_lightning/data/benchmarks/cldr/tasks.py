"""The five tasks of the benchmark as prompts, metrics and lengths (in bytes, the unit of byte-level models)."""

from flix_lightning.data.tasks import Task

TASKS = {
    task.name: task
    for task in (
        Task("semantic_parsing", "Parse {language}: {input}", "exact_match", 80),
        Task("translation", "Translate {language}: {input}", "chrf", 100),
        Task("ner", "Entities {language}: {input}", "span_f1", 280),
        Task("qa_in_lang", "Answer {language}: {input}", "f1", 100),
        Task("qa_cross_lang", "Answer {language} in English: {input}", "f1", 40),
    )
}
