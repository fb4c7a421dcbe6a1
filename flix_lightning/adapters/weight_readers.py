"""Layers whose weight a model hands to a fused kernel in training: its code says so, also where no such kernel is.

Mamba-2 and its kin give the weight of their last linear to a kernel that computes the whole mixer, only in training
and only on a GPU. An adapter there would be trained by nobody, and a run of the model on a CPU does not show it.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache

from torch import nn
from transformers import PreTrainedModel

FACTS = ("dtype", "device", "shape")  # asking a weight for them is no computation


@cache
def read_in_training(kind: type[nn.Module]) -> frozenset[str]:
    """Names of child layers whose weight `kind` computes with, without calling them, where `self.training` is asked."""
    codes = [_classes(owner.__module__).get(owner.__name__) for owner in kind.__mro__ if _is_own(owner)]
    branches = [node for code in codes if code for node in ast.walk(code) if isinstance(node, ast.If)]
    return frozenset(name for one in branches if _of_training(one) for part in one.body for name in _weights(part))


def _is_own(owner: type) -> bool:
    """Whether it is a model's class, not torch's or one that all models share."""
    return not issubclass(PreTrainedModel, owner) and not owner.__module__.startswith("torch.")


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """Name -> code, of a module's classes; none where the code cannot be had."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, SyntaxError):
        return {}
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _of_training(branch: ast.If) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr == "training" for node in ast.walk(branch.test))


def _weights(code: ast.AST) -> Iterator[str]:
    """The x of every `self.x.weight` that is more than asked for its facts."""
    nodes = [node for node in ast.walk(code) if isinstance(node, ast.Attribute)]
    asked = {id(node.value) for node in nodes if node.attr in FACTS}
    for node in nodes:
        layer = node.value
        if node.attr == "weight" and isinstance(layer, ast.Attribute) and id(node) not in asked:
            yield layer.attr
