"""A checkpoint's rows matched to this run's features by name, never by position.

Trained state is stacked, the rows of a feature contiguous (see `Bank`), and so are the optimizer's moments. A
checkpoint holds their layout: `features`, feature -> its number of rows, in order.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from flix_lightning.common.errors import FlixError

FEATURES = "features"


def places(before: Mapping[str, int], now: Mapping[str, int]) -> Tensor:
    """(rows,), for every row of `now` its index in `before`.

    Raises:
        FlixError: other features, or other ranks.
    """
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            there, here = (f"rank {found[name]}" if name in found else "none" for found in (before, now))
            raise FlixError(
                f"checkpoint: feature {name} has {there} there and {here} in this run; give the run a name of its own "
                "(name=...) or remove its folder to train from the start."
            )
    starts = dict(zip(before, accumulate(before.values(), initial=0)))
    return torch.tensor([row for name, rank in now.items() for row in range(starts[name], starts[name] + rank)])


def by_name(checkpoint: dict[str, Any], now: Mapping[str, int], parameters: Sequence[str]) -> None:
    """Reorder a checkpoint's trained state and optimizer state, in place, to this run's features and parameters.

    Args:
        checkpoint: of a run, with `features`.
        now: feature -> number of rows, in this run's order.
        parameters: names of the optimizer's parameters, in this run's order.

    Raises:
        FlixError: other features, ranks or parameters.
    """
    rows = places(checkpoint[FEATURES], now)
    checkpoint["state_dict"] = moved(checkpoint["state_dict"], rows)
    for state in checkpoint["optimizer_states"]:
        (group,) = state["param_groups"]
        names = group["param_names"]
        if set(names) != set(parameters):
            raise FlixError(
                f"checkpoint: it trains other parameters, e.g. {sorted(set(names) ^ set(parameters))[0]!r}."
            )
        own = {name: state["state"][number] for number, name in zip(group["params"], names) if number in state["state"]}
        state["state"] = {n: moved(own[name], rows) for n, name in enumerate(parameters) if name in own}
        state["param_groups"] = [{**group, "params": list(range(len(parameters))), "param_names": list(parameters)}]


def moved(state: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """The same tensors with their rows in the order of `rows`."""
    if torch.equal(rows, torch.arange(len(rows))):
        return dict(state)
    return {name: tensor.index_select(0, rows.to(tensor.device)) for name, tensor in state.items()}
