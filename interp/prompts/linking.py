"""Links between prompts: what two of them have in common, and who is linked through whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int

from interp.errors import InputError
from interp.prompts.overlap import Runs, content_units, linked
from interp.prompts.promptset import PromptSet
from interp.prompts.targets import column_of
from interp.prompts.words import texts_of

DISJOINT = ("ngram", "exact", "pair")
"""What no two parts share beside pairs: a run of words, a whole text, or nothing more."""

_COLUMNS = {"pair": "pair_id", "entity": "entity"}


@dataclass(frozen=True, eq=False)
class Links:
    """Entries of prompts in units (a pair, an entity, a run of words); prompts of one are linked.

    Attributes:
        row_E: the prompt of each entry.
        unit_E: the unit it lies in.
        named: what the first entries' units are, in words.
        runs: of the texts, if content links.
        run_R: the entries of `runs` that the next entries stand for; the last are whole texts.
    """

    row_E: Int[np.ndarray, " e"]
    unit_E: Int[np.ndarray, " e"]
    named: Sequence[str]
    runs: Runs | None
    run_R: Int[np.ndarray, " r"]

    @classmethod
    def of(
        cls, prompts: PromptSet, by: Sequence[str], disjoint: str, n: int, common: int | None
    ) -> Links:
        """The links of a prompt set.

        Args:
            prompts: any.
            by: "pair", "entity", or columns as `interp.prompts.targets.column_of` takes them; a
                prompt without a value there has no part in it.
            disjoint: one of `DISJOINT`: how content links.
            n: words in a run.
            common: a run that more prompts hold links nothing.

        Raises:
            InputError: an unknown column or `disjoint`, or n or `common` out of range.
        """
        if disjoint not in DISJOINT:
            raise InputError(
                f"links: disjoint is {disjoint!r}; expected one of {', '.join(DISJOINT)}"
            )
        if isinstance(by, str):
            raise InputError(f"links: by is {by!r}; expected a list of names, such as ['pair']")
        held = [
            (row, f"the {name} {value!r}")
            for name in by
            for row, value in enumerate(_values(prompts, name))
            if value is not None
        ]
        row_E = np.array([row for row, _ in held], dtype=np.int64)
        named = [unit for _, unit in held]
        unit_E = pd.factorize(np.array(named, dtype=object))[0].astype(np.int64)
        if disjoint == "pair":
            return cls(row_E, unit_E, named, None, np.zeros(0, dtype=np.int64))
        runs = Runs.of(texts_of(prompts), n)
        entries, rows, units = content_units(runs, common)
        if disjoint == "exact":
            texts = slice(len(entries), None)
            entries, rows, units = entries[:0], rows[texts], units[texts]
        return cls(
            np.concatenate([row_E, rows]),
            np.concatenate([unit_E, units + int(unit_E.max(initial=-1)) + 1]),
            named,
            runs,
            entries,
        )

    def components(self, n_rows: int) -> Int[np.ndarray, " n"]:
        """The component of each of the prompts: those linked, also through others."""
        return linked(n_rows, self.row_E, self.unit_E)

    def show(self, entry: int) -> str:
        """What an entry shares with the others of its unit, in words."""
        if entry < len(self.named):
            return self.named[entry]
        run = entry - len(self.named)
        if self.runs is None or run >= len(self.run_R):
            return "their whole text"
        return f"the words '{self.runs.show(int(self.run_R[run]))}'"


def _values(prompts: PromptSet, name: str) -> list[object]:
    if name in _COLUMNS:
        return prompts.frame[_COLUMNS[name]].tolist()
    return column_of(prompts, name)
