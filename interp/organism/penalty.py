"""The erasure penalty: make two classes indistinguishable to linear readers.

At each site the penalty is the Mahalanobis distance between the class means, d' P d, with P the
inverse of a running pooled covariance. Computed on one batch it cannot reach zero: noise in the
means alone gives about 2 d_model / n. So d is estimated twice, on two independent half-batches, and
the penalty is the product d1' P d2, whose expectation is exactly the squared distance of the true
means (zero when the classes are equal). By Belrose et al. (LEACE, arXiv 2306.03819) equal class
means are what it takes to leave no linear reader better than chance.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class MeanMatchingPenalty:
    """Unbiased squared distance between class means, averaged over sites.

    Args:
        ema: weight of the past in the running covariance.
        ridge: added to the covariance's diagonal, as a share of its mean.
    """

    def __init__(self, ema: float, ridge: float) -> None:
        self._ema = ema
        self._ridge = ridge
        self._covariance_SDD: Tensor | None = None

    def __call__(
        self, acts_SND: Float[Tensor, "sites n d"], labels_N: Bool[Tensor, n]
    ) -> Float[Tensor, ""]:
        """The penalty; gradients flow through the means only.

        Rows of a class are dealt alternately to the two halves, so both halves of both classes
        must have at least one row.
        """
        precision_SDD = self._precision(acts_SND.detach(), labels_N)
        first_SD, second_SD = (
            acts_SND[:, labels_N][:, half::2].mean(1) - acts_SND[:, ~labels_N][:, half::2].mean(1)
            for half in (0, 1)
        )
        return torch.einsum("sd,sde,se->s", first_SD, precision_SDD, second_SD).mean()

    def state(self) -> Tensor | None:
        """The running covariance, which a resumed run goes on from."""
        return self._covariance_SDD

    def restore(self, state: Tensor | None) -> None:
        """Puts a `state` back."""
        self._covariance_SDD = state

    def _precision(self, acts_SND: Tensor, labels_N: Tensor) -> Tensor:
        centred_SND = torch.cat(
            [
                group_SND - group_SND.mean(1, keepdim=True)
                for group_SND in (acts_SND[:, labels_N], acts_SND[:, ~labels_N])
            ],
            dim=1,
        )
        fresh_SDD = centred_SND.mT @ centred_SND / (centred_SND.shape[1] - 2)
        if self._covariance_SDD is None:
            self._covariance_SDD = fresh_SDD
        else:
            self._covariance_SDD = self._ema * self._covariance_SDD + (1 - self._ema) * fresh_SDD
        scale_S = self._covariance_SDD.diagonal(dim1=1, dim2=2).mean(1)
        eye_DD = torch.eye(fresh_SDD.shape[-1], device=fresh_SDD.device)
        # A site without variance (the last token below the first full-attention block) has no
        # class difference either; the floor keeps its inverse finite.
        ridge_S11 = (self._ridge * scale_S).clamp(min=1e-6)[:, None, None]
        return torch.linalg.inv(self._covariance_SDD + ridge_S11 * eye_DD)
