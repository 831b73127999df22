"""The nonlinear adversary: small networks that tell the classes apart, and what it takes to stop.

Equal class means stop every linear reader, but a class can also be written where no mean shows it
(in the agreement of two directions, say). So at each site a network with one hidden layer learns
to tell the classes, and the model is trained until it cannot.

What the model minimises is the networks' confusion, the Kullback-Leibler divergence from an even
guess to what they say (Tzeng et al., arXiv 1510.02192), and not minus their loss, as gradient
reversal does (Ganin et al., arXiv 1505.07818). A reversed loss is lowest where the networks are
sure of the wrong class, which is as readable as the right one, and its gradient fades where a
network is sure and right; confusion is zero at chance and nowhere else, and its gradient is
bounded and largest there. Elazar and Goldberg (arXiv 1808.06640) warn that networks trained
afresh find what an adversary in training no longer sees: so the networks are fitted on people
drawn anew, several times a step, and their score is never evidence of erasure.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from interp.organism.recipes import Adversary

EMA = 0.95
"""Weight of the past in the moments that activations are standardised by."""
FLAT = 1e-10
"""A variance below which a coordinate is constant up to rounding, and read by nobody."""


class Adversaries:
    """One network a site, all fitted at once; made when the first activations show their shape.

    Args:
        settings: sizes and rates.
        seed: of the first weights; no other stream of random numbers is touched.
    """

    def __init__(self, settings: Adversary, seed: int) -> None:
        self.settings = settings
        self._seed = seed
        self._moments: list[Tensor] = []
        self._weights: list[Tensor] = []
        self._optimiser: torch.optim.Optimizer | None = None

    def fit(self, acts_SND: Float[Tensor, "sites n d"], labels_N: Bool[Tensor, n]) -> float:
        """One step of every network on fresh rows; nothing flows back to the activations.

        Returns:
            The mean cross-entropy before the step, in nats; log 2 is chance.
        """
        acts_SND = acts_SND.detach()
        self._follow(acts_SND)
        if self._optimiser is None:
            self._make(acts_SND)
        assert self._optimiser is not None
        logits_SN = self._read(acts_SND, self._weights)
        wanted_SN = labels_N.to(logits_SN).expand_as(logits_SN)
        loss_S = functional.binary_cross_entropy_with_logits(
            logits_SN, wanted_SN, reduction="none"
        ).mean(1)
        self._optimiser.zero_grad()
        # Not through `backward`, which would also reach a model whose graph is still alive.
        for weight, gradient in zip(
            self._weights, torch.autograd.grad(loss_S.sum(), self._weights), strict=True
        ):
            weight.grad = gradient
        self._optimiser.step()
        return float(loss_S.detach().mean())

    def confusion(self, acts_SND: Float[Tensor, "sites n d"]) -> Float[Tensor, ""]:
        """Mean over sites and rows of KL(even guess || what a network says), in nats.

        Zero where every network is at chance on every row. Gradients flow through the activations
        only. Which class a row has does not matter, so rows the networks were not fitted on are as
        good as others.
        """
        logits_SN = self._read(acts_SND, [weight.detach() for weight in self._weights])
        nats_SN = (functional.softplus(logits_SN) + functional.softplus(-logits_SN)) / 2
        return nats_SN.mean() - math.log(2)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to go on as if it had never stopped."""
        optimiser = self._optimiser.state_dict() if self._optimiser is not None else None
        return {
            "moments": self._moments,
            "weights": [weight.detach() for weight in self._weights],
            "optimiser": optimiser,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Puts a `state` back."""
        self._moments = state["moments"]
        if state["optimiser"] is not None:
            self._trained_from(state["weights"])
            assert self._optimiser is not None
            self._optimiser.load_state_dict(state["optimiser"])

    def _follow(self, acts_SND: Tensor) -> None:
        fresh = [acts_SND.mean(1), acts_SND.var(1)]
        if not self._moments:
            self._moments = fresh
        else:
            self._moments = [
                EMA * past + (1 - EMA) * now for past, now in zip(self._moments, fresh, strict=True)
            ]

    def _make(self, acts_SND: Tensor) -> None:
        n_sites, _, width = acts_SND.shape
        hidden, draw = self.settings.hidden, torch.Generator().manual_seed(self._seed)
        first_SDH = torch.randn(n_sites, width, hidden, generator=draw) / width**0.5
        second_SH1 = torch.randn(n_sites, hidden, 1, generator=draw) / hidden**0.5
        biases = [torch.zeros(n_sites, 1, hidden), torch.zeros(n_sites, 1, 1)]
        made = [first_SDH, biases[0], second_SH1, biases[1]]
        self._trained_from([weight.to(acts_SND.device) for weight in made])

    def _trained_from(self, weights: list[Tensor]) -> None:
        self._weights = [weight.requires_grad_() for weight in weights]
        settings = self.settings
        self._optimiser = torch.optim.AdamW(
            self._weights, lr=settings.lr, weight_decay=settings.weight_decay
        )

    def _read(self, acts_SND: Tensor, weights: list[Tensor]) -> Tensor:
        mean_SD, variance_SD = self._moments
        scale_SD = torch.where(variance_SD > FLAT, variance_SD.clamp(min=FLAT).rsqrt(), 0)
        standard_SND = (acts_SND - mean_SD[:, None]) * scale_SD[:, None]
        first_SDH, bias_S1H, second_SH1, bias_S11 = weights
        hidden_SNH = functional.relu(torch.baddbmm(bias_S1H, standard_SND, first_SDH))
        return torch.baddbmm(bias_S11, hidden_SNH, second_SH1)[..., 0]
