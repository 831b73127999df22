"""What a model knows, by how often its own sampled replies are right.

The replies that labels are made of must not be those whose abstention is told apart by them: who
abstains on a question is right on it less often, so its own abstention makes it "unknown" and then
stands there as abstention on what it does not know. Ask once more, in a way that asks for an answer
in any case, and label by that (`abstention_by_knowledge`, labelled_from).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from interp.behavior.tables import check_columns, check_outcomes
from interp.errors import InputError
from interp.stats import wilson

K_MIN = 10
KNOWN_FROM = 3
LABELS = ("unknown", "uncertain", "known")


def knowledge_labels(
    samples: pd.DataFrame,
    k_min: int = K_MIN,
    *,
    known_from: int = KNOWN_FROM,
    truly: float = 0.2,
    level: float = 0.95,
) -> pd.DataFrame:
    """Labels each question by how often a model's sampled replies are right.

    None right is "unknown", a share of `known_from` of `k_min` or more "known", less "uncertain";
    never right in any sample is what SliCK calls unknown (Gekhman et al., arXiv 2405.05904). More
    samples leave fewer questions "unknown", so models are compared at one number of samples
    (`side_by_side`). A reply that abstains is not right: sample with a prompt that asks for an
    answer in any case, or a model that knows and will not say is taken for one that does not know.

    Args:
        samples: one row a sampled reply of one model: prompt_id, outcome ("abstain", "correct" or
            "wrong").
        k_min: fewest samples of a question.
        known_from: fewest right ones, of `k_min`, of what is known; of more samples as large a
            share, so 3 of 10 and 77 of 256.
        truly: a chance of being right, for the chance of missing it.
        level: coverage of the interval.

    Returns:
        One row a question, in order of appearance: prompt_id, n (samples), right, abstained
        (counts), label, share (right of all) with lo and hi (Wilson 1927), and missed: the chance
        that a question which the model gets right with chance `truly` has no right sample among n,
        and so is labelled "unknown". 10 samples miss one of 20% in 11% of cases.

    Raises:
        InputError: no rows, a missing column, an outcome of another name, a question with fewer
            than `k_min` samples, or a number out of range.
    """
    if not 1 <= known_from <= k_min or not 0 < truly < 1 or not 0 < level < 1:
        raise InputError(
            f"knowledge labels: k_min={k_min}, known_from={known_from}, truly={truly}, "
            f"level={level}; expected 1 <= known_from <= k_min, and the others in (0, 1)"
        )
    check_columns("knowledge samples", samples, ("prompt_id", "outcome"), ("prompt_id",))
    check_outcomes("knowledge samples", samples)
    counts = samples.groupby("prompt_id", sort=False)["outcome"].agg(
        n="size",
        right=lambda said: int((said == "correct").sum()),
        abstained=lambda said: int((said == "abstain").sum()),
    )
    few = counts["n"] < k_min
    if few.any():
        raise InputError(
            f"knowledge samples, prompt {counts.index[few][0]}: {counts['n'][few].iloc[0]} replies "
            f"({int(few.sum())} prompts have fewer than {k_min}); sample more, or lower k_min"
        )
    n_N, right_N = counts["n"].to_numpy(), counts["right"].to_numpy()
    # In whole numbers: 3 of 10 and 6 of 20 are the same share, whatever rounding makes of it.
    known_N = right_N * k_min >= known_from * n_N
    label_N = np.select([right_N == 0, known_N], ["unknown", "known"], "uncertain")
    table = counts.assign(label=label_N, share=right_N / n_N, missed=(1 - truly) ** n_N)
    limits = _limits(counts[["right", "n"]].drop_duplicates(), level)
    columns = ["prompt_id", "n", "right", "abstained", "label", "share", "lo", "hi", "missed"]
    return table.reset_index().merge(limits, on=["right", "n"], how="left")[columns]


def both_unknown(labels_by_model: Mapping[str, pd.DataFrame]) -> list[str]:
    """Questions that no model of a lineage knows, in the order of the first model's labels.

    Args:
        labels_by_model: `knowledge_labels` of each.

    Raises:
        InputError: fewer than two models, or models that are not labelled on the same questions.
    """
    labels = side_by_side(labels_by_model)
    return labels.index[(labels == "unknown").all(axis=1)].tolist()


def known_to_one(labels_by_model: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Questions that one model knows and all others do not: columns prompt_id and model.

    Where the child is the one, answering in place of abstaining is right; where it is the parent,
    abstaining is. So the two are never taken together.

    Raises:
        InputError: as `both_unknown`.
    """
    labels = side_by_side(labels_by_model)
    known, unknown = labels == "known", labels == "unknown"
    alone = (known.sum(axis=1) == 1) & (unknown.sum(axis=1) == labels.shape[1] - 1)
    who = known[alone].to_numpy().argmax(axis=1)
    models = np.array(list(labels.columns), dtype=object)[who]
    return pd.DataFrame({"prompt_id": labels.index[alone].to_numpy(), "model": models})


def side_by_side(labels_by_model: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The labels of several models.

    Returns:
        One row a prompt, in the first model's order, and one column a model.

    Raises:
        InputError: fewer than two models, a label of another name, a prompt that has two labels of
            a model, that one model has a label for and another has not, or (where labels have the
            column n) that has another number of samples of one model than of another.
    """
    if len(labels_by_model) < 2:
        raise InputError(
            f"knowledge labels: {len(labels_by_model)} models; expected the labels of at least two"
        )
    columns, counts = {}, {}
    for model, labels in labels_by_model.items():
        check_columns(f"knowledge labels of {model}", labels, ("prompt_id", "label"), ("label",))
        if not labels["label"].isin(LABELS).all() or labels["prompt_id"].duplicated().any():
            raise InputError(
                f"knowledge labels of {model}: expected one of {', '.join(LABELS)} a prompt, and "
                "each prompt once"
            )
        by_prompt = labels.set_index("prompt_id")
        columns[model] = by_prompt["label"]
        if "n" in by_prompt:
            counts[model] = by_prompt["n"]
    first_model, first = next(iter(columns.items()))
    for model, column in columns.items():
        if odd := set(column.index) ^ set(first.index):
            raise InputError(
                f"knowledge labels: prompt {min(odd)} is labelled for only one of {first_model} "
                f"and {model}; label the same prompts for all"
            )
    sampled = pd.DataFrame({model: n.reindex(first.index) for model, n in counts.items()})
    differ = sampled.nunique(axis=1) > 1
    if differ.any():
        n_of = sampled[differ].iloc[0].to_dict()
        raise InputError(
            f"knowledge labels, prompt {sampled.index[differ][0]}: "
            f"{', '.join(f'{n} samples of {model}' for model, n in n_of.items())}; more samples "
            "leave fewer questions unknown, so take as many of every model"
        )
    return pd.DataFrame({model: column.reindex(first.index) for model, column in columns.items()})


def _limits(counts: pd.DataFrame, level: float) -> pd.DataFrame:
    limits = [wilson(right / n, n, level) for right, n in counts.itertuples(index=False)]
    return counts.assign(lo=[one.lo for one in limits], hi=[one.hi for one in limits])
