"""Directions of reasoning strategies: means over labelled windows of chains of thought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float

from interp.activations import Activations, Site
from interp.activations.shards import ALL
from interp.behavior.reasoning.labels import label_window
from interp.behavior.reasoning.segments import segments, token_spans
from interp.directions.means import Direction
from interp.errors import InputError
from interp.prompts import CHAIN_END, PromptSet, render
from interp.prompts.encoding import join
from interp.prompts.spans import Reading, find_span

WINDOW = ("row", "label", "start", "stop")
"""Columns of windows: row of the activations, label, and [start, stop) of the row's tokens."""


@dataclass(frozen=True, eq=False)
class Strategies:
    """One model's direction of each strategy at each site.

    Attributes:
        source: name of the checkpoint whose activations they come from.
        directions: by label and site; `norm` is that of the mean activation of the chains there,
            so that a coefficient of 1 adds a vector as long as what is there already.
        raw_norm: length of the difference of means itself.
        halves: the difference on either half of the items, by label and site, (2, splits, d); NaN
            in splits of which a half has no window of the label.
        n_windows: of each label.
        items: those that the activations are of, sorted.
        seed: of the splits.
    """

    source: str
    directions: Mapping[tuple[str, Site], Direction]
    raw_norm: Mapping[tuple[str, Site], float]
    halves: Mapping[tuple[str, Site], Float[np.ndarray, "2 s d"]]
    n_windows: Mapping[str, int]
    items: tuple[str, ...]
    seed: int

    def reliability(self, label: str, site: Site) -> float:
        """How well a direction repeats on as many fresh items, as `split_half_reliability`.

        NaN where most splits leave a half without the label.

        Args:
            label: of the strategy.
            site: where it was read.
        """
        halves_2SD = self.halves[label, site]
        there_S = ~np.isnan(halves_2SD).any((0, 2))
        if 2 * there_S.sum() < len(there_S):
            return float("nan")
        first_SD, second_SD = halves_2SD[:, there_S]
        norms_S = np.linalg.norm(first_SD, axis=1) * np.linalg.norm(second_SD, axis=1)
        half = float(((first_SD * second_SD).sum(1) / norms_S).mean())
        return 2 * half / (1 + half)


def chain_sentences(
    prompts: PromptSet, replies: Sequence[str], tokenizer: Any, *, chain_end: str = CHAIN_END
) -> pd.DataFrame:
    """Sentences of the replies' chains of thought, as `segments` cuts them, with their tokens.

    Args:
        prompts: a row a reply; those that are captured.
        replies: to be captured behind them (`capture(..., replies=replies)`).
        tokenizer: of the model that is captured, a fast one.
        chain_end: what ends a chain, as for `capture`.

    Returns:
        Columns row, sentence (from 0, in its chain), text, before (all that the model has read by
        then, without the spaces at its end), start, stop (tokens, from the start of the unpadded
        prompt). With a column `label`, they are what `label_windows` needs.

    Raises:
        InputError: not one reply a row, one without an end of its chain, or an empty chain; those
            are what `read_chains` leaves out.
    """
    rendered = render(prompts, tokenizer)
    if len(replies) != len(rendered):
        raise InputError(f"chain sentences: {len(replies)} replies to {len(rendered)} prompts")
    rows: list[dict[str, Any]] = []
    records = prompts.frame.to_dict("records")
    for row, text in enumerate(join(rendered, replies, tokenizer)):
        behind = len(text) - len(replies[row])
        reading = Reading(records[row], text, 0, len(rendered[row]), behind, chain_end)
        first, last = find_span(reading, "think", "chain sentences")
        if not text[last:].lstrip().startswith(chain_end):
            reading.refuse("chain sentences", f"has no place: its reply lacks {chain_end!r}")
        found = segments(text[first:last])
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans = token_spans(found, encoded["offset_mapping"], shift=first)
        for sentence, (segment, (start, stop)) in enumerate(zip(found, spans, strict=True)):
            before = text[: first + segment.start].rstrip(" ")
            rows.append(
                {"row": row, "sentence": sentence, "text": segment.text, "before": before}
                | {"start": start, "stop": stop}
            )
    return pd.DataFrame(rows)


