"""Which latents say "I don't know this": every latent scored, picked on dev, confirmed on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix
from scipy.special import xlogy
from scipy.stats import norm
from torch import Tensor

from interp.errors import InputError
from interp.features.codes import SparseCodes
from interp.features.matching import match_decoders
from interp.probes import LogisticProbe
from interp.probes.linear import DEFAULT_C
from interp.stats import (
    Weighted,
    auroc,
    benjamini_hochberg,
    hierarchical_bootstrap,
    weighted_auroc,
)

Labels = Sequence[object] | np.ndarray
Direction = Literal["unknown", "known"]
Effect = Literal["separation", "auroc", "cohens_d"]
EFFECTS: tuple[Effect, ...] = ("separation", "auroc", "cohens_d")
_NO_EFFECT: dict[Effect, float] = {"separation": 0.0, "auroc": 0.5, "cohens_d": 0.0}


def feature_auroc(codes: SparseCodes, labels: Labels) -> Float[np.ndarray, " m"]:
    """`interp.stats.auroc` of every latent, from the entries that are not 0 alone.

    Rows where a latent is silent are one tie, between its negative and its positive values. So the
    cost is that of sorting E entries, however many rows and latents there are.

    Args:
        codes: N rows over M latents.
        labels: bool, or 0 and 1, one a row.

    Returns:
        Probability that a row labelled True has the higher value, ties counting one half; 0.5 for
        a latent that is never active.

    Raises:
        InputError: not one label a row, labels that are neither 0 nor 1, or only one class.
    """
    return _mann_whitney(codes, _checked(codes, labels))[0]


def search(
    codes: SparseCodes,
    labels: Labels,
    levels: Mapping[str, Labels],
    *,
    direction: Direction = "unknown",
    kinds: Labels | None = None,
    generic: SparseCodes | None = None,
    max_generic: float = 0.02,
    q: float = 0.05,
    rank_by: Effect = "separation",
) -> pd.DataFrame:
    """Scores every latent for telling unanswerable from answerable, on the rows to choose by.

    The separation score is the difference between the classes in how often a latent fires; the
    worst kind of entity counts, and latents that fire on generic text are left out (Ferrando et
    al. 2024, "Do I Know This Entity?", arXiv 2411.14257). Beside it stand AUROC and Cohen's d
    (pooled variance), which also see how strongly it fires.

    Each p is of a two-sided Mann-Whitney test (normal approximation, ties and continuity
    corrected) on one mean code for the rows of a class in a unit, since rows of one entity are
    not independent. Units are taken as independent; the intervals of `confirm` know more levels.

    Args:
        codes: of the rows to choose by (dev), at one position each.
        labels: True where the model should abstain (unknown).
        levels: unit of each row, by the name of the level, from the top (scenario, entity, ...).
        direction: "unknown" seeks latents that fire where it should abstain, "known" those that
            fire where it should answer (inhibitors of abstention); effects are positive, and
            AUROCs above 0.5, in the direction that is sought.
        kinds: scenario or entity type of each row; each must have rows of both classes.
        generic: codes of generic text (tokens of a pre-training corpus) by the same dictionary.
        max_generic: frequency there from which a latent counts as unspecific.
        q: false discovery rate (Benjamini-Hochberg over all M latents, those that never fire
            having p = 1).
        rank_by: what the order goes by, in its worst kind.

    Returns:
        A row a latent, those that pass first, the best first: latent, direction,
        frequency_unknown, frequency_known, frequency_generic (NaN without `generic`), separation,
        auroc, cohens_d, the same in the worst kind (`worst_...`, each in the kind where it is
        least), worst_kind (of `rank_by`), p, q, passes (specific, significant, and all three
        effects of the sought sign in every kind).

    Raises:
        InputError: labels, levels or kinds that do not fit the rows, a class missing (in a kind,
            too), or generic codes of another dictionary.
    """
    label_N = _checked(codes, labels)
    unit_N = _units(codes, levels)
    kind_N = np.full(len(codes), "all") if kinds is None else _one_each(codes, kinds, "kinds")
    sought_N = label_N if direction == "unknown" else ~label_N
    effects = _effects(codes, sought_N)
    by_kind = {}
    for kind in pd.unique(kind_N):
        of_kind_N = kind_N == kind
        if label_N[of_kind_N].all() or not label_N[of_kind_N].any():
            raise InputError(
                f"search: all rows of the kind {kind} have the label {label_N[of_kind_N][0]}; "
                "the worst kind needs both classes in each, so drop or merge it"
            )
        by_kind[kind] = _effects(codes.rows(of_kind_N), sought_N[of_kind_N])
    worst = {name: np.min([part[name] for part in by_kind.values()], axis=0) for name in EFFECTS}
    worst_kind = np.argmin([part[rank_by] for part in by_kind.values()], axis=0)
    p_M = _p_of_units(codes, sought_N, unit_N)
    q_M = benjamini_hochberg(p_M)
    generic_M = np.full(codes.n_latents, np.nan)
    if generic is not None:
        if generic.n_latents != codes.n_latents:
            raise InputError(
                f"search: generic codes over {generic.n_latents} latents, the others over "
                f"{codes.n_latents}; encode both by one dictionary"
            )
        generic_M = generic.frequency
    passes_M = (q_M < q) & ~(generic_M >= max_generic)
    for name in EFFECTS:
        passes_M &= worst[name] > _NO_EFFECT[name]
    table = pd.DataFrame(
        {
            "latent": np.arange(codes.n_latents),
            "direction": direction,
            "frequency_unknown": codes.rows(label_N).frequency,
            "frequency_known": codes.rows(~label_N).frequency,
            "frequency_generic": generic_M,
            **{str(name): value for name, value in effects.items()},
            **{f"worst_{name}": value for name, value in worst.items()},
            "worst_kind": np.array(list(by_kind), dtype=object)[worst_kind],
            "p": p_M,
            "q": q_M,
            "passes": passes_M,
        }
    )
    order = ["passes", f"worst_{rank_by}", "auroc"]
    return table.sort_values(order, ascending=False, kind="stable", ignore_index=True)


def confirm(
    picked: pd.DataFrame,
    codes: SparseCodes,
    labels: Labels,
    levels: Mapping[str, Labels],
    *,
    seen: Labels,
    baselines: Mapping[str, np.ndarray] | None = None,
    kinds: Labels | None = None,
    generic: SparseCodes | None = None,
    max_generic: float = 0.02,
    q: float = 0.05,
    seed: int,
    n_boot: int = 5000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Reports latents that `search` picked on dev, on test rows that had no part in the choice.

    Args:
        picked: some rows of `search`'s table, of one direction.
        codes: of the test rows, by the same dictionary.
        labels: as in `search`.
        levels: as in `search`.
        seen: the lowest level's units (entities, pairs) that the choice was made on.
        baselines: scores of the test rows, higher meaning unknown, that a latent is set beside:
            `dense_probe`, `token_lookup`.
        kinds: as in `search`.
        generic: as in `search`.
        max_generic: as in `search`.
        q: as in `search`, but over the picked latents alone.
        seed: of the resampling.
        n_boot: number of resamples.
        level: coverage of the intervals.

    Returns:
        `search`'s columns on the test rows, in the order picked, and `dev_separation`, `dev_auroc`,
        `separation_lo`, `separation_hi`, `auroc_lo`, `auroc_hi`
        (`interp.stats.hierarchical_bootstrap`), and for each baseline its AUROC, `NAME_auroc`, and
        by how much the latent's is above it on the same rows, `over_NAME`, `_lo`, `_hi`.

    Raises:
        InputError: nothing picked, or both directions; a unit that the choice was made on among
            the test rows; a baseline without one score a row; or as `search`.
    """
    label_N = _checked(codes, labels)
    directions = set(picked["direction"])
    if len(directions) != 1:
        raise InputError(
            f"confirm: {len(picked)} latents picked, of the directions {sorted(directions)}; "
            "expected some, of one direction"
        )
    unit_N = _units(codes, levels)
    again = sorted(set(unit_N.tolist()) & set(np.asarray(seen).tolist()), key=str)
    if again:
        raise InputError(
            f"confirm: {len(again)} units, {again[0]!r} first, are among the rows that the latents "
            "were picked on; split so that no unit is in both"
        )
    chosen = picked["latent"].to_numpy()
    table = search(
        codes.latents(chosen),
        label_N,
        levels,
        direction=directions.pop(),
        kinds=kinds,
        generic=None if generic is None else generic.latents(chosen),
        max_generic=max_generic,
        q=q,
    ).sort_values("latent", ignore_index=True)
    sought_N = label_N if (table["direction"] == "unknown").all() else ~label_N
    rivals = {
        name: (auroc(scores_N, label_N), weighted_auroc(scores_N, label_N))
        for name, scores_N in (baselines or {}).items()
    }
    rows = []
    for values_N in codes.dense(chosen).T:
        weighted = {
            "separation": _weighted_separation(values_N != 0, sought_N),
            "auroc": weighted_auroc(values_N, sought_N),
        }
        for name, (_, rival) in rivals.items():
            weighted[f"over_{name}"] = _difference(weighted["auroc"], rival)
        row = {f"{name}_auroc": value for name, (value, _) in rivals.items()}
        for name, statistic in weighted.items():
            found = hierarchical_bootstrap(
                statistic, levels, n_boot=n_boot, seed=seed, level=level, strata=sought_N
            )
            row |= {name: found.estimate, f"{name}_lo": found.lo, f"{name}_hi": found.hi}
        rows.append(row)
    measured = pd.DataFrame(rows)
    kept = {"latent": chosen, "dev_separation": picked["separation"], "dev_auroc": picked["auroc"]}
    table = table.assign(**{name: np.asarray(value) for name, value in kept.items()})
    return table.join(measured.drop(columns=["separation", "auroc"]))


