"""What one latent does in one model: where it fires, how strongly, and what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from interp.activations import Activations
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.features.dictionary import Dictionary
from interp.features.firing import GroupFiring, firing_by_group
from interp.features.logit_effects import LogitEffects, logit_effects, spelled


@dataclass(frozen=True)
class Example:
    """A prompt that the latent fires on, or a stretch of it around the strongest token.

    Attributes:
        prompt_id: of the prompt.
        group: its label; None where prompts have none.
        tokens: of the stretch.
        values: of the latent at each of them.
        peak: which of them is the strongest; the first of several.
        first: which of the prompt's tokens, from 0, the stretch begins with.
        n_tokens: of the whole prompt.
    """

    prompt_id: str
    group: str | None
    tokens: tuple[str, ...]
    values: tuple[float, ...]
    peak: int
    first: int
    n_tokens: int


@dataclass(frozen=True)
class Portrait:
    """What a page shows of one latent in one model.

    Attributes:
        latent: its number in the dictionary.
        overall: how it fires in all prompts that were read.
        examples: prompts with the strongest tokens, the strongest first, ties in their own order.
        edges: of the histogram's bins, one more than there are bins; the last bin holds its upper
            edge, each other one only its lower.
        counts: tokens in each bin, of those that fire.
        groups: by label, in order of appearance; empty where prompts have none.
        peaks: maximum over each prompt's tokens, by prompt id.
        effects: tokens that its decoder direction raises and lowers; None without a model.
    """

    latent: int
    overall: GroupFiring
    examples: tuple[Example, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    groups: tuple[GroupFiring, ...]
    peaks: Mapping[str, float]
    effects: LogitEffects | None


def portrait(
    dictionary: Dictionary,
    latent: int,
    codes_N: Float[np.ndarray, " n"] | Float[Tensor, " n"],
    offsets: Int[np.ndarray, " p_plus_1"] | Int[Tensor, " p_plus_1"],
    tokens: Sequence[Sequence[str]],
    prompt_ids: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    loaded: LoadedModel | None = None,
    n_examples: int = 12,
    context: int = 40,
    n_bins: int = 30,
    ceiling: float | None = None,
    n_effects: int = 10,
) -> Portrait:
    """Portrays one latent in one model; a token fires where the latent's value is above 0.

    Portraits of parent and child are two calls, with the same dictionary and `ceiling`.

    Args:
        dictionary: whose latent it is; only its decoder direction is read.
        latent: its number.
        codes_N: the latent at every token of the model, prompt after prompt: a column of the codes
            of what `Activations.read(site, "all")` gives.
        offsets: where each prompt's tokens begin, and where the last one's end, as
            `Activations.offsets`.
        tokens: texts of each prompt's tokens, as from `token_texts`.
        prompt_ids: of the prompts, all different.
        groups: label of each prompt, such as its scenario and whether it is answerable.
        loaded: the model, for its final norm and unembedding (`direct_logits`: the norm's scale is
            left out, its weight is used where it has one); None leaves the logit effects out.
        n_examples: most examples.
        context: most tokens of an example on each side of its strongest.
        n_bins: of the histogram, from 0 up.
        ceiling: where the histogram ends, so that several models can share their bins; None is
            the maximum.
        n_effects: tokens at each end of the logit effects.

    Raises:
        InputError: no such latent; values that are not one a token, below 0 or not finite; tokens,
            ids or labels that are not of these prompts; a prompt without tokens; a ceiling below
            the maximum; an option below its least; or as `logit_effects`.
    """
    code_N = np.asarray(codes_N, dtype=np.float64)
    start_P = np.asarray(offsets, dtype=np.int64)
    _check_options(dictionary, latent, n_examples, context, n_bins)
    _check_prompts(start_P, tokens, prompt_ids, groups)
    _check_codes(code_N, start_P, latent)
    (overall,) = firing_by_group(code_N, start_P, ["all"] * len(prompt_ids))
    top = overall.maximum if ceiling is None else ceiling
    if not top >= overall.maximum:
        raise InputError(
            f"portrait: a ceiling of {top}, but latent {latent} reaches {overall.maximum:.6g}; "
            "give the maximum over all models that are shown"
        )
    peak_P = np.maximum.reduceat(code_N, start_P[:-1])
    counts, edges = np.histogram(code_N[code_N > 0], bins=n_bins, range=(0.0, top or 1.0))
    shown = [row for row in np.argsort(-peak_P, kind="stable")[:n_examples] if peak_P[row] > 0]
    effects = None
    if loaded is not None:
        # One row: the decoder of a large dictionary is not copied for one of its directions.
        direction_D = dictionary.sae.W_dec[latent].detach().float()
        direction_D = direction_D / direction_D.norm().clamp(min=1e-12)
        effects = logit_effects(loaded, direction_D, n_effects)
    return Portrait(
        latent=latent,
        overall=overall,
        examples=tuple(
            _example(
                code_N[start_P[row] : start_P[row + 1]],
                tokens[row],
                str(prompt_ids[row]),
                None if groups is None else str(groups[row]),
                context,
            )
            for row in shown
        ),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        groups=() if groups is None else firing_by_group(code_N, start_P, groups),
        peaks=dict(zip(map(str, prompt_ids), peak_P.tolist(), strict=True)),
        effects=effects,
    )


def token_texts(activations: Activations, loaded: LoadedModel) -> list[list[str]]:
    """Texts of each prompt's tokens, each as it reads behind another one.

    Args:
        activations: of the prompts.
        loaded: the model that read them.
    """
    ids = [activations.token_ids(row) for row in range(len(activations))]
    texts = spelled(loaded.tokenizer, (token for row in ids for token in row))
    return [[texts[token] for token in row] for row in ids]


def _example(
    code_T: np.ndarray, tokens: Sequence[str], prompt_id: str, group: str | None, context: int
) -> Example:
    peak = int(code_T.argmax())
    first, stop = max(peak - context, 0), peak + context + 1
    return Example(
        prompt_id=prompt_id,
        group=group,
        tokens=tuple(tokens[first:stop]),
        values=tuple(code_T[first:stop].tolist()),
        peak=peak - first,
        first=first,
        n_tokens=len(code_T),
    )


def _check_options(
    dictionary: Dictionary, latent: int, n_examples: int, context: int, n_bins: int
) -> None:
    if not 0 <= latent < dictionary.n_latents:
        raise InputError(
            f"portrait: no latent {latent} in {dictionary.source}; it has 0 to "
            f"{dictionary.n_latents - 1}"
        )
    least = {"n_examples": (n_examples, 0), "context": (context, 0), "n_bins": (n_bins, 1)}
    for name, (given, lowest) in least.items():
        if given < lowest:
            raise InputError(f"portrait: {name}={given}; expected at least {lowest}")


def _check_prompts(
    start_P: np.ndarray,
    tokens: Sequence[Sequence[str]],
    prompt_ids: Sequence[str],
    groups: Sequence[str] | None,
) -> None:
    n_prompts = len(start_P) - 1
    if n_prompts < 1 or start_P[0] != 0 or not (np.diff(start_P) > 0).all():
        raise InputError(
            "portrait: offsets that do not begin at 0 or do not ascend; expected where each "
            "prompt's tokens begin and where the last one's end, at least one token a prompt"
        )
    given = {"lists of tokens": tokens, "prompt ids": prompt_ids}
    for what, entries in (given if groups is None else {**given, "groups": groups}).items():
        if len(entries) != n_prompts:
            raise InputError(
                f"portrait: {len(entries)} {what} for {n_prompts} prompts; expected one each"
            )
    for prompt_id, length, texts in zip(prompt_ids, np.diff(start_P), tokens, strict=True):
        if len(texts) != length:
            raise InputError(
                f"portrait: prompt {prompt_id} has {len(texts)} tokens, its values are of {length}"
            )
    if len(set(map(str, prompt_ids))) != n_prompts:
        raise InputError("portrait: prompt ids that are not all different; each needs its own")


def _check_codes(code_N: np.ndarray, start_P: np.ndarray, latent: int) -> None:
    if code_N.shape != (start_P[-1],):
        raise InputError(
            f"portrait: codes of shape {code_N.shape}; expected one of latent {latent} for each "
            f"of the {start_P[-1]} tokens"
        )
    bad_N = ~(np.isfinite(code_N) & (code_N >= 0))
    if bad_N.any():
        place = int(bad_N.argmax())
        raise InputError(
            f"portrait: latent {latent} is {code_N[place]} at token {place}; expected finite "
            "values, 0 or above"
        )
