"""The erasure penalty is unbiased, and what it drives to zero is what linear readers need."""

import pytest
import torch

from interp.organism.penalty import MeanMatchingPenalty


def draw(
    n: int, d: int, shift: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(2 * n) >= n
    acts = torch.randn(1, 2 * n, d, generator=generator)
    acts[0, labels, 0] += shift
    return acts, labels


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_expectation_is_the_squared_distance_of_the_means(shift: float) -> None:
    """0 for equal classes: within four standard errors of it; the one-batch version is far off."""
    generator = torch.Generator().manual_seed(0)
    n, d, draws = 48, 8, 400
    values, biased = [], []
    for _ in range(draws):
        acts, labels = draw(n, d, shift, generator)
        values.append(float(MeanMatchingPenalty(0.0, 1e-6)(acts, labels)))
        difference = acts[0, labels].mean(0) - acts[0, ~labels].mean(0)
        biased.append(float(difference @ difference))
    values_T, biased_T = torch.tensor(values), torch.tensor(biased)
    # The inverse of an estimated covariance is too large by n / (n - d - 1), the Wishart mean.
    expected = shift**2 * (2 * n - 2) / (2 * n - 2 - d - 1)
    error = values_T.std() / draws**0.5
    assert abs(values_T.mean() - expected) < 4 * error
    assert biased_T.mean() - shift**2 > 4 * biased_T.std() / draws**0.5


def test_minimising_it_removes_the_linear_difference() -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.eye(6, requires_grad=True)
    penalty = MeanMatchingPenalty(0.9, 0.02)
    optimiser = torch.optim.Adam([weight], lr=0.03)
    before = after = 0.0
    for step in range(300):
        acts, labels = draw(256, 6, 2.0, generator)
        mapped = acts @ weight
        loss = penalty(mapped, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        gap = (mapped[0, labels].mean(0) - mapped[0, ~labels].mean(0)) / mapped[0, ~labels].std(0)
        before, after = (float(gap.norm()), after) if step == 0 else (before, float(gap.norm()))
    assert before > 1.5
    assert after < 0.35


def test_a_site_without_variance_is_harmless() -> None:
    acts = torch.zeros(2, 8, 4, requires_grad=True)
    value = MeanMatchingPenalty(0.9, 0.02)(acts, torch.arange(8) >= 4)
    value.backward()
    assert float(value) == 0.0
    assert acts.grad is not None
    assert acts.grad.isfinite().all()