def stability(decoders: Sequence[Float[Tensor, "_ d"]], *, cut: float = 0.7) -> pd.DataFrame:
    """Whether dictionaries of other seeds hold the same latents, by decoder direction.

    Dictionaries of one model and one set of rows share only some of their latents (Paulo & Belrose
    2025, arXiv 2501.16615); a finding about one that no other seed has is about the seed.

    Args:
        decoders: the first's latents are looked for in the others, [m, d] each, at least two.
        cut: cosine from which two latents, each the other's nearest, count as one.

    Returns:
        A row a latent of the first: latent; match_1, cosine_1, mutual_1, match_2, ...: its nearest
        in each other dictionary (numbered as in the list), their cosine, and whether it is that
        one's nearest too; mean_cosine; replicates: others that hold it.

    Raises:
        InputError: fewer than two decoders, or what `match_decoders` refuses.
    """
    if len(decoders) < 2:
        raise InputError(f"stability: {len(decoders)} decoders; expected at least 2 seeds")
    first, *others = decoders
    found = [match_decoders(first, other) for other in others]
    columns: dict[str, np.ndarray] = {"latent": np.arange(len(first))}
    for seed, match in enumerate(found, start=1):
        columns |= {f"match_{seed}": match.index_M, f"cosine_{seed}": match.cosine_M}
        columns[f"mutual_{seed}"] = match.mutual_M
    columns["mean_cosine"] = np.mean([match.cosine_M for match in found], axis=0)
    columns["replicates"] = np.sum([m.mutual_M & (m.cosine_M >= cut) for m in found], axis=0)
    return pd.DataFrame(columns)


