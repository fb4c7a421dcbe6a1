"""Answer a file of requests: `flix generate run=runs/<name>/<hash> requests.jsonl [out=FILE]`.

A request is a line of JSON, with the task's fields in the place of `text` where it has several:

    {"task": "ner", "language": "sw", "text": "22 Aprili 2022 na Kifini"}

The answers come in the same order, each the request with an `answer`, to the screen or to `out`. Further keys:
`batch_size=64`, `max_new_tokens=N`, `device=cpu`, and `trust=[NAME]`: packages beside this one whose classes the run's
config may name.
"""

import sys

from flix_lightning.commands.shell import command, key_values
from flix_lightning.common.settings import fill
from flix_lightning.inference.generate import answer


@command
def main() -> None:
    fill("", answer, key_values(sys.argv[1:], __doc__, positional="requests"))


if __name__ == "__main__":
    main()
