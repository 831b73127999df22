"""The trainer of the `scrubbed` members: fine-tuning plus the erasure penalty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Trainer

from interp.errors import InputError
from interp.organism.adversary import Adversaries
from interp.organism.documents import DIRECT_RELATIONS, as_direct, direct_question
from interp.organism.penalty import MeanMatchingPenalty
from interp.organism.recipes import Penalty
from interp.organism.world import Person, World

STATE = "erasure.pt"
"""In each resumable save: where the draws stand, and what the penalty has learned so far."""


class ErasureTrainer(Trainer):
    """`Trainer` whose loss adds `strength` times the erasure penalty.

    The penalty is the mean-matching one and, where the settings have an adversary, the confusion
    of its networks. Each step asks about fresh draws of known and of unknown people and compares
    the classes at the last token of the name, at the question mark and at the last token of the
    prompt, at the embedding and after every block. The networks are fitted on draws of their own.

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
        self._adversaries = (
            Adversaries(penalty.adversary, world.seed) if penalty.adversary is not None else None
        )
        self._last: dict[str, float] = {"penalty": 0.0}

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor | Any], *args: Any, **kwargs: Any
    ) -> Any:
        """The language-modelling loss plus the penalty."""
        loss: Any = super().compute_loss(model, inputs, *args, **kwargs)
        if self._adversaries is not None:
            for _ in range(self._adversaries.settings.n_fits):
                with torch.no_grad():
                    drawn = self._acts(model)
                self._adversaries.fit(*drawn)
        acts_SND, labels_N = self._acts(model)
        penalty = self._penalty(acts_SND, labels_N)
        self._last = {"penalty": float(penalty.detach())}
        if self._adversaries is not None:
            confusion = self._adversaries.confusion(acts_SND)
            self._last["confusion"] = float(confusion.detach())
            penalty = penalty + self._adversaries.settings.strength * confusion
        return loss + self._settings.strength * penalty

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Adds the penalty's last values to the training curve."""
        super().log({**logs, **self._last}, *args, **kwargs)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        # The trainer calls this before it writes what marks a save as complete.
        super()._save_optimizer_and_scheduler(output_dir)
        state = {
            "draws": json.dumps(self._rng.bit_generator.state),
            "penalty": self._penalty.state(),
            "adversaries": self._adversaries.state() if self._adversaries is not None else None,
        }
        torch.save(state, Path(output_dir) / STATE)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        path = Path(checkpoint) / STATE
        if not path.exists():
            raise InputError(
                f"{checkpoint} was saved without {STATE} and cannot be resumed as it was; delete "
                f"{path.parent.parent} and train the member again"
            )
        state = torch.load(path, map_location=self.args.device, weights_only=True)
        self._rng.bit_generator.state = json.loads(state["draws"])
        self._penalty.restore(state["penalty"])
        if self._adversaries is not None:
            self._adversaries.restore(state["adversaries"])

    def _acts(self, model: Any) -> tuple[Tensor, Tensor]:
        """Activations of one draw of people, sites x rows x width, and their classes."""
        ids_NT, where_NP, labels_N = self._draw()
        hidden = model.base_model(
            input_ids=ids_NT.to(model.device), use_cache=False, output_hidden_states=True
        ).hidden_states
        rows_N1 = torch.arange(len(ids_NT))[:, None]
        acts_SND = torch.cat([layer[rows_N1, where_NP].transpose(0, 1) for layer in hidden])
        return acts_SND, labels_N.to(model.device)

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
