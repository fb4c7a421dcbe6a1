from flix_lightning.commands.main import flix

if __name__ == "__main__":  # the same as `flix train`
    flix("train")
