"""Score a finished run: `python evaluate.py run=runs/<name>/<hash>`; `--help` lists the choices."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from flix_lightning.command import resolved
from flix_lightning.run_directory import read_config
from hydra_shell import start


@hydra.main(config_path="conf", config_name="evaluate", version_base="1.3")
def main(config: DictConfig) -> None:
    plain = resolved(config)
    run = Path(plain["run"])
    trained = read_config(run)

    from lightning import Trainer

    from flix_lightning.assembly import construct, stored_model
    from flix_lightning.evaluation import evaluate
    from flix_lightning.filling import fill
    from flix_lightning.quiet import quieten
    from flix_lightning.report.screen import print_report
    from flix_lightning.unseen.policy import UnseenLanguage

    quieten()
    policy = fill("unseen_language", UnseenLanguage, plain["unseen_language"])
    trained_on = construct("benchmark", trained["benchmark"])
    scored_on = construct("benchmark", plain.get("benchmark")) or trained_on
    backbone = stored_model(trained["model"], plain["trust_remote_code"])
    trainer = Trainer(
        accelerator=plain["accelerator"],
        devices=1,
        precision=plain["precision"] or trained["trainer"]["precision"],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=run,
    )
    chosen = {key: plain[key] for key in ("split", "tasks", "languages", "where", "eval_batch_size")}
    print_report(evaluate(run, trained_on, scored_on, backbone, trainer, **chosen, unseen_language=policy), run)


if __name__ == "__main__":
    start(main, "evaluate")
