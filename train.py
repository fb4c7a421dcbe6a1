"""Train an experiment: `python train.py mixture=joint adapter=flix rank.task=4`; `--help` lists the choices."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from flix_lightning.command import command
from flix_lightning.run_directory import run_directory, write_whole


@hydra.main(config_path="conf", config_name="train", version_base="1.3")
@command
def main(config: DictConfig) -> None:
    from flix_lightning.report import print_report
    from flix_lightning.results import read_record
    from flix_lightning.training import train

    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    run = run_directory(plain)
    if not (run / "record.json").is_file():
        run.mkdir(parents=True, exist_ok=True)
        write_whole(run / "overrides.txt", "\n".join(HydraConfig.get().overrides.task) + "\n")
        benchmark = hydra.utils.instantiate(config.benchmark)
        backbone = hydra.utils.instantiate(config.model)
        logger = hydra.utils.instantiate(config.logger, save_dir=run)
        train(plain, run, benchmark, backbone, logger)
    print_report(read_record(run), run)


if __name__ == "__main__":
    main()
