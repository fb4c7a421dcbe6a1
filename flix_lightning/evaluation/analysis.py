"""Inside a trained bank: how alike its features are, how large by layer, and whether relatives are alike."""

from collections.abc import Sequence

import numpy as np
import torch

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.features import Feature
from flix_lightning.data.languages import family


def features_of(bank: Bank, axis: str) -> list[Feature]:
    return [feature for feature in bank.ranks if feature.axis == axis]


def inner_products(bank: Bank, axis: str, module: str) -> np.ndarray:
    """(features, features): <D_i, D_j> of the delta weights D = B^T A of an axis's features in one module.

    From products of factors, (A_i A_j^T) * (B_i B_j^T) summed: no delta weight is ever laid out.
    """
    rows = bank.rows()
    a, b = (bank.factors[f"{module}.lora_{letter}"].double() for letter in "ab")
    products = (a @ a.T) * (b @ b.T) * bank.scaling**2
    member = torch.zeros(len(features_of(bank, axis)), len(a), dtype=torch.double)
    for number, feature in enumerate(features_of(bank, axis)):
        member[number, list(rows[feature])] = 1
    return (member @ products @ member.T).numpy()


def similarity(bank: Bank, axis: str = "language") -> np.ndarray:
    """(features, features): the cosine of their delta weights, all modules taken as one long vector."""
    products = sum(inner_products(bank, axis, module) for module in bank.modules)
    norms = np.sqrt(np.maximum(np.diag(products), 1e-30))
    return products / np.outer(norms, norms)


def norms_by_module(bank: Bank, axis: str = "language") -> np.ndarray:
    """(features, modules): the Frobenius norm of every delta weight, modules in the order of `bank.modules`."""
    squares = [np.diag(inner_products(bank, axis, module)) for module in bank.modules]
    return np.sqrt(np.maximum(np.stack(squares, axis=1), 0))


def kinship(similarity: np.ndarray, languages: Sequence[str], draws: int = 2000, seed: int = 0) -> dict[str, float]:
    """Are languages of one family more alike than others?

    Returns:
        `within` and `between` families, the mean similarities of pairs; `p`, the share of random relabellings of the
        languages in which the difference is as large (a permutation test).
    """
    families = [family(language)[:1] for language in languages]
    related = np.array([[a == b != () for b in families] for a in families])
    upper = np.triu(np.ones_like(related), 1)

    def difference(order: np.ndarray) -> tuple[float, float]:
        same = related[np.ix_(order, order)]
        return similarity[same & upper].mean(), similarity[~same & upper].mean()

    generator = np.random.default_rng(seed)
    within, between = difference(np.arange(len(languages)))
    others = [np.subtract(*difference(generator.permutation(len(languages)))) for _ in range(draws)]
    p = (1 + sum(other >= within - between for other in others)) / (1 + draws)
    return {"within": float(within), "between": float(between), "p": float(p)}
