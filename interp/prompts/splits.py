"""Splits that leak nothing: what belongs together, or says the same, is in one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import ceil

import numpy as np
import pandas as pd

from interp.errors import InputError
from interp.prompts.linking import Links
from interp.prompts.overlap import NGRAM
from interp.prompts.promptset import PromptSet

SHARES = {"train": 0.5, "dev": 0.2, "test": 0.3}
TOGETHER = ("pair", "entity")


def split(
    prompts: PromptSet,
    shares: Mapping[str, float] = SHARES,
    *,
    seed: int,
    by: Sequence[str] = TOGETHER,
    disjoint: str = "ngram",
    n: int = NGRAM,
    common: int | None = None,
) -> PromptSet:
    """Fills `split`, so that no two splits share a minimal pair, an entity or content.

    Rows that are linked, also through others, are one component and stay whole. Components are
    dealt out from the largest to the smallest, in an order that the seed draws among those of a
    size. Each goes where the counts stay nearest to the shares, by chi-squared over the strata
    (dataset, should_abstain) and all rows. The split of a row depends on the prompts and the seed,
    never on the order of the rows.

    Args:
        prompts: any; what `split` holds is replaced.
        shares: of the rows, by the name of the split; they sum to 1.
        seed: of the order.
        by: what stays whole: "pair", "entity" (prompts without one have no part in it), and
            columns as `interp.prompts.targets.column_of` takes them, such as "scenario".
        disjoint: "ngram": prompts that share a run of n words, or say the same, stay together;
            "exact": those that say the same; "pair": content does not matter.
        n: words in a run.
        common: a run that more prompts hold is a template and links nothing, as for
            `interp.prompts.overlap.content_groups`.

    Returns:
        The same rows in the same order.

    Raises:
        InputError: shares that are not above 0 or do not sum to 1; a component larger than the
            largest share (with its prompts); a split that is left empty; or an unknown `by`,
            `disjoint`, n or `common`.
    """
    _check_shares(shares)
    if not len(prompts):
        raise InputError("split: no prompts")
    component_N = Links.of(prompts, by, disjoint, n, common).components(len(prompts))
    _check_sizes(prompts, component_N, shares)
    counts_CS = _counts(prompts, component_N)
    order_C = _order(prompts, component_N, seed)
    split_C = _dealt(counts_CS, order_C, np.array(list(shares.values())))
    names = np.array(list(shares), dtype=object)
    for place, name in enumerate(names):
        if place not in split_C:
            raise InputError(
                f"split: '{name}' is left empty; {len(prompts)} prompts in {len(order_C)} parts "
                f"that stay whole are too few for the shares {dict(shares)}"
            )
    return PromptSet(prompts.frame.assign(split=names[split_C[component_N]]))


def check_disjoint(
    prompts: PromptSet,
    *,
    by: Sequence[str] = TOGETHER,
    disjoint: str = "ngram",
    n: int = NGRAM,
    common: int | None = None,
) -> pd.DataFrame:
    """Refuses splits that leak, and counts those that do not.

    Args:
        prompts: with `split` filled in.
        by: as for `split`, and so the rest.
        disjoint: what else no two splits may share.
        n: words in a run.
        common: runs that more prompts hold are templates.

    Returns:
        Columns split, dataset, should_abstain, n (rows) and share (of the stratum's rows).

    Raises:
        InputError: a prompt without a split, or two splits that share a pair, an entity, a value
            or content; the message names two prompts, their splits and what they share.
    """
    split_N = prompts.frame["split"].to_numpy()
    ids = prompts.frame["prompt_id"].to_numpy()
    if (split_N == "").any():
        raise InputError(
            f"splits: prompt {ids[(split_N == '').argmax()]!r} has none; fill `split` in first"
        )
    links = Links.of(prompts, by, disjoint, n, common)
    place_N = pd.factorize(split_N)[0]
    # The first row of each unit stands for it: a leak is a later one in another split.
    _, first_U, unit_E = np.unique(links.unit_E, return_index=True, return_inverse=True)
    row_U = links.row_E[first_U]
    leak_E = place_N[links.row_E] != place_N[row_U][unit_E]
    if leak_E.any():
        later = int(leak_E.argmax())
        one, two = int(row_U[unit_E[later]]), int(links.row_E[later])
        raise InputError(
            f"splits leak: prompt {ids[one]!r} is in '{split_N[one]}' and {ids[two]!r} in "
            f"'{split_N[two]}', but they share {links.show(later)} "
            f"({int(leak_E.sum())} such links in all)"
        )
    strata = ["dataset", "should_abstain"]
    counts = prompts.frame.groupby(["split", *strata], sort=False).size().rename("n").reset_index()
    return counts.assign(share=counts["n"] / counts.groupby(strata)["n"].transform("sum"))


def _check_shares(shares: Mapping[str, float]) -> None:
    total = sum(shares.values())
    if not shares or any(share <= 0 for share in shares.values()) or abs(total - 1) > 1e-6:
        raise InputError(
            f"split: the shares {dict(shares)} sum to {total:g}; expected shares above 0 that sum "
            "to 1"
        )
    if "" in shares:
        raise InputError("split: a share has no name; '' means that a row is in no split")


def _check_sizes(prompts: PromptSet, component_N: np.ndarray, shares: Mapping[str, float]) -> None:
    size_C = np.bincount(component_N)
    largest = int(size_C.argmax())
    name = max(shares, key=lambda split: shares[split])
    room = ceil(shares[name] * len(prompts) - 1e-9)
    if size_C[largest] > room:
        ids = sorted(prompts.frame["prompt_id"][component_N == largest])
        shown = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
        raise InputError(
            f"split: {len(ids)} of {len(prompts)} prompts are linked and must stay together "
            f"({shown}), more than the largest share ('{name}', {room}) has room for; if they "
            "share a template, set `common` to the most prompts that may share a run of words and "
            "still be linked, or link by less (`by`, `disjoint`)"
        )


def _counts(prompts: PromptSet, component_N: np.ndarray) -> np.ndarray:
    """Rows of each component in each stratum; the last stratum is all rows, so that it counts."""
    frame = prompts.frame[["dataset"]].assign(should_abstain=prompts.labels)
    stratum_N = frame.groupby(["dataset", "should_abstain"]).ngroup().to_numpy()
    counts_CS = np.zeros((component_N.max() + 1, stratum_N.max() + 2))
    np.add.at(counts_CS, (component_N, stratum_N), 1)
    counts_CS[:, -1] = counts_CS.sum(1)
    return counts_CS


def _order(prompts: PromptSet, component_N: np.ndarray, seed: int) -> np.ndarray:
    """Components from the largest; those of a size by a hash of the seed and their first id."""
    ids = pd.Series(prompts.frame["prompt_id"].to_numpy()).groupby(component_N)
    key_C = [sha256(f"{seed} {first}".encode()).digest() for first in ids.min()]
    size_C = ids.size().to_numpy()
    return np.array(sorted(range(len(size_C)), key=lambda one: (-size_C[one], key_C[one])))


def _dealt(counts_CS: np.ndarray, order_C: np.ndarray, share_K: np.ndarray) -> np.ndarray:
    """The split of each component, taken in order, with the least chi-squared at each step."""
    expected_KS = share_K[:, None] * counts_CS.sum(0)
    taken_KS = np.zeros_like(expected_KS)
    split_C = np.empty(len(order_C), dtype=np.int64)
    for component in order_C:
        (held,) = counts_CS[component].nonzero()
        added = counts_CS[component, held]
        # What the sum over splits of counts squared by counts expected grows by.
        growth_K = ((2 * taken_KS[:, held] + added) * added / expected_KS[:, held]).sum(1)
        split_C[component] = chosen = int(growth_K.argmin())
        taken_KS[chosen, held] += added
    return split_C
