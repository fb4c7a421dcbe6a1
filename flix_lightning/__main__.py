"""`python -m flix_lightning`: the command `flix`, where it is not installed or not on the PATH."""

from flix_lightning.commands.main import flix

if __name__ == "__main__":
    flix()
