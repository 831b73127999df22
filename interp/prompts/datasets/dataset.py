"""What a dataset is: where it is published, which files it has, and how they become prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from interp.errors import InputError
from interp.prompts.promptset import PromptSet

Record = dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """How many there are.

    Attributes:
        rows: prompts.
        should_abstain: prompts that call for abstention.
        pairs: minimal pairs with a prompt of either kind.
    """

    rows: int
    should_abstain: int
    pairs: int

    @classmethod
    def of(cls, prompts: PromptSet) -> Counts:
        """The counts of a prompt set."""
        kinds = pd.Series(prompts.labels).groupby(prompts.frame["pair_id"].to_numpy()).nunique()
        return cls(len(prompts), int(prompts.labels.sum()), int((kinds == 2).sum()))


@dataclass(frozen=True)
class Dataset:
    """A public dataset in the files in which it is published.

    `should_abstain` says what a question is (it cannot be answered as it stands), never what some
    model knows; a model's own answers stand in `meta`. A row that can be answered carries the
    scenario of the dataset it is the contrast of, so that datasets lie within scenarios.

    Attributes:
        name: of the dataset, and first part of its prompt ids.
        folder: its folder within the one a user names; several datasets may share it.
        files: paths below that folder, or patterns of paths such as `data/*.json`.
        records: reads that folder into rows as `PromptSet.from_records` takes them.
        known: the counts of the published files; None if nobody has published them.
        scenarios: those of its rows; none for a dataset that is a control.
        url: where it is published.
        licence: of the data.
        caution: what to keep in mind when it is used.
    """

    name: str
    folder: str
    files: Sequence[str]
    records: Callable[[Path], list[Record]]
    known: Counts | None
    scenarios: Sequence[str]
    url: str
    licence: str
    caution: str = ""

    def missing(self, folder: Path) -> list[str]:
        """Which of its files (or patterns) are not in its own folder."""
        return [file for file in self.files if not any(folder.glob(file))]

    def read(self, folder: Path) -> PromptSet:
        """Its prompts.

        Args:
            folder: its own folder, as it is published.

        Raises:
            InputError: a file is missing (the message says where it is published), is broken or
                has another schema than the published one (with file, line and column).
        """
        for file in self.missing(folder):
            raise InputError(
                f"{self.name}: no file {folder / file}; it is published at {self.url}, and "
                "expected with the file layout it has there"
            )
        records = self.records(folder)
        try:
            return PromptSet.from_records(records)
        except InputError as error:
            raise InputError(f"{self.name} in {folder}: {error}") from error
