"""Where the configs lie: beside the package in a source checkout, inside it in an installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).parent.parent
CONF = next(folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if (folder / "train.yaml").is_file())
