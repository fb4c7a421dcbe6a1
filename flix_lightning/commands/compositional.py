"""`flix compositional`: trains what the study lacks, scores every method, prints the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from flix_lightning.commands.arguments import quoted
from flix_lightning.commands.hydra_shell import composed, start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.settings import fill
from flix_lightning.common.targets import COMPOSED
from flix_lightning.training.run_directory import run_directory

CALIBRATION = ("experiment=compositional_calibration", "adapter.bank={experts}")
TRAINED = {  # method -> its training run
    "calibration ++ (LC++)": (*CALIBRATION, "adapter=calibration_pp"),
    "calibration (LC)": CALIBRATION,
    "calibration, shared": (*CALIBRATION, "adapter.shared=true"),
    "calibration ++, shared": (*CALIBRATION, "adapter=calibration_pp", "adapter.shared=true"),
    "joint-expert LoRA": ("experiment=compositional_joint_expert",),
    "FLix, both features trained jointly": ("experiment=compositional_flix",),
}


def trained(*overrides: str) -> tuple[Path, dict[str, Any]]:
    """The directory and the record of a run, trained now unless it is finished."""
    from flix_lightning.data.benchmarks.benchmark import load_benchmark
    from flix_lightning.models.backbone import load_backbone
    from flix_lightning.training.results import is_finished, read_record
    from flix_lightning.training.run import train

    config = resolved(composed("train", overrides))
    run = run_directory(config)
    if not is_finished(run):
        benchmark, backbone = load_benchmark(config["benchmark"], COMPOSED), load_backbone(config["model"], COMPOSED)
        train(config, run, benchmark, backbone, None, overrides)
    return run, read_record(run)


def run_seed(seed: int, file: Path, overrides: Sequence[str]) -> None:
    """Add every record of one seed that the file lacks."""
    from flix_lightning.adapters.bank import Bank
    from flix_lightning.data.benchmarks.benchmark import load_benchmark
    from flix_lightning.evaluation.compositional.methods import Setting, finished, untrained
    from flix_lightning.evaluation.compositional.records import lacking
    from flix_lightning.evaluation.compositional.study import Study
    from flix_lightning.models.backbone import load_backbone
    from flix_lightning.training.results import precision_of

    if not lacking(file, seed):
        return
    common = [f"seed={seed}", "trainer.progress=false", *overrides]
    experts, record = trained("experiment=compositional_experts", *common)
    benchmark, model = (record["config"][part] for part in ("benchmark", "model"))
    scored_on, fresh = load_benchmark(benchmark, COMPOSED), lambda: load_backbone(model, COMPOSED)
    setting = Setting(scored_on, fresh, Bank.read(experts), seed)
    scored = Study(file, setting, precision_of(record), list(overrides))
    for method in (m for m in TRAINED if m in lacking(file, seed)):
        run, record = trained(*(part.format(experts=quoted(str(experts))) for part in TRAINED[method]), *common)
        stored = 0 if method.startswith("FLix") else sum(record["parameters"].values())  # FLix stands for the experts
        added = stored if "shared" in method else stored // len(setting.cells)
        scored.record(method, finished(run), added, stored, record["cells"])
    for method, make in untrained(setting):
        if method in lacking(file, seed):
            scored.record(method, make)


def study(seeds: Sequence[int], results: str, overrides: Sequence[str]) -> None:
    """See conf/compositional.yaml."""
    from flix_lightning.evaluation.compositional.records import check_file, read_records
    from flix_lightning.report.compositional import study_table

    file = Path(results)
    check_file(file, list(overrides))
    for seed in seeds:
        run_seed(seed, file, overrides)
    table = study_table(read_records(file))
    file.with_suffix(".md").write_text(table, encoding="utf8")
    print(table, end="")


def task(config: DictConfig) -> None:
    fill("", study, resolved(config))


def main(words: Sequence[str]) -> None:
    start(task, "compositional", words, passed_on="overrides")
