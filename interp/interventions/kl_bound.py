"""How far a direction may be followed, so that the next token's distribution hardly moves.

The coefficient of Azizi et al., arXiv 2507.04742. Logits that move at a speed a = |z'| and bend by
L = |z''| have moved by at most a gamma + L gamma^2 / 2, and KL(p, p~) is at most a quarter of that
squared, since no eigenvalue of diag(p) - pp' is above 1/2. With x = gamma L / a this is
x^2 + x^3 + x^4 / 4 = 4 eps L^2 / a^4. The paper solves it without the last term and takes a
correction off, which keeps the bound. It serves to compare doses of directions and models. As a is
a median over prompts and L a percentile, what is measured on held-out prompts stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import brentq
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from interp.activations import Site
from interp.activations.asking import check_lengths
from interp.behavior.scores.teacher_forcing import forward, token_ids
from interp.checkpoints import LoadedModel
from interp.directions import Direction
from interp.errors import InputError
from interp.interventions.edits import Add, Edit
from interp.interventions.hooks import intervene
from interp.prompts import Encoded, PromptSet, encode, render, token_budget_batches
from interp.stats import hierarchical_bootstrap, weighted_mean


@dataclass(frozen=True)
class KlBound:
    """How far a direction may be followed.

    Attributes:
        epsilon: most KL(p, p~) of the next token, in nats.
        speed: a, the norm of the logits' first derivative by gamma.
        curvature: L, the norm of their second one.
    """

    epsilon: float
    speed: float
    curvature: float

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and 0 < self.speed < np.inf and 0 <= self.curvature < np.inf):
            raise InputError(
                f"KL bound: epsilon {self.epsilon}, a {self.speed}, L {self.curvature}; expected "
                "all finite, and above 0 but for L. A direction that moves no logit has no bound."
            )

    @property
    def _bend(self) -> float:
        """The x of the coefficient that a straight line would have."""
        return 2 * np.sqrt(self.epsilon) * self.curvature / self.speed**2

    @property
    def raw(self) -> float:
        """gamma_raw = (a / L) x, where x^3 + x^2 = 4 eps L^2 / a^4."""
        # In units of the straight line's coefficient, so that L may be 0 and nothing overflows.
        y = brentq(lambda y: self._bend * y**3 + y**2 - 1, 0.0, 1.0, xtol=1e-15)
        return 2 * np.sqrt(self.epsilon) / self.speed * float(y)

    @property
    def coefficient(self) -> float:
        """gamma_max = max(0, (1 - L gamma_raw / 4a) gamma_raw): the paper's; 0 from x = 4 on."""
        return max(0.0, 1 - self.curvature * self.raw / (4 * self.speed)) * self.raw

    @property
    def largest(self) -> float:
        """The largest coefficient that the same bound allows: the root with the last term."""
        straight = 2 * np.sqrt(self.epsilon) / self.speed
        return straight * 2 / (1 + np.sqrt(1 + 2 * self._bend))

    def limit(self, coefficient: float) -> float:
        """What KL can be at most at a coefficient."""
        moved = self.speed * abs(coefficient) + self.curvature * coefficient**2 / 2
        return moved**2 / 4


def kl_bounded(
    loaded: LoadedModel,
    prompts: PromptSet,
    direction: Direction,
    *,
    epsilon: float = 1e-3,
    token_budget: int = 4096,
) -> KlBound:
    """The bound of a direction in a model, from prompts: a median speed, L 95th percentile.

    The speed is a Jacobian-vector product in forward mode, exact in any dtype. The second
    derivative is the difference of two of them one straight-line step to either side, over the
    range that the bound is about. Both are norms over the vocabulary, at the prompts' last token.

    Args:
        loaded: the model.
        prompts: to calibrate on, apart from those that anything is reported on; with part of a
            chain behind them where decoding is to be bounded in its midst.
        direction: in units of its `norm`.
        epsilon: nats; the paper's is 1e-3.
        token_budget: most tokens in a batch.

    Raises:
        InputError: no prompts, one that is empty or too long for the model's context, an epsilon
            that is not above 0, or a direction that moves no logit.
    """
    if not epsilon > 0:
        raise InputError(f"KL bound: epsilon {epsilon}; expected above 0")

    def norms(of_batch: Callable[[Encoded], Tensor]) -> np.ndarray:
        return _by_batch(loaded, prompts, token_budget, lambda b: of_batch(b).norm(dim=-1))

    speed = float(np.median(norms(lambda b: _velocity(loaded, b, direction, 0.0))))
    KlBound(epsilon, speed, 0.0)  # refuses a speed of 0 before it is divided by
    step = float(2 * np.sqrt(epsilon) / speed)

    def bend(batch: Encoded) -> Tensor:
        ahead, behind = (_velocity(loaded, batch, direction, way * step) for way in (1, -1))
        return (ahead - behind) / (2 * step)

    return KlBound(epsilon, speed, float(np.quantile(norms(bend), 0.95)))