def dense_probe(
    acts_ND: Float[Tensor, "n d"],
    labels: Labels,
    test_acts_MD: Float[Tensor, "m _"],
    *,
    c: float = DEFAULT_C,
) -> Float[np.ndarray, " m"]:
    """Scores of test rows by a logistic probe fitted on dev rows: what all of the site can tell.

    Given `codes.dense(latents)` in place of activations it is the probe on those k latents.

    Args:
        acts_ND: the rows that latents are picked on.
        labels: of those rows, as in `search`.
        test_acts_MD: the rows that are reported.
        c: inverse strength of the L2 penalty on standardised columns.

    Returns:
        Log odds of the label, a baseline of `confirm`.

    Raises:
        InputError: not one label a row, only one class, or activations the probe refuses.
    """
    label_N = _checked(acts_ND, labels)
    return LogisticProbe(C=c).fit(acts_ND, label_N).decision_function(test_acts_MD)


def token_lookup(
    tokens: SparseCodes, labels: Labels, test_tokens: SparseCodes, *, smoothing: float = 1.0
) -> Float[np.ndarray, " m"]:
    """Scores of test rows by their tokens alone: what "it fires on the word" can tell.

    Each token counts by the log of how much likelier it is in dev rows labelled True (multinomial
    naive Bayes, class sizes left out; for one token a row, a look-up table).

    Args:
        tokens: counts in the rows that latents are picked on, from `SparseCodes.from_tokens`.
        labels: of those rows, as in `search`.
        test_tokens: counts in the rows that are reported.
        smoothing: added to the count of each token.

    Returns:
        A baseline of `confirm`.

    Raises:
        InputError: labels that do not fit, another vocabulary, or no smoothing.
    """
    label_N = _checked(tokens, labels)
    if tokens.n_latents != test_tokens.n_latents or not smoothing > 0:
        raise InputError(
            f"token lookup: vocabularies of {tokens.n_latents} and {test_tokens.n_latents} tokens, "
            f"smoothing {smoothing}; expected one vocabulary, and smoothing above 0"
        )
    log_share = []
    for class_N in (label_N, ~label_N):
        count_V = class_N @ tokens.matrix + smoothing
        log_share.append(np.log(count_V / count_V.sum()))
    return test_tokens.matrix @ (log_share[0] - log_share[1])


