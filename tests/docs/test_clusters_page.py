"""The commands of docs/clusters.md compose, its launcher too."""

import re
import shlex

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flix_lightning.common.settings import fill
from flix_lightning.training.trainer import TrainerSettings
from tests.configs import ROOT

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/clusters.md").read_text(encoding="utf8"), re.DOTALL)
COMMANDS = [shlex.split(line) for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_composes(command):
    overrides = command[command.index("train") + 1 :]
    firsts = [re.sub(r"=([^,\[{]+),.*", r"=\1", override) for override in overrides if override != "-m"]
    if "hydra/launcher=slurm" in firsts:
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", firsts, return_hydra_config=True)
    settings = fill("trainer", TrainerSettings, OmegaConf.to_container(config.trainer))
    launcher = config.hydra.launcher
    if "hydra/launcher=slurm" in firsts:
        assert (launcher.tasks_per_node, launcher.nodes) == (settings.devices, settings.num_nodes)
        assert launcher.gpus_per_node == settings.devices
        assert launcher.submitit_folder == "runs/slurm/%j", "where the page says that the logs are"
