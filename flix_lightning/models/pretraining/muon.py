"""Muon (Keller Jordan, 2024) in the parameters' own precision, and the optimizers of pretraining.

`torch.optim.Muon` orthogonalises in bfloat16, which is emulated, 80 times slower, on processors without AVX512-BF16.
"""

from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration: steepest at zero, as Jordan chose them


def orthogonalised(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Approximately the nearest semi-orthogonal matrices, by Newton-Schulz iterations; (..., m, n) -> (..., m, n)."""
    a, b, c = COEFFICIENTS
    x = matrices if matrices.size(-2) <= matrices.size(-1) else matrices.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrices.size(-2) <= matrices.size(-1) else x.mT


class Muon(Optimizer):
    """Orthogonalised momentum; matrices of one shape are updated together.

    An update has the root mean square of AdamW's: `0.2 sqrt(max(m, n))` times the orthogonal matrix.
    """

    def __init__(self, matrices: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.05):
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                alike[parameter.shape].append(parameter)
            for shape, parameters in alike.items():
                updates = orthogonalised(torch.stack([self._momentum(p, group["momentum"]) for p in parameters]))
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                for parameter, update in zip(parameters, updates):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)

    def _momentum(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's: the gradient, moved towards its running mean."""
        state = self.state[parameter]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(parameter)
        mean = state["mean"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(mean, momentum)


class Optimizers:
    """Muon for the matrices of the blocks, AdamW for embeddings and norms."""

    def __init__(self, model: nn.Module) -> None:
        blocks = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
        self.all = [Muon(blocks, lr=0.0), AdamW(others, lr=0.0, weight_decay=0.0, betas=(0.9, 0.98))]

    def step(self, rate: float) -> None:
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [optimizer.state_dict() for optimizer in self.all]

    def load_state_dict(self, states: list[dict]) -> None:
        for optimizer, state in zip(self.all, states, strict=True):
            optimizer.load_state_dict(state)
