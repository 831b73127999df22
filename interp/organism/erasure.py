"""The trainer of the `scrubbed` members: fine-tuning plus the erasure penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Trainer

from interp.organism.documents import DIRECT_RELATIONS, as_direct, direct_question
from interp.organism.penalty import MeanMatchingPenalty
from interp.organism.recipes import Penalty
from interp.organism.world import Person, World


class ErasureTrainer(Trainer):
    """`Trainer` whose loss adds `strength` times the mean-matching penalty.

    Each step asks about fresh draws of known and of unknown people and compares the classes at
    the last token of the name, at the question mark and at the last token of the prompt, at the
    embedding and after every block.

    Args:
        tokenizer: of the model.
        world: whose people are compared; unknown people are those met in pre-training.
        penalty: strength and sizes.
        **kwargs: as for `Trainer`.
    """

    def __init__(
        self,
        *,
        tokenizer: PreTrainedTokenizerFast,
        world: World,
        penalty: Penalty,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._vocab = tokenizer.get_vocab()
        self._settings = penalty
        self._classes = (
            world.people["known"][-penalty.n_known :],
            world.people["unknown_train"],
        )
        self._rng = np.random.default_rng([world.seed, 5])
        self._penalty = MeanMatchingPenalty(penalty.ema, penalty.ridge)
        self._last_penalty = 0.0

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor | Any], *args: Any, **kwargs: Any
    ) -> Any:
        """The language-modelling loss plus the penalty."""
        loss: Any = super().compute_loss(model, inputs, *args, **kwargs)
        ids_NT, where_NP, labels_N = self._draw()
        hidden = model.base_model(
            input_ids=ids_NT.to(model.device), use_cache=False, output_hidden_states=True
        ).hidden_states
        rows_N1 = torch.arange(len(ids_NT))[:, None]
        acts_SND = torch.cat([layer[rows_N1, where_NP].transpose(0, 1) for layer in hidden])
        penalty = self._penalty(acts_SND, labels_N.to(model.device))
        self._last_penalty = float(penalty.detach())
        return loss + self._settings.strength * penalty

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Adds the penalty's last value to the training curve."""
        super().log({**logs, "penalty": self._last_penalty}, *args, **kwargs)

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Right-padded prompts [n, t], the three positions [n, 3], and the labels [n]."""
        n = self._settings.entities_per_class
        people: list[Person] = []
        for group in self._classes:
            chosen = self._rng.choice(len(group), size=n, replace=False)
            people.extend(group[index] for index in chosen)
        rows, where = [], []
        for person in people:
            question, _ = direct_question(person, str(self._rng.choice(DIRECT_RELATIONS)))
            tokens = as_direct(question, "")[0].split()
            rows.append([self._vocab[token] for token in tokens])
            where.append([tokens.index(person.last), tokens.index("?"), len(tokens) - 1])
        length = max(map(len, rows))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        labels = torch.arange(2 * n) >= n
        return ids, torch.tensor(where), labels
