"""A user's questions: read from a table, dealt to splits, put to the models in one way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.behavior.generating.elicitation import Elicitation
from interp.comparing.config import Splits
from interp.errors import InputError
from interp.settings import cache_root
from interp.stages.questions import PromptFile
from interp.tables import replacing

if TYPE_CHECKING:
    from interp.prompts import PromptSet

SPLITS = ("train", "dev", "test")
ASKED = "asked"
"""Span of the question itself, within what stands around it."""
SYNONYMS = {"text": ("text", "question", "prompt"), "prompt_id": ("prompt_id", "id")}
"""Columns that are taken for one of a prompt set's where no `columns` are given."""
FEWEST = 10
"""Questions to abstain on, and to answer, that a split needs at least."""


@dataclass(frozen=True)
class Questionnaire:
    """The questions of a comparison.

    Attributes:
        questions: bare, with their splits.
        elicitation: how they are put.
    """

    questions: PromptSet
    elicitation: Elicitation
    _put: dict[str, PromptSet] = field(default_factory=dict, init=False, compare=False, repr=False)
    """Splits that were put already: a study looks at each several times."""

    def bare(self, split: str) -> PromptSet:
        """The questions of a split as they stand in the file."""
        return self.questions.where(split=split)

    def put(self, split: str) -> PromptSet:
        """The questions of a split as models are asked them; the span "asked" is the question."""
        if split not in self._put:
            self._put[split] = self._elicited(split)
        return self._put[split]

    def _elicited(self, split: str) -> PromptSet:
        from interp.behavior import elicit
        from interp.behavior.generating.elicitation import question_of
        from interp.prompts import PromptSet

        shown = self.bare("train") if self.elicitation.how == "few_shot" else None
        bare = self.bare(split)
        put = elicit(bare, self.elicitation, _answered(shown) if shown else None)
        asked = [question_of(row) for row in bare.frame.to_dict("records")]
        metas = [
            meta | {"spans": {**meta.get("spans", {}), ASKED: question}}
            for meta, question in zip(put.frame["meta"], asked, strict=True)
        ]
        return PromptSet(put.frame.assign(meta=metas))

    def file(self, split: str, *, put: bool = True) -> PromptFile:
        """The questions of a split in the cache, named after what stands in them.

        Args:
            split: "train", "dev" or "test".
            put: as models are asked them, and not as they stand in the file.
        """
        return _kept(self.put(split) if put else self.bare(split))

    def examples_file(self) -> PromptFile:
        """What few-shot examples are taken from: questions of "train" that have a reply."""
        return _kept(_answered(self.bare("train")))

    def positions(self) -> tuple[str, ...]:
        """Where they are read: the entity's end if all name one, the question's, the prompt's."""
        frame = self.questions.frame
        entity = () if frame["entity"].isna().any() else ("entity_last",)
        return (*entity, f"{ASKED}_last", "last_prompt")

    def can_show_examples(self, shots: int) -> bool:
        """Whether the split "train" has enough answered and unanswerable questions for few-shot."""
        shown = _answered(self.bare("train"))
        unanswerable = int(shown.labels.sum())
        # A question is no example of itself, nor of its own minimal pair.
        return min(unanswerable, len(shown) - unanswerable) > shots // 2


def read_questions(
    path: Path, columns: Mapping[str, str] | None, splits: Splits, seed: int
) -> PromptSet:
    """Reads questions and deals them to splits, where the file does not.

    Args:
        path: CSV, JSONL or parquet.
        columns: as `CompareConfig.columns`.
        splits: as `CompareConfig.splits`.
        seed: of the deal.

    Raises:
        InputError: as `read_table`, `split` and `check_disjoint`; a split of another name; or a
            split with fewer than ten questions of either kind.
    """
    from interp.prompts import split

    found = _read(path, columns)
    given = set(found.frame["split"])
    if given == {""}:
        found = split(
            found,
            splits.shares,
            seed=seed,
            disjoint=splits.disjoint,
            n=splits.n,
            common=splits.common,
        )
    elif unknown := sorted(given - set(SPLITS)):
        raise InputError(
            f"{path}: the split '{unknown[0]}' is none of {', '.join(SPLITS)}; name every "
            "question's split, or leave the column out and have them dealt"
        )
    _check_counts(found, path)
    return found


def _read(path: Path, columns: Mapping[str, str] | None) -> PromptSet:
    from interp.prompts import read_prompts
    from interp.prompts.datasets import read_table, table_columns
    from interp.prompts.promptset import COLUMNS

    if columns is None:
        if path.suffix == ".jsonl" and {"prompt_id", "should_abstain"} <= set(
            table_columns(path)
        ) <= set(COLUMNS):
            return read_prompts(path)  # already a prompt set
        columns = guessed_columns(path)
    return read_table(path, columns)


def guessed_columns(path: Path) -> dict[str, str]:
    """Columns of a prompt set -> columns of the file, by their names.

    Raises:
        InputError: the file is not there, has no column for the text or for `should_abstain`, or
            several for one of them.
    """
    from interp.prompts.datasets import table_columns
    from interp.prompts.promptset import COLUMNS

    header = table_columns(path)
    named = {column: column for column in COLUMNS if column in header and column != "meta"}
    for column, synonyms in SYNONYMS.items():
        present = [name for name in synonyms if name in header]
        if len(present) > 1:
            raise InputError(
                f"{path}: both '{present[0]}' and '{present[1]}' could be `{column}`; say which by "
                "`columns` in a study YAML"
            )
        if present:
            named[column] = present[0]
    if not {"text", "messages"} & set(named) or "should_abstain" not in named:
        raise InputError(
            f"{path}: has the columns {', '.join(header)}; expected `question` (or text, prompt, "
            "messages) and `should_abstain`; name yours by `columns` in a study YAML"
        )
    return named


def _check_counts(questions: PromptSet, path: Path) -> None:
    for name in SPLITS:
        labels = questions.where(split=name).labels
        for what, count in (
            ("to abstain on", int(labels.sum())),
            ("to answer", int((~labels).sum())),
        ):
            if count < FEWEST:
                raise InputError(
                    f"{path}: the split '{name}' has {count} questions {what}; at least {FEWEST} "
                    "are needed of either kind in each of train, dev and test"
                )


def _answered(questions: PromptSet) -> PromptSet:
    """Questions that an example can be made of: unanswerable, or with a right answer."""
    has_answer_N = np.array([bool(answers) for answers in questions.frame["answers"]], dtype=bool)
    return questions.where(questions.labels | has_answer_N)


def _kept(prompts: PromptSet) -> PromptFile:
    path = cache_root() / "questions" / f"{prompts.fingerprint[:24]}.jsonl"
    if not path.exists():
        rows: Sequence[dict[str, Any]] = prompts.frame.to_dict("records")
        lines = [
            json.dumps(row | {"should_abstain": bool(row["should_abstain"])}, ensure_ascii=False)
            for row in rows
        ]
        with replacing(path) as partial:
            partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return PromptFile(path=str(path), fingerprint=prompts.fingerprint)
