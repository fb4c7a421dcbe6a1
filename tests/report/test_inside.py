"""Pictures of a trained bank: like stands beside like."""

import numpy as np

from flix_lightning.report.inside import cluster_order


def test_clustering_puts_planted_groups_side_by_side():
    generator = np.random.default_rng(0)
    group = generator.permutation(np.repeat(range(4), 6))
    alike = np.where(group[:, None] == group[None], 0.8, 0.1) + 0.05 * generator.standard_normal((24, 24))
    order = cluster_order((alike + alike.T) / 2)
    assert sorted(order) == list(range(24))
    assert (np.diff(group[order]) != 0).sum() == 3
