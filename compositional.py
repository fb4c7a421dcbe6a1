"""The compositional study: `python compositional.py` trains what is missing, scores every method, prints the table.

Stop it whenever you like; the same command goes on where it stopped. What follows the options changes every run:
`python compositional.py --seeds 0 -- trainer.max_steps=20`.
"""

import argparse
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from flix_lightning.command import command, resolved
from flix_lightning.run_directory import run_directory

ROOT = Path(__file__).parent
CALIBRATIONS = {
    "calibration ++ (LC++)": ("adapter=calibration_pp",),
    "calibration (LC)": ("adapter=calibration",),
    "calibration, shared": ("adapter=calibration", "adapter.shared=true"),
    "calibration ++, shared": ("adapter=calibration_pp", "adapter.shared=true"),
}


def trained(*overrides: str) -> tuple[Path, dict[str, Any]]:
    """The directory and the record of a run, trained now unless it is finished."""
    from flix_lightning.assembly import construct
    from flix_lightning.results import read_record
    from flix_lightning.running.training import train

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = resolved(compose("train", overrides=list(overrides)))
    run = run_directory(config)
    if not (run / "record.json").is_file():
        benchmark, backbone = (construct(part, config[part]) for part in ("benchmark", "model"))
        train(config, run, benchmark, backbone, None, overrides)
    return run, read_record(run)


def run_seed(seed: int, file: Path, overrides: list[str]) -> None:
    """Every record of one seed."""
    from flix_lightning.assembly import construct
    from flix_lightning.bank import Bank
    from flix_lightning.compositional.methods import Setting, finished, untrained
    from flix_lightning.compositional.study import Study

    common = [f"seed={seed}", "trainer.progress=false", *overrides]
    experts, record = trained("experiment=compositional_experts", *common)
    benchmark, model = (record["config"][part] for part in ("benchmark", "model"))
    setting = Setting(construct("benchmark", benchmark), lambda: construct("model", model), Bank.read(experts), seed)
    study, tasks = Study(file, setting), len(setting.cells)
    for method, adapter in CALIBRATIONS.items():
        run, record = trained("experiment=compositional_calibration", *adapter, f"adapter.bank={experts}", *common)
        stored = sum(record["parameters"].values())
        study.record(method, finished(run), stored if "shared" in method else stored // tasks, stored, record["cells"])
    run, record = trained("experiment=compositional_joint_expert", *common)
    stored = sum(record["parameters"].values())
    study.record("joint-expert LoRA", finished(run), stored // tasks, stored, record["cells"])
    run, record = trained("experiment=compositional_flix", *common)
    study.record("FLix, both features trained jointly", finished(run), known=record["cells"])
    for method, make in untrained(setting):
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
    for seed in args.seeds:
        run_seed(seed, args.results, args.overrides)

    from flix_lightning.compositional.study import read_records
    from flix_lightning.compositional.table import study_table

    table = study_table(read_records(args.results))
    args.results.with_suffix(".md").write_text(table, encoding="utf8")
    print(table, end="")


if __name__ == "__main__":
    main()