def label_windows(sentences: pd.DataFrame) -> pd.DataFrame:
    """The tokens whose states write a labelled sentence, by `label_window`.

    The state at a token predicts the next one, so a sentence is written by the states from the
    token before it to its last but one.

    Args:
        sentences: columns `WINDOW`, [start, stop) being all tokens of a labelled sentence.

    Returns:
        The same rows with the windows in place of the sentences.

    Raises:
        InputError: a missing column, or a sentence of no token or none before it.
    """
    rows = _checked(sentences, "label windows")
    early_N = (rows["start"] < 1).to_numpy()
    if early_N.any():
        raise InputError(
            f"label windows: the sentence in row {rows['row'].iloc[int(early_N.argmax())]} that "
            "begins at token 0 has no token before it; count from the start of the prompt"
        )
    spans = [label_window(span) for span in zip(rows["start"], rows["stop"], strict=True)]
    return rows.assign(start=[start for start, _ in spans], stop=[stop for _, stop in spans])


def strategy_directions(
    activations: Activations,
    windows: pd.DataFrame,
    items: Sequence[object] | np.ndarray,
    *,
    source: str,
    seed: int,
    sites: Sequence[Site] | None = None,
    chain: str = "think_mean",
    n_splits: int = 20,
) -> Strategies:
    """Mean activation in a label's windows minus the mean over all tokens of the chains.

    Source: Venhoff et al. 2025 (arXiv 2506.18167), rescaled as there to the norm of the mean
    activation. A window counts once, whatever its length. A chain counts by its tokens (there each
    chain counts once), as its windows count by their number. The activations are read row by row,
    once a site: memory does not grow with the number of chains.

    Args:
        activations: captured at "all" and at `chain`, prompts with their replies.
        windows: columns `WINDOW`, as from `label_windows`.
        items: item of each row; its rows (samples of one prompt) stay in one half of a split.
        source: name of the checkpoint the activations come from.
        seed: of the splits; equal items and seeds split alike, whatever the model.
        sites: default: all that were captured.
        chain: position whose span is the chain of thought.
        n_splits: random halvings of the items, for reliabilities.

    Raises:
        InputError: windows that miss a column, have no tokens or lie outside of their row; not one
            item a row; fewer than two items; or a label whose mean is that of all tokens.
    """
    rows = check_windows(activations, windows)
    labels = sorted(rows["label"].unique())
    item_N = checked_items(activations, items)
    halves_SN = _item_halves(item_N, n_splits, seed)
    # One split more, of which the first half is everything.
    everything_SN = np.concatenate([halves_SN, np.ones_like(halves_SN[:1])])
    directions, raw_norm, halves = {}, {}, {}
    for site in activations.sites if sites is None else sites:
        sums_SLD, counts_SL = _sums(activations, site, chain, rows, labels, everything_SN)
        whole_LD = sums_SLD[-1] / counts_SL[-1, :, None]
        half_sums = np.stack([sums_SLD[:-1], sums_SLD[-1] - sums_SLD[:-1]])
        half_counts = np.stack([counts_SL[:-1], counts_SL[-1] - counts_SL[:-1]])
        with np.errstate(invalid="ignore"):
            half_means = half_sums / half_counts[..., None]
        half_means[:, (half_counts == 0).any(0)] = np.nan  # of both halves, or of none
        norm = float(np.linalg.norm(whole_LD[-1]))
        for index, label in enumerate(labels):
            difference_D = whole_LD[index] - whole_LD[-1]
            length = float(np.linalg.norm(difference_D))
            if length <= 1e-9 * norm:  # no more than rounding
                raise InputError(
                    f"strategy '{label}' at {site}: its mean is that of all tokens, so there is no "
                    "direction; choose another site"
                )
            unit_D = torch.from_numpy((difference_D / length).astype(np.float32))
            directions[label, site] = Direction(
                unit_D, norm, site, "windows", source, f"strategy_difference: {label}"
            )
            raw_norm[label, site] = length
            halves[label, site] = half_means[:, :, index] - half_means[:, :, -1]
    n_windows = {label: int((rows["label"] == label).sum()) for label in labels}
    known = tuple(np.unique(item_N).tolist())
    return Strategies(source, directions, raw_norm, halves, n_windows, known, seed)


