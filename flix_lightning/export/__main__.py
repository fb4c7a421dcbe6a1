"""Export a finished run: `python -m flix_lightning.export run=runs/<name>/<hash> to=peft [cells=[ner/sw,qa/xx]]`.

to=peft       a LoRA folder for each cell, which PEFT and vLLM load as it is
to=merged     a transformers model for each cell, the adapters added to its weights
to=bank       all features in one safetensors file
to=backbone   the bare backbone as a folder, for a LoRA to be loaded on

cells=all     all that the run trained or scored, or pairs task/language, trained or not; where the run has features of
              further axes, with values on them: cells=[topic/sw/domain=news]
out=FOLDER    by default `export/<to>` in the run
rank=N        of every LoRA, filled up with zeros; by default the smallest that vLLM serves
trust_remote_code=true   run the Python code that comes with the run's model
"""

import sys

from flix_lightning.command import command, key_values
from flix_lightning.filling import fill


@command
def main() -> None:
    given = key_values(sys.argv[1:], __doc__)

    from flix_lightning.export.folders import export
    from flix_lightning.quiet import quieten

    quieten()
    for folder in fill("", export, given):
        print(folder)


if __name__ == "__main__":
    main()
