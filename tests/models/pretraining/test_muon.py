"""Muon in float32, against the singular value decomposition and against torch's own, which computes in bfloat16."""

import torch

from flix_lightning.models.pretraining.muon import Muon, orthogonalised


def test_the_result_is_near_the_closest_semi_orthogonal_matrix():
    torch.manual_seed(0)
    for shape in ((24, 40), (40, 24), (3, 16, 32)):
        matrices = torch.randn(shape)
        u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
        got = orthogonalised(matrices)
        assert got.dtype == torch.float32
        # the quintic iteration stops with singular values between 0.7 and 1.2
        values = torch.linalg.svdvals(got)
        assert values.min() > 0.6 and values.max() < 1.3
        assert torch.allclose(
            u.mT @ got @ vh.mT, torch.diag_embed(torch.diagonal(u.mT @ got @ vh.mT, dim1=-2, dim2=-1)), atol=1e-4
        )


def test_steps_agree_with_torchs():
    torch.manual_seed(0)
    start = [torch.randn(16, 32), torch.randn(32, 16), torch.randn(16, 32)]
    gradients = [[torch.randn_like(matrix) for matrix in start] for _ in range(4)]
    results = []
    for optimizer in (
        lambda ps: Muon(ps, lr=0.02),
        lambda ps: torch.optim.Muon(ps, lr=0.02, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
    ):
        parameters = [torch.nn.Parameter(matrix.clone()) for matrix in start]
        made = optimizer(parameters)
        for step in gradients:
            for parameter, gradient in zip(parameters, step):
                parameter.grad = gradient.clone()
            made.step()
        results.append([p.detach() - matrix for p, matrix in zip(parameters, start)])
    for own, theirs in zip(*results):
        assert (own - theirs).norm() < 0.03 * theirs.norm()
