"""Kinds of sentences that nobody named: a small dictionary over sentences' mean activations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.activations import Site
from interp.errors import InputError
from interp.features.dictionary import Dictionary
from interp.features.recipe import DictionaryRecipe
from interp.features.trainers import new_trainer
from interp.prompts.words import words_of

_TITLE_WORDS = 4
_PRIOR = 10.0  # sentences that a word's usual share weighs like


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """Categories of sentences: one a latent.

    Attributes:
        dictionary: the latents, TopK.
        titles: of each latent.
        examples: sentences each latent is most active on, best first; none if it never is.
    """

    dictionary: Dictionary
    titles: tuple[str, ...]
    examples: tuple[tuple[str, ...], ...]

    def categories(self, means_ND: Float[Tensor, "n d"]) -> Int[np.ndarray, " n"]:
        """The latent that is most active on each sentence; -1 where none is.

        Raises:
            InputError: another width.
        """
        code_NM = self.dictionary.encode(means_ND).cpu().numpy()
        return np.where((code_NM > 0).any(1), code_NM.argmax(1), -1)


def sentence_means(
    acts_TD: Float[Tensor, "t d"], spans: Sequence[tuple[int, int]]
) -> Float[Tensor, "n d"]:
    """Mean activation over the tokens of each sentence, summed in float64.

    Args:
        acts_TD: of all tokens of one prompt with its chain.
        spans: [start, stop) tokens of each sentence, as from `token_spans` or `label_window`.

    Raises:
        InputError: a span that is empty or goes beyond the tokens.
    """
    for number, (start, stop) in enumerate(spans):
        if not 0 <= start < stop <= len(acts_TD):
            raise InputError(
                f"sentence {number}: tokens {start} to {stop} of {len(acts_TD)}; expected at least "
                "one of them"
            )
    means = [acts_TD[start:stop].double().mean(0) for start, stop in spans]
    return torch.stack(means).float() if means else acts_TD[:0].float()


def learn_taxonomy(
    means_ND: Float[Tensor, "n d"],
    sentences: Sequence[str],
    *,
    site: Site,
    n_latents: int,
    seed: int,
    k: int = 3,
    epochs: int = 300,
    batch: int = 64,
    n_examples: int = 20,
    device: str = "cpu",
) -> Taxonomy:
    """Trains a small TopK dictionary on sentences and gives each latent a title.

    Source: Venhoff et al., arXiv 2510.07364: TopK with k = 3 and 5 to 50 latents on sentences' mean
    activations, Adam at 2e-4 / sqrt(n_latents / 2^14), at most 300 epochs. Titles are not asked
    from a model as there: a title is the words that set the latent's examples apart from the other
    sentences, by log odds with a prior of the words' usual shares (Monroe, Colaresi & Quinn 2008).

    With k above 1 sentences of one kind may be written by several latents together, and which ones
    depends on the seed: see `stability` before a category is called one. With k = 1 categories part
    the sentences, most surely with a few latents more than there are kinds.

    Args:
        means_ND: of `sentence_means`, many chains' together.
        sentences: the texts.
        site: where the activations were read.
        n_latents: most categories there can be.
        seed: of weights and order.
        k: latents active on a sentence.
        epochs: passes over the sentences.
        batch: sentences a step, at most.
        n_examples: sentences kept of each latent.
        device: trained on.

    Raises:
        InputError: not one text a row, fewer sentences than latents, values that are not finite, or
            a `k` above the number of latents.
    """
    check_sentences(means_ND, sentences)
    if not 2 <= n_latents <= len(means_ND):
        raise InputError(
            f"taxonomy: {n_latents} latents for {len(means_ND)} sentences; expected at least 2, "
            "and no more than there are sentences"
        )
    acts_ND = means_ND.float().to(device)
    batch = min(batch, len(acts_ND))
    steps = epochs * (len(acts_ND) // batch)
    recipe = DictionaryRecipe(
        architecture="topk",
        n_latents=n_latents,
        steps=steps,
        batch=batch,
        lr=2e-4 / (n_latents / 2**14) ** 0.5,
        dead_after=10 * len(acts_ND),
        options={"k": k},
    )
    trainer = new_trainer(recipe, site, acts_ND, seed, device)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(acts_ND), generator=order).split(batch):
            if len(rows) == batch:
                trainer.step(acts_ND[rows.to(device)])
                trainer.n_training_steps += 1
    sae = trainer.sae
    if trainer.activation_scaler.scaling_factor is not None:
        sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
    dictionary = Dictionary(sae, site, "taxonomy", recipe.model_dump() | {"seed": seed})
    code_NM = dictionary.encode(acts_ND).cpu().numpy()
    best = [_best(code_N, n_examples) for code_N in code_NM.T]
    said = [frozenset(words_of(sentence)) for sentence in sentences]
    titles = tuple(_title(rows, said) for rows in best)
    examples = tuple(tuple(sentences[row] for row in rows) for rows in best)
    return Taxonomy(dictionary, titles, examples)


def check_sentences(means_ND: Float[Tensor, "n d"], sentences: Sequence[str]) -> None:
    """Refuses means and texts that do not belong together.

    Raises:
        InputError: not one text a row, no rows, or a value that is not finite.
    """
    if len(means_ND) != len(sentences) or not sentences:
        raise InputError(
            f"taxonomy: {len(sentences)} sentences for {len(means_ND)} rows; expected one each, "
            "and at least one"
        )
    bad_N = ~means_ND.isfinite().all(1)
    if bool(bad_N.any()):
        number = int(bad_N.int().argmax())
        raise InputError(f"taxonomy: NaN or Inf in the row of sentence {number}; capture again")


def _best(code_N: np.ndarray, n: int) -> list[int]:
    """Rows of the highest values above 0, the highest first."""
    order = np.argsort(-code_N, kind="stable")[:n]
    return [int(row) for row in order if code_N[row] > 0]


def _title(rows: Sequence[int], said: Sequence[frozenset[str]]) -> str:
    """The words that set some sentences apart from the others, in order of their log odds."""
    inside = Counter(word for row in rows for word in said[row])
    overall = Counter(word for words in said for word in words)
    n_in, n_out = len(rows), len(said) - len(rows)

    def score(word: str) -> float:
        prior = _PRIOR * overall[word] / len(said)
        within, without = inside[word] + prior, overall[word] - inside[word] + prior
        odds = np.log(within / (n_in + _PRIOR - within)) - np.log(
            without / (n_out + _PRIOR - without)
        )
        return float(odds / np.sqrt(1 / within + 1 / without))

    # A word of every sentence has no odds, and tells none apart.
    words = sorted(word for word in inside if overall[word] < len(said))
    return ", ".join(sorted(words, key=score, reverse=True)[:_TITLE_WORDS])
