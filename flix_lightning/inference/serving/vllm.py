"""A vLLM plugin: one bank serves every cell. `FLIX_VLLM_BANK=runs/joint-flix/HASH` switches it on.

vLLM finds it by the entry point `vllm.general_plugins` and, with `VLLM_ALLOW_RUNTIME_LORA_UPDATING=1`, asks it for any
model name that it does not know: `model="ner/sw"` in a request is composed from the bank into a LoRA folder, which vLLM
loads and keeps. See docs/serving.md.
"""

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_cache_path
from vllm.logger import init_logger
from vllm.lora.request import LoRARequest
from vllm.lora.resolver import LoRAResolver, LoRAResolverRegistry

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.unseen import UnseenLanguage
from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import fill
from flix_lightning.inference.hub import downloaded, is_on_hub
from flix_lightning.inference.serving.fit import check_fit
from flix_lightning.inference.serving.folders import ComposedFolders, trim

BANK = "FLIX_VLLM_BANK"  # a bank file, a finished run or hf://ORG/NAME; or several, NAME=PATH:NAME=PATH
CACHE = "FLIX_VLLM_CACHE"  # where composed folders are kept; by default in the user's cache directory
CACHE_MIB = "FLIX_VLLM_CACHE_MIB"  # the cache is brought below this when a server starts
UNSEEN_LANGUAGE = "FLIX_VLLM_UNSEEN_LANGUAGE"  # the policy: task_only, mean, family or script
RESOLVER = "FLix"
MIB = 1 << 20

logger = init_logger(f"vllm.{__name__}")  # vLLM shows its own loggers' lines


class FlixResolver(LoRAResolver):
    """Names of cells -> LoRAs.

    Args:
        banks: name -> its folders; the name is empty where there is one bank only, else in names of cells,
            `NAME:task/language`.
    """

    def __init__(self, banks: Mapping[str, ComposedFolders]) -> None:
        self.banks = banks

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
        """The LoRA of a cell; None, which vLLM answers with 404, where the name has no cell. The log says why."""
        try:
            folder = await asyncio.to_thread(self.folder, base_model_name, lora_name)
        except FlixError as error:
            logger.warning("%r cannot be served: %s", lora_name[:80], error)
            return None
        return LoRARequest(lora_name=lora_name, lora_int_id=1, lora_path=str(folder))  # vLLM numbers it anew

    def folder(self, base_model_name: str, lora_name: str) -> Path:
        """Where the LoRA of a cell lies.

        Raises:
            FlixError: no such bank or cell, or the bank belongs to another model.
        """
        bank, colon, cell = lora_name.partition(":")
        if set(self.banks) == {""}:
            bank, cell = "", lora_name
        elif not colon or bank not in self.banks:
            raise unknown("bank of a name NAME:task/language", bank, self.banks)
        check_fit(self.banks[bank].bank(), base_model_name, logger)
        return self.banks[bank].folder(cell, base_model_name)


def register() -> None:
    """Called by vLLM in each of its processes.

    Raises:
        FlixError: the environment names no bank that can be read, or another setting that cannot be.
    """
    named = os.environ.get(BANK)
    if not named:
        return
    policy = fill(UNSEEN_LANGUAGE, UnseenLanguage, {"stand_in": os.environ.get(UNSEEN_LANGUAGE, "task_only")})
    cache = Path(os.environ.get(CACHE) or user_cache_path("flix_lightning") / "vllm").expanduser().absolute()
    limit = os.environ.get(CACHE_MIB, "4096")
    if not limit.isdecimal():
        raise FlixError(f"{CACHE_MIB}: a whole number of MiB; got {limit!r}.")
    banks = {}
    for name, path in banks_named(named).items():
        policy.serve(Bank.read(path).composer(), [])  # now, not at the first request
        banks[name] = ComposedFolders(path, cache, policy)
    trim(cache, int(limit) * MIB)
    LoRAResolverRegistry.register_resolver(RESOLVER, FlixResolver(banks))


def banks_named(value: str) -> dict[str, Path]:
    """Name -> path, from the environment's text.

    Raises:
        FlixError: several of which one has no name, or one that is not on the hub.
    """
    if is_on_hub(value) or Path(value).expanduser().exists():
        return {"": _place(value)}
    several = [part.partition("=") for part in re.split(f"{os.pathsep}(?=[^{os.pathsep}=/]+=)", value)]
    if len(several) == 1 and not several[0][1]:
        return {"": _place(value)}
    found = {name: _place(path) for name, equals, path in several if name and equals and path}
    if len(found) < len(several):
        raise FlixError(f"{BANK}: a path, or NAME=PATH separated by {os.pathsep!r}; got {value!r}.")
    return found


def _place(named: str) -> Path:
    return downloaded(named) if is_on_hub(named) else Path(named).expanduser()
