"""What models say on a budget of thinking: stopped early, left alone, or made to go on.

A sweep over budgets as in Ghosal et al., "Does Thinking More Always Help?" (arXiv 2506.04210), who
found GSM8K right 87.3% of the time at 1100 tokens and 70.3% at 16,000; with abstention beside it,
as AbstentionBench (arXiv 2506.09038) found it flat or falling where accuracy rises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from interp.activations.asking import check_lengths
from interp.behavior.generating.collecting import collect, reply_frame
from interp.behavior.generating.decoding import Decoding, Draft
from interp.behavior.reasoning.contrasts import contrast_table
from interp.behavior.scores.teacher_forcing import token_ids
from interp.behavior.tables import check_columns
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet, render

NATURAL = "natural"
"""The arm in which a chain ends where the model ends it."""
MEASURES: dict[str, str | tuple[str, str]] = {
    "accuracy": ("correct", "answerable"),
    "abstention": ("abstains", "due"),
    "clarification": ("clarifies", "due"),
    "over_abstention": ("abstains", "not_due"),
    "truncation": "truncated",
    "forced": "forced",
    "extended": "extended",
    "thinking_tokens": "thought",
}
"""What is measured, and of which replies."""
GRADED = ("prompt_id", "sample", "kind", "outcome", "should_abstain", "has_answer", "truncated")


def thinking_arms(
    decoding: Decoding, *, budgets: Sequence[int] = (), extensions: Sequence[int] = ()
) -> dict[str, Decoding]:
    """Ways to draw the same replies that differ in how long is thought.

    All arms have the same room for chain and answer together, so that a longer chain may be cut
    off: truncation is a measure of its own.

    Args:
        decoding: with its `thinking`, whose `end`, `force`, `least` and `more` all arms share.
        budgets: tokens at which a chain is stopped.
        extensions: how often an end is replaced.

    Returns:
        "budget 64", ..., "natural", "extend 1", ...: the arms from short to long.

    Raises:
        InputError: no `thinking`, a budget below 0 or one that leaves no token for an answer, an
            extension below 1, or an arm twice.
    """
    thinking, most = decoding.thinking, decoding.max_new_tokens
    if thinking is None:
        raise InputError("thinking arms: the decoding has no `thinking`; say what ends a chain")
    for name, values, least in (("budget", budgets, 0), ("extension", extensions, 1)):
        if len(set(values)) < len(values) or min(values, default=least) < least:
            raise InputError(f"{name}s {list(values)}: expected each once, and from {least} on")
    if max(budgets, default=0) >= most:
        raise InputError(
            f"thinking arms: a budget of {max(budgets)} leaves nothing of {most} new tokens for "
            "the answer; raise max_new_tokens or leave it out"
        )

    def arm(budget: int | None, extend: int) -> Decoding:
        changed = {"budget": budget, "extend": extend}
        changed |= {"least": thinking.least if extend else None}
        checked = type(thinking)(**thinking.model_dump() | changed)
        return decoding.model_copy(update={"thinking": checked})

    stopped = {f"budget {budget}": arm(budget, 0) for budget in sorted(budgets)}
    longer = {f"extend {times}": arm(None, times) for times in sorted(extensions)}
    return stopped | {NATURAL: arm(None, 0)} | longer


def budget_replies(
    loaded: LoadedModel,
    prompts: PromptSet,
    arms: Mapping[str, Decoding],
    root: Path,
    *,
    token_budget: int = 8192,
) -> pd.DataFrame:
    """The replies of each arm, by `collect`: a killed run is completed.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        arms: as from `thinking_arms`.
        root: the replies stand in a folder in it.
        token_budget: most tokens in a batch, padding and replies included.

    Returns:
        As `reply_frame`, with the column arm; `grade_replies` goes on from here.

    Raises:
        InputError: no arms, a budget beyond the model's context or one that with the tokens of
            `force` leaves none for an answer, or a prompt that with the longest reply is too long
            for the context (all before anything is generated), or as `collect`.
    """
    if not arms:
        raise InputError("budget replies: no arms; make some with `thinking_arms`")
    context = getattr(loaded.model.config, "max_position_embeddings", None)
    for name, decoding in arms.items():
        budget = decoding.thinking.budget if decoding.thinking else None
        if context is not None and budget is not None and budget >= context:
            raise InputError(
                f"{name}: a chain of {budget} tokens, but {loaded.checkpoint.name} was made for at "
                f"most {context}, prompt and answer included; leave the arm out"
            )
        Draft("", 0, decoding, loaded.tokenizer, frozenset())  # refuses what cannot be put in
    ids = token_ids(render(prompts, loaded.tokenizer), loaded.tokenizer)
    most = max(decoding.max_new_tokens for decoding in arms.values())
    check_lengths(ids, prompts, loaded, most)
    frames = []
    for name, decoding in arms.items():
        drawn = collect(loaded, prompts, decoding, root, token_budget=token_budget, task=name)
        frames.append(reply_frame(drawn).assign(arm=name))
    return pd.concat(frames, ignore_index=True)


def budget_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    against: str | None = NATURAL,
    by: Sequence[str] = (),
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Accuracy, abstention and truncation of each arm, and its difference item by item.

    Shares are of all replies that were asked for, so that a chain that is cut off counts as neither
    right nor abstaining: dropping it would flatter the arms that are cut off most.

    Args:
        items: as from `grade_replies`, with the arm, forced, extended and thought.
        units: columns of the units that intervals are over, from the top.
        against: the arm that the others are compared with; None compares nothing.
        by: columns whose groups stand apart, such as the model.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        As `contrast_table` with the factor arm. Measures: accuracy, of questions with a known
        answer; abstention and clarification (the abstentions that ask for what is missing), where
        abstaining is due; over_abstention, where it is not; truncation; forced (stopped by the
        budget); extended and thinking_tokens, means; and, with several samples of a prompt,
        disagreement, the chance that two replies of it come to something else.

    Raises:
        InputError: no rows, a missing column, an arm that is not there, or an item twice.
    """
    needed = (*GRADED, "arm", "forced", "extended", "thought", *by, *units)
    check_columns("budget items", items, needed, units)
    prepared = outcome_columns(items)
    prepared["disagreement"] = _disagreement(prepared, [*by, "arm", "prompt_id"])
    measures = dict(MEASURES)
    if prepared["disagreement"].notna().any():
        measures["disagreement"] = "disagreement"
    return contrast_table(
        prepared,
        measures,
        units=units,
        factor="arm",
        against=against,
        by=by,
        seed=seed,
        n_boot=n_boot,
    )


def outcome_columns(items: pd.DataFrame) -> pd.DataFrame:
    """The items with the columns that `MEASURES` names, 0 or 1 but for numbers of tokens."""
    due = items["should_abstain"].astype(bool)
    return items.assign(
        due=due.astype(float),
        not_due=(~due).astype(float),
        answerable=items["has_answer"].astype(float),
        correct=(items["outcome"] == "correct").astype(float),
        abstains=(items["outcome"] == "abstain").astype(float),
        clarifies=((items["outcome"] == "abstain") & (items["kind"] == "clarify")).astype(float),
        truncated=items["truncated"].astype(float),
        **{
            name: items[name].astype(float)
            for name in ("forced", "extended", "thought")
            if name in items
        },
    )


def _disagreement(prepared: pd.DataFrame, key: list[str]) -> pd.Series:
    """Chance that two replies to a prompt come to something else; NaN of a single one."""
    said = prepared["outcome"].fillna(prepared["kind"]).rename("said")
    count = prepared.assign(said=said).groupby([*key, "said"])["sample"].transform("size")
    total = prepared.groupby(key)["sample"].transform("size")
    # Each reply's share of the others that come to something else; their mean is the chance.
    return (total - count) / (total - 1).where(total > 1)
