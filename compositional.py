"""The compositional study: `python compositional.py` trains what is missing, scores every method, prints the table.

Stop it whenever you like; the same command goes on where it stopped. What follows the options changes every run, and
then the records need a file of their own: `python compositional.py --seeds 0 --results FILE -- trainer.max_steps=20`.
"""

import argparse
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from flix_lightning.commands.shell import command, resolved
from flix_lightning.training.run_directory import run_directory

ROOT = Path(__file__).parent
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
    from flix_lightning.training.results import read_record
    from flix_lightning.training.run import train

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = resolved(compose("train", overrides=list(overrides)))
    run = run_directory(config)
    if not (run / "record.json").is_file():
        benchmark, backbone = load_benchmark(config["benchmark"]), load_backbone(config["model"])
        train(config, run, benchmark, backbone, None, overrides)
    return run, read_record(run)


def run_seed(seed: int, file: Path, overrides: list[str]) -> None:
    """Every record of one seed that the file has not yet."""
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
    setting = Setting(load_benchmark(benchmark), lambda: load_backbone(model), Bank.read(experts), seed)
    study = Study(file, setting, precision_of(record), overrides)
    for method in (m for m in TRAINED if m in lacking(file, seed)):
        run, record = trained(*(part.format(experts=experts) for part in TRAINED[method]), *common)
        stored = 0 if method.startswith("FLix") else sum(record["parameters"].values())  # FLix stands for the experts
        added = stored if "shared" in method else stored // len(setting.cells)
        study.record(method, finished(run), added, stored, record["cells"])
    for method, make in untrained(setting):
        if method in lacking(file, seed):
            study.record(method, make)


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--results", type=Path, default=ROOT / "results" / "compositional.json", help="the records' file"
    )
    parser.add_argument("overrides", nargs="*", help="key=value, for every training run")
    args = parser.parse_args()

    from flix_lightning.evaluation.compositional.records import check_file, read_records
    from flix_lightning.report.compositional import study_table

    check_file(args.results, args.overrides)
    for seed in args.seeds:
        run_seed(seed, args.results, args.overrides)
    table = study_table(read_records(args.results))
    args.results.with_suffix(".md").write_text(table, encoding="utf8")
    print(table, end="")


if __name__ == "__main__":
    main()
