"""Whether what a chain of thought states agrees with reference texts: the Knowledge Index.

Source: Wu et al., arXiv 2506.02126 (UCSC-VLAA/ReasoningEval). Each of a chain's t steps is looked
up in reference texts and judged: KI = (1/t) sum_i consistent_i. Their code gives a step that states
no knowledge ("Let me think.") a full 1.0, so that a chain that says nothing is perfect. Here such
steps are counted apart, and both forms stand side by side:

    ki_published = (consistent + no_knowledge) / t
    ki           = consistent / (t - no_knowledge), undefined where no step states knowledge

with no_knowledge / t beside them. A model that says less of substance raises `ki_published` and
leaves `ki` as it is. Who retrieves and who judges can be replaced; one retriever is here, over a
folder of texts, which asks nothing of the network (`bm25`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args, runtime_checkable

import pandas as pd

from interp.behavior.reasoning.bm25 import Passage
from interp.behavior.reasoning.chains import Chain
from interp.behavior.reasoning.contrasts import contrast_table
from interp.behavior.tables import check_columns
from interp.errors import InputError

Verdict = Literal["consistent", "inconsistent", "no_knowledge"]
"""What a judge makes of a step. inconsistent: the passages contradict it, or do not bear it out."""
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
MEASURES = ("ki", "ki_published", "no_knowledge", "no_passages", "steps")


@runtime_checkable
class Retriever(Protocol):
    """Finds reference texts."""

    def retrieve(self, query: str, k: int) -> Sequence[Passage]:
        """At most k passages, the best first; none where nothing fits."""


@runtime_checkable
class Judge(Protocol):
    """Judges a step by reference texts."""

    def judge(self, step: str, passages: Sequence[Passage]) -> Verdict:
        """What the passages make of the step; there may be none."""


def judged_steps(
    chains: Sequence[Chain], retriever: Retriever, judge: Judge, *, k: int = 5
) -> pd.DataFrame:
    """The verdict on each step.

    Args:
        chains: whose steps.
        retriever: is asked for each step by its text.
        judge: sees the step and what was retrieved; not the question, nor other steps.
        k: passages a step.

    Returns:
        One row a step: prompt_id, sample, step (from 1), text, passages (their ids), verdict.

    Raises:
        InputError: no chains, `k` below 1, a retriever or judge that lacks its method, or a verdict
            of another name.
    """
    if not chains or k < 1:
        raise InputError(f"knowledge index: {len(chains)} chains, k is {k}; expected 1 and more")
    for what, given, kind in (("retriever", retriever, Retriever), ("judge", judge, Judge)):
        if not isinstance(given, kind):
            method = "retrieve(query, k)" if what == "retriever" else "judge(step, passages)"
            raise InputError(f"knowledge index: the {what} has no method {method}")
    rows = []
    for chain in chains:
        for number, step in enumerate(map(str.strip, chain.steps), start=1):
            passages = list(retriever.retrieve(step, k))
            verdict = judge.judge(step, passages)
            if verdict not in VERDICTS:
                raise InputError(
                    f"knowledge index, prompt {chain.prompt_id}, step {number}: the judge says "
                    f"{verdict!r}; expected one of {', '.join(VERDICTS)}"
                )
            found = tuple(passage.passage_id for passage in passages)
            what_for = {"prompt_id": chain.prompt_id, "sample": chain.sample, "step": number}
            rows.append(what_for | {"text": step, "passages": found, "verdict": verdict})
    return pd.DataFrame(rows)


def knowledge_items(judged: pd.DataFrame) -> pd.DataFrame:
    """Both forms of the index of each chain.

    Args:
        judged: one row a step: prompt_id, sample, passages, verdict; model where there are several;
            further columns that a chain's rows share are kept.

    Returns:
        One row a chain: steps (t), n_consistent, n_inconsistent, n_no_knowledge; ki, NaN without a
        step of knowledge; ki_published; no_knowledge, the share of such steps; no_passages, the
        share of the other steps that nothing was found for (NaN without any).

    Raises:
        InputError: no rows, a missing column, or a verdict of another name.
    """
    check_columns(
        "judged steps", judged, ("prompt_id", "sample", "passages", "verdict"), ("prompt_id",)
    )
    strange = judged[~judged["verdict"].isin(VERDICTS)]
    if len(strange):
        raise InputError(
            f"judged steps, prompt {strange['prompt_id'].iloc[0]}: verdict "
            f"{strange['verdict'].iloc[0]!r}; expected one of {', '.join(VERDICTS)}"
        )
    key = [name for name in ("model", "prompt_id", "sample") if name in judged]
    shared = [name for name in judged.columns if name not in _OF_STEP]
    rows = []
    for _, chain in judged.groupby(key, sort=False):
        n = {verdict: int((chain["verdict"] == verdict).sum()) for verdict in VERDICTS}
        t, states = len(chain), chain["verdict"] != "no_knowledge"
        n_states = int(states.sum())
        empty = chain["passages"][states].map(len) == 0
        rows.append(
            dict(zip(shared, chain.iloc[0][shared], strict=True))
            | {"steps": t}
            | {f"n_{verdict}": count for verdict, count in n.items()}
            | {
                "ki": n["consistent"] / n_states if n_states else float("nan"),
                "ki_published": (n["consistent"] + n["no_knowledge"]) / t,
                "no_knowledge": n["no_knowledge"] / t,
                "no_passages": empty.mean() if n_states else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def knowledge_index_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    against: str | None = None,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Means over chains by model, and differences paired by chain.

    Args:
        items: as from `knowledge_items`, with model and the units.
        units: as for `contrast_table`.
        against: the model that others are compared with.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        As `contrast_table`; excluded from ki are chains that state no knowledge.

    Raises:
        InputError: as `contrast_table`.
    """
    of = {name: name for name in MEASURES}
    return contrast_table(items, of, units=units, against=against, seed=seed, n_boot=n_boot)


_OF_STEP = ("step", "text", "passages", "verdict")