def measured_kl(
    loaded: LoadedModel,
    prompts: PromptSet,
    direction: Direction,
    coefficients: Sequence[float],
    *,
    token_budget: int = 4096,
) -> Float[np.ndarray, "n c"]:
    """KL(p, p~) of the next token in nats, p without and p~ with the direction at the last token.

    Args:
        loaded: the model.
        prompts: held out from those that the bound was made on.
        direction: in units of its `norm`.
        coefficients: of the direction.
        token_budget: most tokens in a batch.

    Raises:
        InputError: no coefficients, no prompts, or one that is empty or too long.
    """
    if not len(coefficients):
        raise InputError("measured KL: no coefficients; expected at least one")

    def kl(batch: Encoded) -> Tensor:
        with torch.no_grad():
            before_BV = _logits(loaded, batch, []).double().log_softmax(-1)
            columns = []
            for gamma in coefficients:
                add = Add(direction.site, direction.vector_D, gamma * direction.norm)
                after_BV = _logits(loaded, batch, [add]).double().log_softmax(-1)
                columns.append((before_BV.exp() * (before_BV - after_BV)).sum(-1))
        return torch.stack(columns, 1)

    return _by_batch(loaded, prompts, token_budget, kl)


def kl_table(
    loaded: LoadedModel,
    held_out: PromptSet,
    direction: Direction,
    bound: KlBound,
    *,
    factors: Sequence[float] = (0.5, 1.0, 2.0),
    units: Sequence[str] = ("pair_id",),
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """The KL that is measured on held-out prompts beside the one that the bound allows.

    Args:
        loaded: the model.
        held_out: prompts that the bound was not made on.
        direction: the bound's.
        bound: as from `kl_bounded`.
        factors: of the bound's coefficient.
        units: columns of the prompt set that intervals are over, from the top.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns factor, coefficient, limit (the bound's at that coefficient), measure ("mean_kl",
        "over", the share of prompts beyond the limit; "median_kl", "p95_kl" and "max_kl", without
        limits), estimate, lo, hi (95%, `hierarchical_bootstrap`), n.
    """
    coefficients = [factor * bound.coefficient for factor in factors]
    kl_NC = measured_kl(loaded, held_out, direction, coefficients)
    levels = {unit: held_out.frame[unit].to_numpy() for unit in units}
    nothing = {"lo": np.nan, "hi": np.nan}
    rows: list[dict[str, Any]] = []
    for factor, gamma, kl_N in zip(factors, coefficients, kl_NC.T, strict=True):
        limit = bound.limit(gamma)
        at = {"factor": factor, "coefficient": gamma, "limit": limit, "n": len(kl_N)}
        for measure, value_N in (("mean_kl", kl_N), ("over", (kl_N > limit).astype(float))):
            value = hierarchical_bootstrap(weighted_mean(value_N), levels, n_boot=n_boot, seed=seed)
            rows.append(at | {"measure": measure} | value.columns())
        for measure, share in (("median_kl", 0.5), ("p95_kl", 0.95), ("max_kl", 1.0)):
            rows.append(at | {"measure": measure, "estimate": np.quantile(kl_N, share)} | nothing)
    return pd.DataFrame(rows)


def last_mask(encoded: Encoded) -> Bool[Tensor, "b t"]:
    """Marks the last token of each left-padded prompt."""
    mask_BT = torch.zeros(encoded.input_ids_BT.shape, dtype=torch.bool)
    mask_BT[:, -1] = True
    return mask_BT


@dataclass(frozen=True, eq=False)
class _AddAlong:
    """`Add` with a coefficient that is differentiated by."""

    site: Site
    vector_D: Float[Tensor, " d"]
    gamma: Any

    def apply(
        self, acts_ND: Float[Tensor, "n d"], row_N: Int[Tensor, " n"], column_N: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        # Differentiated by where the input is; a block may stand on another device.
        return acts_ND + self.gamma.to(acts_ND) * self.vector_D.to(acts_ND)

    def check(self, d_model: int, n_rows: int, n_columns: int) -> None:
        Add(self.site, self.vector_D, 0.0).check(d_model, n_rows, n_columns)


def _velocity(loaded: LoadedModel, batch: Encoded, direction: Direction, at: float) -> Tensor:
    """The logits' derivative by gamma, (b, vocabulary)."""
    v_D = direction.norm * direction.vector_D

    def logits(gamma: Any) -> Tensor:
        return _logits(loaded, batch, [_AddAlong(direction.site, v_D, gamma)])

    gamma = torch.tensor(at, device=loaded.device)
    # Fused attention has no forward mode.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        return torch.func.jvp(logits, (gamma,), (torch.ones_like(gamma),))[1]


def _logits(loaded: LoadedModel, batch: Encoded, edits: Sequence[Edit]) -> Tensor:
    """Of the token behind each prompt, float32."""
    nothing_B0 = torch.empty(len(batch.input_ids_BT), 0, dtype=torch.long)
    with intervene(loaded, edits, last_mask(batch)):
        return forward(loaded, batch, nothing_B0, use_cache=False).logits[:, -1].float()


def _by_batch(
    loaded: LoadedModel, prompts: PromptSet, token_budget: int, of: Callable[[Encoded], Tensor]
) -> np.ndarray:
    """What a function gives for each prompt, in float64, in the order of the prompts."""
    if not len(prompts):
        raise InputError("KL of a direction: no prompts; expected at least one")
    texts = render(prompts, loaded.tokenizer)
    ids = token_ids(texts, loaded.tokenizer)
    check_lengths(ids, prompts, loaded)
    found: dict[int, np.ndarray] = {}
    for rows in token_budget_batches([len(row) for row in ids], token_budget):
        values_B = of(encode([texts[row] for row in rows], loaded.tokenizer, "left"))
        found |= dict(zip(rows, values_B.double().cpu().numpy(), strict=True))
    return np.stack([found[row] for row in range(len(texts))])