def reason_score(
    codes: SparseCodes,
    tokens: Sequence[int] | np.ndarray,
    sequences: Labels,
    lexicon: Mapping[str, Sequence[Sequence[int]]],
    *,
    window: tuple[int, int] = (1, 2),
    alpha: float = 0.7,
    ignore: Sequence[int] = (),
) -> pd.DataFrame:
    """How much a latent is about the words of a lexicon: reasoning words, or abstaining ones.

    mu+ / sum mu+ * H^alpha - mu- / sum mu-: mu+ and mu- are a latent's mean values inside and
    outside of windows around the words, the sums are over latents, and H is the entropy of its
    means around each word over their sum, divided by the log of the number of words (1 for one
    word). Galichin et al. 2025, arXiv 2503.18878. They scale values by decoder norms first, for a
    dictionary whose norms are not 1: `codes.scaled`.

    Args:
        codes: a row a token, sequence by sequence in the order of tokens, none left out.
        tokens: id of each row's token.
        sequences: prompt or chain of thought of each row.
        lexicon: word -> its spellings (" wait", "Wait"), each as token ids.
        window: tokens before and after each token of a word.
        alpha: weight of the entropy.
        ignore: ids of tokens that count nowhere, such as the beginning of a sequence.

    Returns:
        A row a latent, the highest score first: latent, score, mean_inside, mean_outside, entropy
        (H), and on_word: the share of its sum inside windows that stands on the words themselves;
        near 1, it is a token lookup (NaN for a latent silent there).

    Raises:
        InputError: lengths that differ, rows of a sequence apart, an empty lexicon or spelling, no
            word of it in the tokens or nothing but, no latent that fires inside or outside, or
            negative values.
    """
    token_N = _one_each(codes, tokens, "tokens")
    sequence_N, seen = pd.factorize(_one_each(codes, sequences, "sequences"))
    start_S = np.flatnonzero(np.diff(sequence_N, prepend=-1))
    if len(start_S) != len(seen):
        raise InputError("reason score: the rows of a sequence stand apart; expected one by one")
    if not lexicon or not all(forms and all(map(len, forms)) for forms in lexicon.values()):
        raise InputError("reason score: no word in the lexicon, or one without token ids")
    if len(codes.value) and codes.value.min() < 0:
        raise InputError("reason score: negative values; it is for latents that are never negative")
    counted_N = ~np.isin(token_N, ignore)
    exact_WN = np.stack([_found(forms, token_N, sequence_N) for forms in lexicon.values()])
    inside_WN = np.stack([_widened(word_N, sequence_N, window) for word_N in exact_WN]) & counted_N
    inside_N = inside_WN.any(0)
    outside_N = ~inside_N & counted_N
    if not inside_N.any() or not outside_N.any():
        raise InputError(
            f"reason score: {inside_N.sum()} tokens in windows around the lexicon's words and "
            f"{outside_N.sum()} elsewhere; expected some of both: see how the words are tokenised"
        )
    mask_RN = np.stack([inside_N, outside_N, inside_N & exact_WN.any(0), *inside_WN])
    sum_RM = (csr_matrix(mask_RN, dtype=float) @ codes.matrix.astype(float)).toarray()
    mean_RM = sum_RM / np.maximum(mask_RN.sum(1, keepdims=True), 1)
    total_R = mean_RM.sum(1)
    if not total_R[0] or not total_R[1]:
        raise InputError("reason score: no latent fires inside the windows, or none outside")
    entropy_M = np.ones(codes.n_latents)
    if len(lexicon) > 1:
        share_WM = mean_RM[3:] / np.maximum(mean_RM[3:].sum(0), np.finfo(float).tiny)
        entropy_M = -xlogy(share_WM, share_WM).sum(0) / np.log(len(lexicon))
    with np.errstate(invalid="ignore"):
        on_word_M = sum_RM[2] / sum_RM[0]
    table = pd.DataFrame(
        {
            "latent": np.arange(codes.n_latents),
            "score": mean_RM[0] / total_R[0] * entropy_M**alpha - mean_RM[1] / total_R[1],
            "mean_inside": mean_RM[0],
            "mean_outside": mean_RM[1],
            "entropy": entropy_M,
            "on_word": on_word_M,
        }
    )
    return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _found(
    spellings: Sequence[Sequence[int]], token_N: np.ndarray, sequence_N: np.ndarray
) -> Bool[np.ndarray, " n"]:
    """Tokens that are part of a word in one of its spellings, within one sequence."""
    part_N = np.zeros(len(token_N), dtype=bool)
    for ids in spellings:
        n_starts = len(token_N) - len(ids) + 1
        if n_starts < 1:
            continue
        here = sequence_N[:n_starts] == sequence_N[len(ids) - 1 :]
        for offset, token in enumerate(ids):
            here &= token_N[offset : offset + n_starts] == token
        for offset in range(len(ids)):
            part_N[offset : offset + n_starts] |= here
    return part_N


