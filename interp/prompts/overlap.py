"""Content that prompts share: the same words, or a run of n words, whatever their ids say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from interp.errors import InputError
from interp.prompts.promptset import PromptSet
from interp.prompts.words import is_unspaced, texts_of, words_of

NGRAM = 8
"""Words in a run that counts as shared content, as in PaLM (arXiv 2204.02311, section 8).

A character of a script written without spaces counts half a word, as words of Chinese and Japanese
have about two: there 8 words are 16 characters.
"""

_SHOWN = 60


@dataclass(frozen=True, eq=False)
class Runs:
    """Which prompt holds which run of n words; a text of fewer words is one run by itself.

    Two texts hold the same run if and only if it has the same number. A run ends with the first
    word that makes it n words long, where a character of an unspaced script counts half a word.

    Attributes:
        words: of each prompt.
        row_E: the prompt of each entry; entries are sorted by prompt, then by place.
        start_E: the word that the run begins with, from 0; each character of an unspaced script is
            one here, as in `words`.
        run_E: the number of the run.
        n: words in a run.
    """

    words: Sequence[Sequence[str]]
    row_E: Int[np.ndarray, " e"]
    start_E: Int[np.ndarray, " e"]
    run_E: Int[np.ndarray, " e"]
    n: int

    @classmethod
    def of(cls, texts: Sequence[str], n: int = NGRAM) -> Runs:
        """The runs of some texts, in time and memory near linear in their words.

        Runs are numbered by prefix doubling (Karp, Miller & Rosenberg 1972): pairs of the numbers
        of shorter runs, so that equal numbers are equal runs and no hash can collide.

        Raises:
            InputError: n is below 1.
        """
        if n < 1:
            raise InputError(f"content overlap: n is {n}; expected runs of at least 1 word")
        words = [words_of(text) for text in texts]
        length_N = np.array([len(said) for said in words], dtype=np.int64)
        number: dict[str, int] = {}
        flat_T = np.array(
            [number.setdefault(word, len(number)) for said in words for word in said],
            dtype=np.int64,
        )
        halves_V = np.array([1 if is_unspaced(word) else 2 for word in number], dtype=np.int64)
        row_T = np.repeat(np.arange(len(words)), length_N)
        start_T = np.arange(len(flat_T)) - np.repeat(length_N.cumsum() - length_N, length_N)
        # A word is itself and a filler, a half word itself alone: runs of n words are then of 2n
        # entries each, and those that begin with a word are the same if and only if the words are.
        # Without half words no fillers are needed.
        unit = int(halves_V.min(initial=2))
        size_T, n_entries = halves_V[flat_T] // unit, 2 * n // unit
        place_T = size_T.cumsum() - size_T
        flat_H = np.full(int(size_T.sum()), len(number))
        flat_H[place_T] = flat_T
        stop_N = np.bincount(row_T, size_T, len(words)).astype(np.int64).cumsum()
        whole_T = place_T + n_entries <= stop_N[row_T]
        run_T = _numbered(flat_H, n_entries)[place_T]
        short = np.setdiff1d(np.arange(len(words)), row_T[whole_T])
        wholes: dict[tuple[str, ...], int] = {}
        first = int(run_T.max(initial=-1)) + 1
        short_run_S = np.array(
            [first + wholes.setdefault(tuple(words[row]), len(wholes)) for row in short],
            dtype=np.int64,
        )
        row_E = np.concatenate([row_T[whole_T], short])
        order = np.argsort(row_E, kind="stable")
        start_E = np.concatenate([start_T[whole_T], np.zeros_like(short)])
        run_E = np.concatenate([run_T[whole_T], short_run_S])
        return cls(words, row_E[order], start_E[order], run_E[order], n)

    def content(self, common: int | None) -> np.ndarray:
        """Which entries are content: those whose run no more than `common` prompts hold.

        What many prompts hold word by word is a template or an instruction. None: all entries.

        Raises:
            InputError: `common` is below 2.
        """
        if common is None:
            return np.ones(len(self.run_E), dtype=bool)
        if common < 2:
            raise InputError(f"content overlap: common is {common}; expected at least 2 prompts")
        held_H2 = np.unique(np.stack([self.run_E, self.row_E], axis=1), axis=0)
        holders_R = np.bincount(held_H2[:, 0])
        return holders_R[self.run_E] <= common

    @property
    def text_N(self) -> Int[np.ndarray, " n"]:
        """A number for each prompt's whole text; the same where the same is said."""
        seen: dict[tuple[str, ...], int] = {}
        said = (tuple(words) for words in self.words)
        return np.array([seen.setdefault(text, len(seen)) for text in said], dtype=np.int64)

    def show(self, entry: int) -> str:
        """The words of an entry's run, shortened."""
        start = int(self.start_E[entry])
        words = self.words[int(self.row_E[entry])][start:]
        halves = np.cumsum([1 if is_unspaced(word) else 2 for word in words])
        text = " ".join(words[: 1 + int(np.searchsorted(halves, 2 * self.n))])
        return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def content_groups(
    prompts: PromptSet, n: int = NGRAM, common: int | None = None
) -> Int[np.ndarray, " n"]:
    """Prompts that share content, as connected components.

    Two prompts are linked if they say the same (in `words_of`'s spelling) or share a run of n
    words; a prompt of fewer words is only linked to those that say the same. Prompts linked
    through others are in one group.

    Args:
        prompts: their texts, or the user's messages.
        n: words in a run.
        common: a run that more prompts hold is a template and links nothing; None: every run links.

    Returns:
        Number of each prompt's group, from 0 in the order of the groups' first prompts.

    Raises:
        InputError: n is below 1, or `common` below 2.
    """
    _, row_E, unit_E = content_units(Runs.of(texts_of(prompts), n), common)
    return linked(len(prompts), row_E, unit_E)


