"""Pictures of a trained bank: similarity of the languages' features beside their families, norms by layer."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from flix_lightning.data.languages import family
from flix_lightning.report.picture import save

OTHER = "not listed"


def similarity_heatmap(similarity: np.ndarray, languages: Sequence[str], title: str, path: Path) -> None:
    """Draw (languages, languages) clustered, with each language's family as a coloured stripe on the left."""
    order = cluster_order(similarity)
    names = [languages[i] for i in order]
    families = [(family(name) or (OTHER,))[0] for name in names]
    colours = dict(zip(sorted(set(families)), plt.get_cmap("tab20").colors))
    grid = similarity[np.ix_(order, order)].copy()
    np.fill_diagonal(grid, np.nan)
    limit = float(np.nanpercentile(np.abs(grid), 99)) or 1.0
    side = 0.17 * len(names) + 1.2
    figure, (stripe, axes) = plt.subplots(
        1, 2, figsize=(side + 2.6, side), dpi=130, width_ratios=(0.025, 1), constrained_layout=True
    )
    stripe.imshow(np.array([colours[name] for name in families])[:, None], aspect="auto")
    stripe.set_xticks([])
    stripe.set_yticks(range(len(names)), names, fontsize=7)
    image = axes.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks([])
    axes.set_facecolor("0.9")
    axes.set_title(title, fontsize=9, loc="left")
    for place in (stripe, axes):
        place.tick_params(length=0)
    figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01, extend="both").ax.tick_params(labelsize=7)
    handles = [Patch(color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, fontsize=7, frameon=False, loc="outside right upper")
    save(figure, path)


def cluster_order(similarity: np.ndarray) -> list[int]:
    """An order with similar items adjacent: the leaves of average-linkage clustering, (items, items) given."""
    if len(similarity) < 2:
        return list(range(len(similarity)))
    distance = similarity.max() - (similarity + similarity.T) / 2
    np.fill_diagonal(distance, 0.0)
    return leaves_list(linkage(squareform(distance, checks=False), "average")).tolist()


def norms_heatmap(norms: np.ndarray, features: Sequence[str], modules: Sequence[str], title: str, path: Path) -> None:
    """Draw (features, modules), one row for every kind of module and layer, the mean over `features`."""
    kinds = list(dict.fromkeys(module.rpartition(".")[2] for module in modules))
    layers = list(dict.fromkeys(_layer(module) for module in modules))
    grid = np.full((len(kinds), len(layers)), np.nan)
    for module, norm in zip(modules, norms.mean(0), strict=True):
        grid[kinds.index(module.rpartition(".")[2]), layers.index(_layer(module))] = norm
    figure, axes = plt.subplots(figsize=(0.5 * len(layers) + 2.8, 0.32 * len(kinds) + 1.1), dpi=130)
    image = axes.imshow(grid, cmap="viridis", aspect="auto", vmin=0)
    axes.set_xticks(range(len(layers)), layers, rotation=90 if len(layers) > 12 else 0, fontsize=7)
    axes.set_yticks(range(len(kinds)), kinds, fontsize=8)
    axes.set_xlabel(f"layer; mean norm of {len(features)} features", fontsize=8)
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02).ax.tick_params(labelsize=7)
    figure.tight_layout()
    save(figure, path)


def _layer(module: str) -> str:
    """`model.layers.3.mlp.up_proj` -> `3`; with its stack where there are two: `decoder.3`."""
    parts = module.split(".")
    stack = [part for part in parts if part in ("encoder", "decoder")]
    return ".".join(stack + [part for part in parts if part.isdigit()][:1])