def _widened(
    part_N: np.ndarray, sequence_N: np.ndarray, window: tuple[int, int]
) -> Bool[np.ndarray, " n"]:
    """Tokens within a window around those marked, in the same sequence."""
    wide_N = part_N.copy()
    place = np.flatnonzero(part_N)
    for offset in range(-window[0], window[1] + 1):
        there = place + offset
        inside = (there >= 0) & (there < len(part_N))
        inside[inside] = sequence_N[there[inside]] == sequence_N[place[inside]]
        wide_N[there[inside]] = True
    return wide_N


def _mann_whitney(codes: SparseCodes, label_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of each latent, and the sum of t^3 - t over its ties of t rows."""
    n, m = len(codes), codes.n_latents
    n_true = int(label_N.sum())
    # One sort of integers: latent, then the value's bits in the order of numbers, then the label.
    bits_E = codes.value.view(np.uint32)
    bits_E = np.where(bits_E >> 31, ~bits_E, bits_E | np.uint32(1 << 31)).astype(np.uint64)
    key_E = codes.index.astype(np.uint64) << np.uint64(33)
    key_E |= bits_E << np.uint64(1)
    key_E |= np.repeat(label_N, np.diff(codes.start)).astype(np.uint64)
    key_E.sort()
    true_before_E = np.concatenate([[0], np.cumsum(key_E & np.uint64(1), dtype=np.int64)])
    tie_E = key_E >> np.uint64(1)
    bound_T = np.flatnonzero(
        np.concatenate([[True], tie_E[1:] != tie_E[:-1], [True]])[: len(tie_E) + 1]
    )
    start_T, stop_T = bound_T[:-1], bound_T[1:]
    latent_T = (tie_E[start_T] >> np.uint64(32)).astype(np.int64)
    above_zero_T = (tie_E[start_T] >> np.uint64(31) & np.uint64(1)).astype(bool)
    true_T = true_before_E[stop_T] - true_before_E[start_T]
    size_T = stop_T - start_T
    false_T = size_T - true_T

    def by_latent(of_T: np.ndarray) -> np.ndarray:
        return np.bincount(latent_T, weights=of_T, minlength=m).astype(float)

    true_M, false_M = by_latent(true_T), by_latent(false_T)
    silent_true_M, silent_false_M = n_true - true_M, n - n_true - false_M
    below_T = np.cumsum(false_T) - false_T - (np.cumsum(false_M) - false_M)[latent_T]
    below_T = below_T + np.where(above_zero_T, silent_false_M[latent_T], 0)
    wins_M = by_latent(true_T * (below_T + false_T / 2))
    wins_M += silent_true_M * (by_latent(np.where(above_zero_T, 0, false_T)) + silent_false_M / 2)
    silent_M = silent_true_M + silent_false_M
    size_T = size_T.astype(float)
    ties_M = by_latent(size_T**3 - size_T) + silent_M**3 - silent_M
    return wins_M / (n_true * (n - n_true)), ties_M


def _p_of_units(codes: SparseCodes, label_N: np.ndarray, unit_N: np.ndarray) -> np.ndarray:
    """Two-sided p of each latent on one mean code for the rows of a class in a unit."""
    pair_N = pd.factorize(unit_N)[0] * 2 + label_N
    pair_P, pair_N = np.unique(pair_N, return_inverse=True)
    label_P = pair_P % 2 == 1
    auroc_M, ties_M = _mann_whitney(codes.means_by(pair_N), label_P)
    n, n_true = len(label_P), int(label_P.sum())
    n_pairs = n_true * (n - n_true)
    spread_M = np.sqrt(n_pairs / 12 * np.maximum(n + 1 - ties_M / (n * (n - 1)), 0))
    above_M = np.abs(auroc_M - 0.5) * n_pairs - 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        z_M = np.where(spread_M > 0, above_M / spread_M, 0)
    return np.minimum(2 * norm.sf(z_M), 1)


def _effects(codes: SparseCodes, label_N: np.ndarray) -> dict[Effect, np.ndarray]:
    """Every effect of a label on every latent."""
    sums, squares, frequency = [], [], []
    for class_N in (label_N, ~label_N):
        part = codes.rows(class_N)
        frequency.append(part.frequency)
        value_E = part.value.astype(float)
        mean_M = np.bincount(part.index, value_E, part.n_latents) / len(part)
        apart_M = np.bincount(part.index, (value_E - mean_M[part.index]) ** 2, part.n_latents)
        sums.append(mean_M)
        squares.append(apart_M + (1 - part.frequency) * len(part) * mean_M**2)
    difference_M = sums[0] - sums[1]
    deviation_M = np.sqrt((squares[0] + squares[1]) / max(len(codes) - 2, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        cohens_d_M = np.where(difference_M == 0, 0.0, difference_M / deviation_M)
    return {
        "separation": frequency[0] - frequency[1],
        "auroc": _mann_whitney(codes, label_N)[0],
        "cohens_d": cohens_d_M,
    }


def _weighted_separation(active_N: np.ndarray, label_N: np.ndarray) -> Weighted:
    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        rates = []
        for class_N in (label_N, ~label_N):
            weights = weights_BN[:, class_N]
            with np.errstate(invalid="ignore"):
                rates.append(weights @ active_N[class_N] / weights.sum(1))
        return rates[0] - rates[1]

    return statistic


def _difference(ours: Weighted, theirs: Weighted) -> Weighted:
    return lambda weights_BN: ours(weights_BN) - theirs(weights_BN)


def _checked(rows: SparseCodes | Tensor, labels: Labels) -> Bool[np.ndarray, " n"]:
    label_N = _one_each(rows, labels, "labels")
    if not np.isin(label_N, (0, 1)).all():
        raise InputError("search: labels must be bool, or 0 and 1; True where it should abstain")
    if label_N.all() or not label_N.any():
        raise InputError(
            f"search: {int(label_N.sum())} of {len(label_N)} rows are labelled True; both classes "
            "are needed"
        )
    return label_N.astype(bool)


def _units(codes: SparseCodes, levels: Mapping[str, Labels]) -> np.ndarray:
    """The lowest level's unit of each row."""
    if not levels:
        raise InputError("search: no levels; expected at least one, such as the entity of each row")
    unit_N = np.empty(0)
    for name, values in levels.items():
        above_N, unit_N = unit_N, _one_each(codes, values, f"level {name!r}")
        if not len(above_N):
            continue
        lies_in = pd.DataFrame({"unit": unit_N, "above": above_N}).drop_duplicates()
        if lies_in["unit"].duplicated().any():
            raise InputError(
                f"search: a unit of the level {name!r} lies in two units of the level above; give "
                "units names of their own"
            )
    return unit_N


def _one_each(rows: SparseCodes | Tensor, values: Labels, what: str) -> np.ndarray:
    value_N = np.asarray(values)
    if value_N.shape != (len(rows),):
        raise InputError(
            f"search: {what} of shape {value_N.shape} for {len(rows)} rows; expected one a row"
        )
    missing_N = pd.isna(value_N)
    if missing_N.any():
        raise InputError(f"search: {what}: none at row {int(missing_N.argmax())}; drop such rows")
    return value_N
