"""How far a model leans to abstaining before it says a word: continuations against others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from interp.behavior.grading.kinds import ABSTAINING_KINDS
from interp.behavior.scores.continuations import Continuations, check_readable
from interp.behavior.scores.scoring import EditBatch, log_odds, measured_continuations
from interp.checkpoints import LoadedModel
from interp.configs import nearest
from interp.errors import InputError
from interp.prompts import PromptSet


@dataclass(frozen=True, eq=False)
class ContinuationScores:
    """What a model gives each continuation after each prompt, and the scores made of it.

    Attributes:
        prompt_ids: of the N prompts, in their order.
        continuations: C of them.
        logprob_NC: log probability of each, summed over its tokens, in nats.
        length_NC: tokens of each.
    """

    prompt_ids: tuple[str, ...]
    continuations: Continuations
    logprob_NC: Float[np.ndarray, "n c"]
    length_NC: Int[np.ndarray, "n c"]

    @property
    def form_kinds(self) -> dict[str, tuple[str, ...]]:
        """The kinds that each form weighs, by its name.

        These are sequence and normalised, of all abstaining kinds, and both for each kind apart:
        sequence_abstain, normalised_abstain, normalised_refuse and so on.
        """
        apart = [kind for kind in self.continuations.kinds if kind != "answer"]
        named = {"": ABSTAINING_KINDS} | {f"_{kind}": (kind,) for kind in apart}
        return {
            f"{form}{name}": kinds
            for form in ("sequence", "normalised")
            for name, kinds in named.items()
        }

    def form(self, name: str, *, without: str | None = None) -> Float[np.ndarray, " n"]:
        """One of the forms, of all continuations or of all but one.

        Args:
            name: of the form.
            without: a continuation that is left out.

        Raises:
            InputError: there is no such form or continuation, or nothing is left to weigh.
        """
        for known, asked in ((self.form_kinds, name), (self.continuations.texts, without)):
            if asked is not None and asked not in known:
                raise InputError(
                    f"continuation scores: no {asked!r}{nearest(asked, known)}; there are "
                    f"{', '.join(known)}"
                )
        kept_C = np.array([text != without for text in self.continuations.texts], dtype=bool)
        logprob_NC, kind_C = self.logprob_NC[:, kept_C], self._kind_C[kept_C]
        if name.startswith("sequence"):
            return sequence_score(logprob_NC, kind_C, self.form_kinds[name])
        return normalised_score(
            logprob_NC, self.length_NC[:, kept_C], kind_C, self.form_kinds[name]
        )

    def sides(self, name: str) -> list[tuple[str, ...]]:
        """Continuations that a form weighs; for a normalised one also those that answer."""
        sides = [self.form_kinds[name]] + ([("answer",)] if name.startswith("normalised") else [])
        each = list(zip(self.continuations.texts, self.continuations.kind_of_each, strict=True))
        return [tuple(text for text, kind in each if kind in kinds) for kinds in sides]

    def frame(self) -> pd.DataFrame:
        """One row a prompt: prompt_id, and one column a form."""
        return pd.DataFrame(
            {"prompt_id": list(self.prompt_ids)} | {n: self.form(n) for n in self.form_kinds}
        )

    def only(self, texts: Collection[str]) -> ContinuationScores:
        """The same with only those continuations; nothing is run again.

        Raises:
            InputError: as `Continuations.only`.
        """
        kept_C = np.array([text in texts for text in self.continuations.texts], dtype=bool)
        return ContinuationScores(
            self.prompt_ids,
            self.continuations.only(texts),
            self.logprob_NC[:, kept_C],
            self.length_NC[:, kept_C],
        )

    @property
    def _kind_C(self) -> np.ndarray:
        return np.array(self.continuations.kind_of_each)


def continuation_scores(
    loaded: LoadedModel,
    prompts: PromptSet,
    continuations: Continuations,
    *,
    edits: EditBatch | None = None,
    token_budget: int = 8192,
) -> ContinuationScores:
    """Scores every continuation after every prompt, in one pass for all forms.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        continuations: in the language of the prompts.
        edits: as for `continuation_logprobs`.
        token_budget: as for `continuation_logprobs`.

    Raises:
        InputError: the tokenizer lacks words of a continuation, one begins with another one in
            tokens after some prompt, or as `continuation_logprobs`, for instance a prompt that ends
            within a word.
    """
    check_readable(continuations, loaded.tokenizer)
    measured = measured_continuations(
        loaded,
        prompts,
        continuations.texts,
        disjoint=True,
        edits=edits,
        token_budget=token_budget,
    )
    return ContinuationScores(
        tuple(prompts.frame["prompt_id"]),
        continuations,
        measured.logprob_NC.double().numpy(),
        measured.length_NC.numpy(),
    )


def sequence_score(
    logprob_NC: Float[np.ndarray, "n c"],
    kind_C: Sequence[str] | Shaped[np.ndarray, " c"],
    kinds: Collection[str] = ABSTAINING_KINDS,
) -> Float[np.ndarray, " n"]:
    """Log odds that the reply begins with a continuation of these kinds, as `abstention_score`.

    log P - log(1 - P), where P is the sum of the continuations' probabilities. What answers plays
    no part. More or shorter continuations raise it: compare only scores of the same ones.

    Args:
        logprob_NC: log probability of each continuation, in nats; no two can both begin a reply.
        kind_C: kind of each.
        kinds: those that count, where there are continuations of them.

    Raises:
        InputError: no continuation is of these kinds.
    """
    return log_odds(logprob_NC[:, _of(kind_C, kinds)])


def normalised_score(
    logprob_NC: Float[np.ndarray, "n c"],
    length_NC: Int[np.ndarray, "n c"],
    kind_C: Sequence[str] | Shaped[np.ndarray, " c"],
    kinds: Collection[str] = ABSTAINING_KINDS,
) -> Float[np.ndarray, " n"]:
    """How much likelier a token of these kinds' continuations is than one of answering, in nats.

    With g = log p(continuation) / its tokens, a kind has v = log(mean of exp(g) over its
    continuations), and the score is log(mean of exp(v) over the kinds) - v of "answer". Means in
    place of sums: a kind weighs the same however many continuations it has and however long they
    are, and writing all those of a kind down twice changes nothing. exp(g) is a geometric mean of
    conditional probabilities, so this is a contrast and not the log odds of any event; a long
    continuation whose end follows from its beginning has a high one. What answers should be ways to
    begin: where they name answers, the score follows what the question is about.

    Args:
        logprob_NC: log probability of each continuation, in nats.
        length_NC: tokens of each, at least 1.
        kind_C: kind of each; some are "answer".
        kinds: those that are weighed against answering, where there are continuations of them.

    Raises:
        InputError: no continuation is of these kinds, or none answers.
    """
    per_token_NC = logprob_NC / length_NC
    kind_C = np.asarray(kind_C)
    there = [kind for kind in dict.fromkeys(kind_C[_of(kind_C, kinds)])]
    value_NK = np.stack([_log_mean_exp(per_token_NC[:, kind_C == kind]) for kind in there], axis=1)
    answer_N = _log_mean_exp(per_token_NC[:, _of(kind_C, ("answer",))])
    return _log_mean_exp(value_NK) - answer_N


def _of(kind_C: Sequence[str] | np.ndarray, kinds: Collection[str]) -> np.ndarray:
    chosen_C = np.isin(np.asarray(kind_C), list(kinds))
    if not chosen_C.any():
        raise InputError(
            f"continuation score: no continuation of the kind {' or '.join(kinds)}; those there "
            f"are of the kinds {', '.join(dict.fromkeys(map(str, kind_C)))}"
        )
    return chosen_C


def _log_mean_exp(value_NC: np.ndarray) -> np.ndarray:
    return np.logaddexp.reduce(value_NC, axis=1) - np.log(value_NC.shape[1])
