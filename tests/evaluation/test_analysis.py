"""Similarity and norms against delta weights laid out in full; clustering and kinship on planted structure."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.injection import featurized_linears
from flix_lightning.evaluation.analysis import features_of, kinship, norms_by_module, similarity
from flix_lightning.report.inside import norms_heatmap, similarity_heatmap
from tests.toy import CELLS, toy_flix


@pytest.fixture
def trained():
    backbone, _, composer = toy_flix("t5", scaling=0.5)
    return Bank.of(backbone, composer, {}, CELLS), featurized_linears(backbone), composer


def test_similarity_and_norms_against_delta_weights(trained):
    bank, modules, composer = trained
    features = features_of(bank, "language")
    deltas = {
        feature: [
            module.delta_weight(torch.tensor(rows), torch.ones(len(rows))).detach()
            for rows in [list(composer.ranks_of(feature))]
            for module in modules.values()
        ]
        for feature in features
    }
    flat = torch.stack([torch.cat([delta.flatten() for delta in deltas[feature]]) for feature in features]).double()
    cosines = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], dim=-1)
    np.testing.assert_allclose(similarity(bank), cosines.numpy(), atol=1e-6)
    expected = [[delta.norm().item() for delta in deltas[feature]] for feature in features]
    np.testing.assert_allclose(norms_by_module(bank), expected, rtol=1e-5)


def test_kinship_tells_planted_families_from_noise():
    languages = ["bn", "hi", "de", "fr", "am", "ar", "ha", "so", "sw", "yo", "zu", "ig", "ko"]
    kin = np.array([0] * 4 + [1] * 4 + [2] * 4 + [3])
    noise = np.random.default_rng(0).standard_normal((13, 13))
    noise = (noise + noise.T) / 2
    planted = kinship(noise + 3 * (kin[:, None] == kin[None]), languages)
    assert planted["p"] < 0.01 and planted["within"] - planted["between"] > 2
    assert kinship(noise, languages)["p"] > 0.05


def test_the_pictures_are_drawn(trained):
    bank, _, _ = trained
    names = [feature.value for feature in features_of(bank, "language")]
    similarity_heatmap(similarity(bank), names, "languages", Path("similarity.png"))
    norms_heatmap(norms_by_module(bank), names, bank.modules, "norms", Path("norms.png"))
    assert all(Path(name).read_bytes().startswith(b"\x89PNG") for name in ("similarity.png", "norms.png"))
