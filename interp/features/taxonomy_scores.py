"""How good a taxonomy of sentences is: accuracy, completeness, orthogonality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from interp.behavior.audit.judge import judge_replies
from interp.checkpoints import LoadedModel
from interp.features.taxonomy import Taxonomy, check_sentences
from interp.prompts.words import words_of
from interp.stats import auroc

Judge = Callable[[str, Sequence[str]], np.ndarray]
"""Given a title and N sentences, how well each fits it, [N]: the higher the better."""

_ASKED = "What do you think next?"


@dataclass(frozen=True, eq=False)
class TaxonomyScores:
    """Scores of a taxonomy, each from 0 to 1, the higher the better.

    Attributes:
        accuracy: whether a title says what its category is: the mean over categories of the AUROC
            with which a judge, given the title, tells the category's sentences (those on which its
            latent is the most active) from all others. 0.5 is chance. Categories that have none of
            the sentences, or all, are left out; NaN if that leaves none.
        completeness: share of the sentences that some latent explains: one that is active, and
            whose direction has a cosine of `explains` or more with the sentence's mean activation
            less the dictionary's bias.
        orthogonality: 1 less the mean over pairs of latents of the cosine of their directions. One
            below 0 counts as 0: two directions that oppose each other are no more alike than two at
            right angles. Latents that were silent in training are left out; NaN if one is left.
        by_category: category, title, n (its sentences), accuracy.
    """

    accuracy: float
    completeness: float
    orthogonality: float
    by_category: pd.DataFrame


def taxonomy_scores(
    taxonomy: Taxonomy,
    means_ND: Float[Tensor, "n d"],
    sentences: Sequence[str],
    *,
    judge: Judge | None = None,
    explains: float = 0.5,
) -> TaxonomyScores:
    """Scores a taxonomy on sentences that it was not learnt from.

    On those that it was, titles fit their own examples by construction. The names are those of
    Venhoff et al. (arXiv 2510.07364), who have a model rate titles from 0 to 10; here each score is
    counted from what is defined in `TaxonomyScores`.

    Args:
        taxonomy: as learnt from other sentences, best of other problems.
        means_ND: of `sentence_means`, at the same site.
        sentences: the texts.
        judge: None is `by_words`, which needs no model.
        explains: the cosine from which a latent explains a sentence.

    Raises:
        InputError: as `check_sentences`, or rows of another width.
    """
    check_sentences(means_ND, sentences)
    found = judge or by_words
    category_N = taxonomy.categories(means_ND)
    rows = []
    for category, title in enumerate(taxonomy.titles):
        own_N = category_N == category
        told = own_N.any() and not own_N.all()
        value = auroc(np.asarray(found(title, sentences), dtype=float), own_N) if told else np.nan
        rows.append((category, title, int(own_N.sum()), value))
    table = pd.DataFrame(rows, columns=["category", "title", "n", "accuracy"])
    return TaxonomyScores(
        float(table["accuracy"].mean()),
        _completeness(taxonomy, means_ND, explains),
        _orthogonality(taxonomy),
        table,
    )


def by_words(title: str, sentences: Sequence[str]) -> np.ndarray:
    """A judge without a model: the share of the title's words that stand in each sentence, [N]."""
    wanted = set(words_of(title))
    return np.array(
        [len(wanted & set(words_of(sentence))) / max(len(wanted), 1) for sentence in sentences]
    )


def by_model(loaded: LoadedModel, *, token_budget: int = 8192) -> Judge:
    """A model as judge: its log odds of yes, asked whether a sentence is of a kind.

    Args:
        loaded: the judge, as for `judge_replies`; errors are as there.
        token_budget: as for `judge_replies`.
    """

    def judge(title: str, sentences: Sequence[str]) -> np.ndarray:
        items = pd.DataFrame(
            {
                "prompt_id": [f"sentence {number}" for number in range(len(sentences))],
                "question": _ASKED,
                "reply": list(sentences),
            }
        )
        asked = f"Is the reply of the kind that these words name: {title}?"
        found = judge_replies(loaded, items, question=asked, token_budget=token_budget)
        return found["score"].to_numpy()

    return judge


def _completeness(taxonomy: Taxonomy, means_ND: Tensor, explains: float) -> float:
    dictionary = taxonomy.dictionary
    active_NM = dictionary.encode(means_ND).cpu().numpy() > 0
    bias_D = dictionary.sae.b_dec.detach().double().cpu().numpy()
    off_ND = means_ND.double().cpu().numpy() - bias_D
    off_ND /= np.linalg.norm(off_ND, axis=1, keepdims=True).clip(min=1e-12)
    cosine_NM = off_ND @ dictionary.decoder_MD.double().numpy().T
    return float((active_NM & (cosine_NM >= explains)).any(1).mean())


def _orthogonality(taxonomy: Taxonomy) -> float:
    alive_M = np.array([bool(found) for found in taxonomy.examples])
    direction_MD = taxonomy.dictionary.decoder_MD.double().numpy()[alive_M]
    cosine_P = (direction_MD @ direction_MD.T).clip(min=0)[np.triu_indices(len(direction_MD), 1)]
    return float(1 - cosine_P.mean()) if len(cosine_P) else np.nan
