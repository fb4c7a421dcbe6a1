"""Exports on the Hugging Face hub: uploaded to ORG/NAME, and a bank from there by the name `hf://ORG/NAME[@REVISION]`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants, create_repo, snapshot_download, upload_folder
from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, LocalTokenNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.common.errors import FlixError

SCHEME = "hf://"


def is_on_hub(named: object) -> bool:
    return isinstance(named, str) and named.startswith(SCHEME)


def downloaded(named: str) -> Path:
    """The folder with a bank of the hub, from the cache where it was downloaded before.

    Raises:
        FlixError: no such repository, or it cannot be reached.
    """
    repository, _, revision = named.removeprefix(SCHEME).partition("@")
    with _told(named):
        check_repository(repository)
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=[ADAPTER]))


def push(folders: Sequence[Path], repository: str) -> str:
    """Upload a folder, or several that stand side by side under their names; returns the repository's address.

    Raises:
        FlixError: the hub refuses, or cannot be reached.
    """
    with _told(repository):
        address = create_repo(repository, exist_ok=True)
        alone = len(folders) == 1
        upload_folder(
            repo_id=repository,
            folder_path=folders[0] if alone else folders[0].parent,
            allow_patterns=None if alone else [f"{folder.name}/*" for folder in folders],
            commit_message="Written by flix export",
        )
    return str(address)


def check_repository(name: str) -> None:
    """
    Raises:
        FlixError: it is no name of a repository.
    """
    try:
        validate_repo_id(name)
    except ValueError as error:
        raise FlixError(f"hub: a repository is named ORG/NAME; got {name!r}.") from error


@contextmanager
def _told(named: str) -> Iterator[None]:
    """What the hub's library raises, as one line."""
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise FlixError(f"hub: {named!r}: log in with `hf auth login`, or set HF_TOKEN.") from error
    except RepositoryNotFoundError as error:
        raise FlixError(f"hub: {named!r}: no such repository, or it is private: `hf auth login`.") from error
    except LocalEntryNotFoundError as error:
        raise FlixError(
            f"hub: {named!r} is not in {constants.HF_HUB_CACHE}, and {constants.ENDPOINT} cannot be reached "
            "(HF_HUB_OFFLINE must be unset)."
        ) from error
    except (HTTPError, OSError) as error:
        raise FlixError(f"hub: {named!r}: {constants.ENDPOINT} says: {' '.join(str(error).split())}") from error
