"""Probes at the name that tell unknown from known people in a child: its parent's, and its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from interp.activations import Site, capture
from interp.checkpoints import LoadedModel
from interp.probes import (
    Fold,
    LogisticProbe,
    grouped_folds,
    out_of_fold_scores,
    transfer_scores,
)
from interp.prompts import PromptSet
from interp.stats import auroc

C = 0.1
"""Inverse penalty of the probes, as everywhere: nothing is tuned."""
POSITION = "entity_last"


@dataclass(frozen=True, eq=False)
class Scores:
    """What a probe says of each prompt to the child, in log odds of an unknown person.

    Attributes:
        layer: that it reads.
        dev_N: each person's from a probe fitted without him.
        test_N: from a probe fitted to all of dev.
    """

    layer: int
    dev_N: np.ndarray
    test_N: np.ndarray


class NameProbes:
    """Probes fitted to people of dev and read in the child.

    Args:
        child: whose states are read.
        parent: of the same width.
        dev: prompts that the layer is chosen and the probes are fitted on.
        test: prompts that are only read.
        n_splits: folds by person.
        seed: of the folds and of shuffled labels.
    """

    def __init__(
        self,
        child: LoadedModel,
        parent: LoadedModel,
        dev: PromptSet,
        test: PromptSet,
        n_splits: int,
        seed: int,
    ) -> None:
        self._parent_LND = _read(parent, dev)
        self._child_LND, self._test_LMD = _read(child, dev), _read(child, test)
        self._label_N, self._group_N = np.asarray(dev.labels, dtype=bool), dev.groups
        self._n_splits, self._seed = n_splits, seed

    @cached_property
    def of_parent(self) -> Scores:
        """The parent's probe, at the layer best read in the parent, unchanged in the child."""
        return self._carried(self._best_layer(self._parent_LND), self._label_N)

    @cached_property
    def of_child(self) -> Scores:
        """The child's own probe, at the layer that reads best in the child."""
        layer = self._best_layer(self._child_LND)
        acts_ND, folds = self._child_LND[layer], self._folds(self._label_N)
        dev_N = out_of_fold_scores(acts_ND, self._label_N, folds, c=C)
        return Scores(layer, dev_N, self._on_test(acts_ND, self._label_N, layer))

    def shuffled(self, n: int) -> list[Scores]:
        """The parent's probe fitted to labels that mean nothing, several times."""
        rng = np.random.default_rng([self._seed, 8])
        labels = [rng.permutation(self._label_N) for _ in range(n)]
        return [self._carried(self.of_parent.layer, label_N) for label_N in labels]

    def _carried(self, layer: int, label_N: np.ndarray) -> Scores:
        of_parent, of_child = self._parent_LND[layer], self._child_LND[layer]
        dev_N = transfer_scores(of_parent, of_child, label_N, self._folds(label_N), c=C)[1]
        return Scores(layer, dev_N, self._on_test(of_parent, label_N, layer))

    def _on_test(self, acts_ND: Tensor, label_N: np.ndarray, layer: int) -> np.ndarray:
        return LogisticProbe(C=C).fit(acts_ND, label_N).decision_function(self._test_LMD[layer])

    def _folds(self, label_N: np.ndarray) -> list[Fold]:
        return grouped_folds(self._group_N, label_N, self._n_splits, self._seed)

    def _best_layer(self, acts_LND: Tensor) -> int:
        """Where people of dev are told apart best by probes fitted without them."""
        label_N, folds = self._label_N, self._folds(self._label_N)
        read = [auroc(out_of_fold_scores(acts, label_N, folds, c=C), label_N) for acts in acts_LND]
        return int(np.argmax(read))


def _read(loaded: LoadedModel, prompts: PromptSet) -> Tensor:
    """Activations [L, N, D] at the name behind every block."""
    sites = [Site("resid_post", layer) for layer in range(loaded.n_layers)]
    acts = capture(loaded, prompts, sites, [POSITION])
    return torch.stack([acts.read(site, POSITION) for site in sites])
