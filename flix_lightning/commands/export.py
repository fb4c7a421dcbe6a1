"""Export a finished run: `flix export run=runs/<name>/<hash> to=peft [cells=[ner/sw,qa/xx]]`.

to=peft       a LoRA folder for each cell, which PEFT and vLLM load as it is
to=merged     a transformers model for each cell, the adapters added to its weights
to=bank       all features in one safetensors file
to=backbone   the bare backbone as a folder, for a LoRA to be loaded on

cells=all     all that the run trained or scored, or pairs task/language, trained or not
out=FOLDER    by default `export/<to>` in the run
rank=N        of every LoRA, filled up with zeros; by default the smallest that vLLM serves
trust=[NAME]  packages beside this one whose classes the run's config may name
"""

import sys

from flix_lightning.commands.shell import command, key_values
from flix_lightning.common.settings import fill


@command
def main() -> None:
    given = key_values(sys.argv[1:], __doc__)

    from flix_lightning.common.console import quieten
    from flix_lightning.inference.export.folders import export

    quieten()
    for folder in fill("", export, given):
        print(folder)


if __name__ == "__main__":
    main()
