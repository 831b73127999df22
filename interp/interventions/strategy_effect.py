"""Where a strategy's direction moves a model towards the words that the strategy begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from sae_lens import StandardSAE, StandardSAEConfig
from torch import Tensor

from interp.activations import Site
from interp.behavior.scores.continuations import Continuations
from interp.behavior.scores.first_tokens import FirstTokenReader
from interp.checkpoints import LoadedModel
from interp.directions import Direction, random_directions
from interp.errors import InputError
from interp.features.dictionary import Dictionary
from interp.interventions.attributing import attribute, begins_with
from interp.interventions.edits import Add
from interp.interventions.hooks import intervene
from interp.prompts import Encoded, PromptSet, render
from interp.stats import hierarchical_bootstrap, weighted_mean


def layer_effects(
    loaded: LoadedModel,
    prompts: PromptSet,
    directions: Sequence[Direction],
    phrases: Sequence[str],
    others: Sequence[str],
    *,
    coefficient: float = 1.0,
    n_random: int = 20,
    seed: int,
    n_boot: int = 2000,
    token_budget: int = 8192,
) -> pd.DataFrame:
    """Where a strategy's direction moves the model towards the words that begin its sentences.

    L is the log odds that the next token begins one of the phrases. To first order, adding
    c * norm * v at the last token changes it by c * norm * <v, dL/dh> (attribution patching, Nanda
    2023). The public code of Venhoff et al. 2025 (arXiv 2506.18167) takes the gradient of a
    divergence of the model from itself, which is 0 by definition; L is a quantity of the
    behaviour. `exact` is the change of L when the vector is really added: layers are chosen by it
    (`choose_site`), on a dev split alone.

    Args:
        loaded: the model that is to be steered.
        prompts: of the split "dev": texts up to where a sentence of the strategy could begin.
        directions: of one strategy, one a site.
        phrases: what its sentences begin with.
        others: what other sentences begin with; none may begin with a token of the phrases.
        coefficient: c, in units of each direction's norm.
        n_random: random directions of the same norm at each site.
        seed: of the random directions and of the intervals (by entity or pair of the prompts).
        n_boot: resamples.
        token_budget: most tokens in a forward.

    Returns:
        Columns site, layer, first_order, exact (means with _lo and _hi), random_95 (95th percentile
        of the first-order effects of the random directions, either sign), n.

    Raises:
        InputError: prompts of another split, no directions or two at one site, a phrase that
            begins as another sentence does, or as `attribute` and `first_token_score`.
    """
    if set(prompts.frame["split"]) != {"dev"}:
        raise InputError(
            f"layer effects: prompts of the splits {sorted(set(prompts.frame['split']))}; layers "
            "are chosen on 'dev' alone"
        )
    sites = [direction.site for direction in directions]
    if not sites or len(set(sites)) < len(sites):
        raise InputError(f"layer effects: directions at {sites}; expected one at each site")
    begins = _beginnings(loaded, prompts, phrases, others)
    reader = FirstTokenReader.of(loaded.tokenizer, prompts, begins, kinds=("abstain",))
    levels = {"item": prompts.groups}

    def log_odds(edits: Sequence[Add]) -> np.ndarray:
        def at_last_token(encoded: Encoded, rows: list[int]) -> Any:
            mask_BT = torch.zeros_like(encoded.attention_mask_BT, dtype=torch.bool)
            mask_BT[:, -1] = True
            return intervene(loaded, edits, mask_BT)

        return reader.score(loaded, edits=at_last_token, token_budget=token_budget)

    unsteered_N = log_odds([])
    rows = []
    for direction in directions:
        site, dose = direction.site, coefficient * direction.norm
        nulls_KD = random_directions(n_random, loaded.d_model, seed)
        written_KD = torch.cat([direction.vector_D[None].float(), nulls_KD])
        found = attribute(
            loaded, prompts, _constant(written_KD, site), phrases, token_budget=token_budget
        )
        _check_same_words(found.logodds_N.double().numpy(), unsteered_N)
        first_NK = dose * found.effect_NM.double().numpy()
        exact_N = log_odds([Add(site, direction.vector_D, dose)]) - unsteered_N
        random_K = np.abs(first_NK[:, 1:].mean(0))
        row: dict[str, Any] = {"site": str(site), "layer": site.layer}
        for name, effect_N in (("first_order", first_NK[:, 0]), ("exact", exact_N)):
            interval = hierarchical_bootstrap(
                weighted_mean(effect_N), levels, n_boot=n_boot, seed=seed
            )
            row |= interval.columns(name)
        random_95 = float(np.quantile(random_K, 0.95)) if n_random else float("nan")
        rows.append(row | {"random_95": random_95, "n": len(prompts)})
    return pd.DataFrame(rows)


def choose_site(effects: pd.DataFrame) -> Site | None:
    """The site with the largest exact effect; None where no site has one above 0."""
    best = effects.loc[effects["exact"].idxmax()]
    return Site.parse(str(best["site"])) if best["exact"] > 0 else None


def _beginnings(
    loaded: LoadedModel, prompts: PromptSet, phrases: Sequence[str], others: Sequence[str]
) -> Continuations:
    """One phrase for each token that they begin with; the strategy's stand as "abstain"."""
    texts = render(PromptSet(prompts.frame.head(1)), loaded.tokenizer)
    first, first_other = (
        {int(begins_with(loaded, texts, [phrase])[0]): phrase for phrase in given}
        for given in (phrases, others)
    )
    both = sorted(set(first) & set(first_other))
    if both or not first or not first_other:
        alike = f"{first[both[0]]!r} and {first_other[both[0]]!r} begin alike" if both else "none"
        raise InputError(
            f"layer effects: {len(first)} and {len(first_other)} tokens that begin the strategy "
            f"and other sentences, of both: {alike}; expected one of each or more, none in common"
        )
    return Continuations(
        "any", tuple(first.values()), tuple(first_other.values()), source="layer effects"
    )


def _constant(written_KD: Tensor, site: Site) -> Dictionary:
    """Latents that are always 1 and write the vectors: their effects are <vector, gradient>."""
    n, d = written_KD.shape
    sae = StandardSAE(StandardSAEConfig(d_in=d, d_sae=n, dtype="float32", device="cpu"))
    with torch.no_grad():
        sae.W_enc.zero_()
        sae.b_enc.fill_(1.0)
        sae.W_dec.copy_(written_KD)
        sae.b_dec.zero_()
    return Dictionary(sae, site, "strategy directions", {})


def _check_same_words(attributed_N: np.ndarray, scored_N: np.ndarray) -> None:
    """Both kinds of effects must be effects on the same log odds."""
    if not np.allclose(attributed_N, scored_N, rtol=1e-2, atol=5e-2):
        row = int(np.abs(attributed_N - scored_N).argmax())
        raise InputError(
            f"layer effects: after prompt {row} the phrases begin with other tokens than after the "
            "first prompt; end all prompts alike"
        )