def content_units(
    runs: Runs, common: int | None
) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """What links prompts by content, as entries of rows in units for `linked`.

    Returns:
        The R entries of `runs` that count; the row and the unit of these entries, and after them
        of each prompt's whole text.
    """
    run_R = np.flatnonzero(runs.content(common))
    first_text = int(runs.run_E.max(initial=-1)) + 1
    row_E = np.concatenate([runs.row_E[run_R], np.arange(len(runs.words))])
    return run_R, row_E, np.concatenate([runs.run_E[run_R], first_text + runs.text_N])


def linked(
    n_rows: int, row_E: Int[np.ndarray, " e"], unit_E: Int[np.ndarray, " e"]
) -> Int[np.ndarray, " n"]:
    """Components of rows that share a unit.

    Args:
        n_rows: rows there are.
        row_E: the row of each entry.
        unit_E: a unit that it lies in.

    Returns:
        Number of each row's component, from 0 in the order of their first rows.
    """
    _, unit_E = np.unique(unit_E, return_inverse=True)
    n_nodes = n_rows + int(unit_E.max(initial=-1)) + 1
    ones_E = np.ones(len(row_E), dtype=np.int8)
    graph = coo_array((ones_E, (row_E, n_rows + unit_E)), shape=(n_nodes, n_nodes))
    _, component = connected_components(graph, directed=False)
    _, first_C, component_N = np.unique(component[:n_rows], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_C))[component_N]


def overlap_table(
    prompts: PromptSet, others: PromptSet, n: int = NGRAM, common: int | None = None
) -> pd.DataFrame:
    """Prompts of one set that occur in another, such as test prompts among those trained on.

    Args:
        prompts: those looked for.
        others: those looked among.
        n: words in a run.
        common: a run that more prompts of the two sets hold is a template and is passed over.

    Returns:
        One row a prompt that overlaps, in the order of `prompts`: prompt_id, dataset, kind
        ("exact" if another says the same, or "ngram" for a shared run), share (of its runs, those
        found anywhere among the others; PaLM calls a prompt contaminated from .7 on), other_id and
        other_dataset (the first that says the same, or else the first that holds the shared run),
        shared (the first run that both hold, shortened).

    Raises:
        InputError: n is below 1, or `common` below 2.
    """
    n_here = len(prompts)
    runs = Runs.of([*texts_of(prompts), *texts_of(others)], n)
    content_E = runs.content(common)
    mine_H = np.flatnonzero(content_E & (runs.row_E < n_here))
    theirs_H = np.flatnonzero(content_E & (runs.row_E >= n_here))
    held, first = np.unique(runs.run_E[theirs_H], return_index=True)
    holder = dict(zip(held.tolist(), runs.row_E[theirs_H[first]].tolist(), strict=True))
    found_H = mine_H[np.isin(runs.run_E[mine_H], held)]
    sharing, first = np.unique(runs.row_E[found_H], return_index=True)
    entry_of = dict(zip(sharing.tolist(), found_H[first].tolist(), strict=True))
    n_runs_N, n_found_N = (
        np.bincount(runs.row_E[entries], minlength=n_here) for entries in (mine_H, found_H)
    )
    text_N = runs.text_N.tolist()
    twin_of = {text: row for row, text in reversed(list(enumerate(text_N))) if row >= n_here}
    names = ["prompt_id", "dataset"]
    frame = pd.concat([prompts.frame[names], others.frame[names]]).to_numpy()
    rows = []
    for row in range(n_here):
        twin, entry = twin_of.get(text_N[row]), entry_of.get(row)
        if twin is not None:
            start = int(np.searchsorted(runs.row_E, row))
            rows.append((*frame[row], "exact", 1.0, *frame[twin], runs.show(start)))
        elif entry is not None:
            other, share = holder[int(runs.run_E[entry])], n_found_N[row] / n_runs_N[row]
            rows.append((*frame[row], "ngram", share, *frame[other], runs.show(entry)))
    columns = [*names, "kind", "share", "other_id", "other_dataset", "shared"]
    return pd.DataFrame(rows, columns=columns)


def _numbered(flat_T: np.ndarray, n: int) -> np.ndarray:
    """A number for the run of n entries that begins at each; across prompts it means nothing."""
    run_T, width = flat_T, 1
    while width < n:
        # The last step may overlap: a run of 7 is the runs of 4 at its words 0 and 3.
        step = min(width, n - width)
        behind_T = np.full_like(run_T, -1)
        behind_T[: len(run_T) - step] = run_T[step:]
        key_T = run_T * (int(run_T.max(initial=0)) + 2) + behind_T + 1
        _, run_T = np.unique(key_T, return_inverse=True)
        width += step
    return run_T