def check_windows(activations: Activations, windows: pd.DataFrame) -> pd.DataFrame:
    """The windows, once each of them lies within its row.

    Raises:
        InputError: "all" was not captured, or as `strategy_directions`.
    """
    rows = _checked(windows, "windows")
    if ALL not in activations.positions:
        raise InputError(
            f"strategies: activations at {', '.join(activations.positions)}; capture '{ALL}', "
            "which keeps every token"
        )
    row_N, length_N = rows["row"].to_numpy(), activations.offsets.diff().numpy()
    fits_N = (row_N >= 0) & (row_N < len(activations)) & (rows["start"] >= 0).to_numpy()
    fits_N &= rows["stop"].to_numpy() <= length_N[np.where(fits_N, row_N, 0)]
    if not fits_N.all():
        window = rows.iloc[int((~fits_N).argmax())]
        raise InputError(
            f"windows: [{window['start']}, {window['stop']}) of row {window['row']} lies outside "
            f"of the {len(activations)} rows and their tokens"
        )
    return rows


def checked_items(activations: Activations, items: Sequence[object] | np.ndarray) -> np.ndarray:
    """Names of the items, one a row.

    Raises:
        InputError: not one item a row.
    """
    if len(items) != len(activations):
        raise InputError(
            f"strategies: {len(items)} items for {len(activations)} rows; expected one each"
        )
    return np.asarray([str(item) for item in items])


def _checked(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    missing = [name for name in WINDOW if name not in rows]
    if missing or not len(rows):
        raise InputError(
            f"{what}: {len(rows)} rows, lacking {', '.join(missing) or 'nothing'}; expected at "
            f"least one row and the columns {', '.join(WINDOW)}"
        )
    empty_N = (rows["stop"] <= rows["start"]).to_numpy()
    if empty_N.any():
        raise InputError(
            f"{what}: [start, stop) in row {rows['row'].iloc[int(empty_N.argmax())]} holds no token"
        )
    return rows


def _item_halves(item_N: np.ndarray, n_splits: int, seed: int) -> Bool[np.ndarray, "s n"]:
    """Whose item is in the first half of each split."""
    names, group_N = np.unique(item_N, return_inverse=True)
    if len(names) < 2 or n_splits < 1:
        raise InputError(
            f"strategies: {len(names)} items and {n_splits} splits; expected at least 2 and 1"
        )
    rng = np.random.default_rng(seed)
    first_SG = np.zeros((n_splits, len(names)), dtype=bool)
    for split in range(n_splits):
        # An odd number gives its extra item to either half, not always to the same one.
        size = (len(names) + rng.integers(2)) // 2
        first_SG[split, rng.permutation(len(names))[:size]] = True
    return first_SG[:, group_N]


def _sums(
    activations: Activations,
    site: Site,
    chain: str,
    rows: pd.DataFrame,
    labels: Sequence[str],
    chosen_SN: Bool[np.ndarray, "s n"],
) -> tuple[Float[np.ndarray, "s l d"], Float[np.ndarray, "s l"]]:
    """Sums and counts over the chosen rows: of each label's window means; last, of all tokens."""
    where = dict(list(rows.groupby("row")))
    width = activations.of(site, 0).shape[1]
    sums_SLD = np.zeros((len(chosen_SN), len(labels) + 1, width))
    counts_SL = np.zeros(sums_SLD.shape[:2])
    for row, (start, stop) in enumerate(activations.spans(chain).tolist()):
        # In float64: a mean kept in less rounds small differences away.
        acts_TD = activations.of(site, row).double().numpy()
        chosen_S = chosen_SN[:, row]
        sums_SLD[chosen_S, -1] += acts_TD[start:stop].sum(0)
        counts_SL[chosen_S, -1] += stop - start
        for window in where[row].itertuples() if row in where else ():
            index = labels.index(window.label)
            sums_SLD[chosen_S, index] += acts_TD[window.start : window.stop].mean(0)
            counts_SL[chosen_S, index] += 1
    return sums_SLD, counts_SL
