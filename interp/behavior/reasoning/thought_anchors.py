"""The public labelled traces of Thought Anchors: what labels of sentences are held against.

Traces of R1-Distill-Llama-8B on ten MATH problems, one that comes out right and one that comes out
wrong each, cut into chunks, each with a tag of what it does, given by a language model (Bogdan et
al., arXiv 2506.19143).
Half of the problems are for tuning and half are kept apart, as with `labelled_replies`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from interp.behavior.audit.labelled import split_half
from interp.behavior.audit.labelled_traces import there
from interp.behavior.reasoning.labels import Strategy
from interp.errors import InputError
from interp.prompts.datasets.rows import Row, json_list

URL = "https://github.com/interp-reasoning/thought-anchors.com"
MODEL = "deepseek-r1-distill-llama-8b"
_FOLDER = f"src/app/data/{MODEL}"
_ARMS = {"correct_base_solution": "correct", "incorrect_base_solution": "incorrect"}
COLUMNS = ("trace_id", "problem_id", "arm", "chunk", "text", "tag", "split_half")

TAG_STRATEGIES: Mapping[str, tuple[Strategy, ...]] = {
    "problem_setup": ("initializing",),
    "fact_retrieval": ("adding-knowledge",),
    "active_computation": ("deduction",),
    "result_consolidation": ("deduction",),
    "uncertainty_management": ("uncertainty-estimation", "backtracking"),
    "self_checking": ("verification",),
    "plan_generation": (),
    "final_answer_emission": (),
}
"""The labels of ours that say what a tag says; none where a tag does not map.

- problem_setup (parses or rephrases the problem): initializing.
- fact_retrieval (recalls facts, formulas or details of the problem): adding-knowledge, though a
  detail of the problem is no knowledge from outside it.
- active_computation (algebra, calculation), result_consolidation (sums up, or prepares the answer):
  deduction, which a step and what it comes to both are.
- uncertainty_management (confusion, second thoughts, other plans, "includes backtracking"):
  uncertainty-estimation and backtracking in one, so that either counts as right.
- self_checking (verifies what was done): verification.
- plan_generation (states what to do next) does not map: initializing is a plan at the beginning
  only, backtracking only one that replaces another, and the rest has no label.
- final_answer_emission does not map: it ends the chain, and is no way of thinking.

And example-testing has no tag: wherever it is given, it disagrees.
"""


def tagged_chunks(folder: Path) -> pd.DataFrame:
    """The chunks of all traces, in order.

    Args:
        folder: holds `thought_anchors`, laid out as it is published (or only these traces of it).

    Returns:
        trace_id; problem_id; arm ("correct" or "incorrect"); chunk (its number in the trace, from
        0); text; tag; split_half ("tune" or "apart", by the problem).

    Raises:
        InputError: no traces there (the message says where they are published), or a file of
            another schema: it is named with the row and the column.
    """
    try:
        paths = there(
            folder / "thought_anchors", f"{_FOLDER}/*_base_solution/problem_*/chunks_labeled.json"
        )
    except FileNotFoundError as error:
        raise InputError(
            f"thought_anchors: no file {error}; it is published at {URL}, and expected with the "
            "file layout it has there"
        ) from error
    found = []
    for path in paths:
        if path.parts[-3] not in _ARMS:
            raise InputError(f"{path}: folder '{path.parts[-3]}'; expected {' or '.join(_ARMS)}")
        arm = _ARMS[path.parts[-3]]
        problem_id = f"thought_anchors/{path.parts[-2].removeprefix('problem_')}"
        for place, row in enumerate(json_list(path)):
            found.append(
                {
                    "trace_id": f"{problem_id}/{arm}",
                    "problem_id": problem_id,
                    "arm": arm,
                    "chunk": _number(row, place),
                    "text": row.text("chunk"),
                    "tag": _tag(row),
                    "split_half": split_half(problem_id),
                }
            )
    return pd.DataFrame(found)[list(COLUMNS)]


def tag_classes(chunks: pd.DataFrame) -> pd.Series:
    """What each chunk's tag says, as a class: the names of our labels for it, joined by "or".

    "uncertainty-estimation or backtracking" is one class, since the tags do not tell the two apart;
    a tag that does not map is "other".

    Args:
        chunks: as from `tagged_chunks`, all or some.
    """
    return chunks["tag"].map(lambda tag: " or ".join(TAG_STRATEGIES[tag]) or "other")


def training_chains(chunks: pd.DataFrame) -> tuple[list[list[str]], list[list[str]]]:
    """Texts and classes (`tag_classes`) of each trace, as `LabelClassifier.fit` takes them.

    Args:
        chunks: all of some traces, as from `tagged_chunks`; those for tuning, to be fair.
    """
    traces = [rows for _, rows in chunks.groupby("trace_id", sort=False)]
    return [rows["text"].tolist() for rows in traces], [tag_classes(r).tolist() for r in traces]


def label_traces(
    chunks: pd.DataFrame, label: Callable[[Sequence[str]], Sequence[str]]
) -> pd.Series:
    """A label for each chunk, by the chunks' index, trace by trace.

    Args:
        chunks: all of some traces, as from `tagged_chunks`.
        label: from the sentences of a chain to one label each, such as `LabelClassifier.label`.
    """
    parts = [
        pd.Series(list(label(rows["text"].tolist())), index=rows.index, dtype=object)
        for _, rows in chunks.groupby("trace_id", sort=False)
    ]
    return pd.concat(parts).loc[chunks.index]


def compared(chunks: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """Tags and labels as classes of one set, for `agreement_table` and `confusion_table`.

    Args:
        chunks: as from `tagged_chunks`, all or some.
        labels: for each of these chunks, by the same index: a strategy of ours, or a class as
            `tag_classes` names them.

    Returns:
        prompt_id (trace and number of the chunk), problem_id, trace_id, source
        ("thought_anchors"), label (of the tag), graded (of our label) and mapped: whether the tag
        maps, without which the label is "other".

    Raises:
        InputError: not one label a chunk.
    """
    if not chunks.index.equals(labels.index):
        raise InputError(
            f"thought_anchors: {len(labels)} labels for {len(chunks)} chunks; expected one each, "
            "by the chunks' index"
        )
    class_of = {one: " or ".join(both) for both in TAG_STRATEGIES.values() for one in both}
    label = tag_classes(chunks)
    return pd.DataFrame(
        {
            "prompt_id": chunks["trace_id"] + "/" + chunks["chunk"].astype(str),
            "problem_id": chunks["problem_id"],
            "trace_id": chunks["trace_id"],
            "source": "thought_anchors",
            "label": label,
            "graded": labels.map(lambda name: class_of.get(name, name)),
            "mapped": label != "other",
        }
    ).reset_index(drop=True)


def _number(row: Row, place: int) -> int:
    number = row.integer("chunk_idx")
    if number != place:
        raise row.bad("chunk_idx", f"{place}, its place in the file")
    return number


def _tag(row: Row) -> str:
    tags = row.texts("function_tags")
    if len(tags) != 1 or tags[0] not in TAG_STRATEGIES:
        raise row.bad("function_tags", f"a list of one of {', '.join(TAG_STRATEGIES)}")
    return tags[0]
