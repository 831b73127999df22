"""Results of others, computed again from their own files: tables, figures, and the main numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from interp.behavior import (
    LabelClassifier,
    StrategyRules,
    agreement_table,
    confusion_table,
    label_traces,
    rule_audit,
    tagged_chunks,
    training_chains,
)
from interp.behavior.published import abstentionbench, mip, umwp
from interp.behavior.reasoning.thought_anchors import compared
from interp.configs import nearest
from interp.errors import InputError
from interp.figures.agreement import agreement_figure
from interp.figures.published import published_figure
from interp.figures.published_replies import mip_figure, umwp_figure
from interp.figures.registry import save
from interp.tables import run_info, write_csv

SEED = 0
N_BOOT = 2000
"""Resamples behind every interval."""
ABSTENTIONBENCH = "abstentionbench/analysis/abstention_performance.csv"
ABSTENTIONBENCH_URL = "https://github.com/facebookresearch/AbstentionBench"
STAGES = (
    "Llama 3.1 8B Base", "Llama 3.1 8B Tulu 3 SFT", "Llama 3.1 8B Tulu 3 DPO",
    "Llama 3.1 8B Tulu 3 PPO RLVF", "Llama 3.1 70B Base", "Llama 3.1 70B Tulu 3 SFT",
    "Llama 3.1 70B Tulu 3 DPO", "Llama 3.1 70B Tulu 3 PPO RLVF",
    *(model for pair in abstentionbench.PAIRS for model in pair),
)  # fmt: skip
"""Models of the figure: two base models through Tulu 3's stages, and the pairs of the drop."""
FEWEST_UNITS = 6
"""Datasets below which a mean over them is shown without limits (`hierarchical_bootstrap`)."""


@dataclass(frozen=True)
class Republished:
    """What was computed again.

    Attributes:
        tables: by name.
        figure: drawn from them.
        title: of the figure.
        headlines: the main numbers, a line each.
    """

    tables: Mapping[str, pd.DataFrame]
    figure: Figure
    title: str
    headlines: list[str]


def republish(name: str, folder: Path, out: Path) -> list[str]:
    """Computes published results again and writes them down.

    Args:
        name: "abstentionbench", "mip", "umwp", "grader" (`rule_audit`), or "strategies"
            (labels of sentences against the tags of `tagged_chunks`, on traces kept apart).
        folder: holds a folder a dataset, as published.
        out: folder for results; they go into its folder of that name: CSV tables, the figure as
            PDF and PNG, and `run.json`.

    Returns:
        The main numbers, a line each.

    Raises:
        InputError: no such results, or files of theirs that are missing or of another schema.
    """
    if name not in _RESULTS:
        raise InputError(
            f"no published results '{name}'{nearest(name, _RESULTS)}; there are "
            f"{', '.join(_RESULTS)}"
        )
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one that holds a folder a dataset")
    read, compute = _RESULTS[name]
    given = read(folder)
    digest = hashlib.sha256(given.to_csv(index=False).encode()).hexdigest()[:16]
    run = run_info({"published": name, "input": digest, "n_boot": N_BOOT}, SEED)
    found = compute(given)
    place = out / name
    for table, frame in found.tables.items():
        write_csv(frame, place / f"{table}.csv")
    save(found.figure, place / name, found.title, str(run["run_id"]))
    stamp = json.dumps(run, indent=1, sort_keys=True) + "\n"
    (place / "run.json").write_text(stamp, encoding="utf-8")
    return found.headlines


def _performance(folder: Path) -> pd.DataFrame:
    path = folder / ABSTENTIONBENCH
    if not path.is_file():
        raise InputError(
            f"abstentionbench: no file {path}; it is published at {ABSTENTIONBENCH_URL}, and "
            "expected with the file layout it has there"
        )
    return abstentionbench.read_performance(path)


def _abstentionbench(table: pd.DataFrame) -> Republished:
    parts: dict[str, list[pd.DataFrame]] = {}
    for measure in abstentionbench.MEASURES:
        by_scenario = abstentionbench.means(table, measure, by="scenario", seed=SEED, n_boot=N_BOOT)
        few = by_scenario["datasets"] < FEWEST_UNITS
        by_scenario[["lo", "hi"]] = by_scenario[["lo", "hi"]].mask(few)
        for part, frame in {
            "means": abstentionbench.means(table, measure, seed=SEED, n_boot=N_BOOT),
            "means_by_scenario": by_scenario,
            "changes": abstentionbench.changes(table, measure),
            "mean_changes": abstentionbench.mean_changes(table, measure, seed=SEED, n_boot=N_BOOT),
        }.items():
            parts.setdefault(part, []).append(frame.assign(measure=measure))
    tables = {part: pd.concat(frames, ignore_index=True) for part, frames in parts.items()}
    three = tables["means"]
    three = three[three["model"].isin(abstentionbench.THREE_WAY)]
    order = {model: place for place, model in enumerate(abstentionbench.THREE_WAY)}
    tables["three_way"] = three.sort_values(
        ["measure", "model"], key=lambda column: column.map(order).fillna(0), kind="stable"
    ).reset_index(drop=True)
    recall = tables["three_way"][tables["three_way"]["measure"] == "recall"]
    changes = tables["changes"][tables["changes"]["measure"] == "recall"]
    lines = [
        f"recall, mean over {row['datasets']} datasets: {row['model']:30} {_interval(row)}"
        for row in recall.to_dict("records")
    ]
    lines += [
        f"{row['measure']:9} {_pair(row):55} {_interval(row, sign=True)}, fell on {row['fell']} of "
        f"{row['datasets']}, any one left out {row['least']:+.3f} to {row['most']:+.3f}"
        for row in tables["mean_changes"].to_dict("records")
    ]
    staged = abstentionbench.means(table, "recall", models=STAGES, seed=SEED, n_boot=N_BOOT)
    figure = published_figure(staged, changes)
    return Republished(tables, figure, "Published recall of abstention, by stage", lines)


def _pair(row: Mapping[Any, Any]) -> str:
    return "both pairs" if row["parent"] == "all" else f"{row['parent']} to {row['child']}"


def _mip(replies: pd.DataFrame) -> Republished:
    rates = mip.abstain_rates(replies)
    noticed = mip.noticed_and_concluded(replies)
    changes = mip.mip_changes(replies, seed=SEED, n_boot=N_BOOT)
    tables = {
        "abstain_rates": rates,
        "lengths": mip.reply_lengths(replies, seed=SEED, n_boot=N_BOOT),
        "noticed": noticed,
        "noticed_by_length": mip.mip_noticed_by_length(replies),
        "changes": changes,
    }
    ratio = noticed[noticed["notice"].isin(["any", "early"])]
    early = ratio["notice"].eq("early")
    ratio = ratio.assign(measure=ratio["measure"].mask(early, ratio["measure"] + "_early"))
    every = pd.concat([rates, ratio])
    boxed = every["measure"].eq("boxed_given_abstains") & every["estimate"].gt(0)
    told = boxed | every["measure"].isin(
        ["abstains", "answers_given_noticed", "answers_given_noticed_early"]
    )
    rows = every[told & every["arm"].eq("missing")].sort_values(
        [*mip.KEYS, "measure"], kind="stable"
    )
    lines = [
        f"{_short(row)} {row['model']:15} {row['measure']:27} {_interval(row)}, n = {row['n']}"
        for row in rows.to_dict("records")
    ]
    lines += [
        f"{_short(row)} {row['instruct'] + ' to ' + row['reasoning']:15} {row['measure']:22} "
        f"{_interval(row, sign=True)}, n = {row['n']}"
        for row in changes.to_dict("records")
        if row["measure"].startswith(("abstains", "answers_given_noticed"))
    ]
    figure = mip_figure(rates, noticed, names=mip.MODELS)
    return Republished(tables, figure, "Who notices a missing premise, and who says so", lines)


def _short(row: Mapping[Any, Any]) -> str:
    return f"{row['dataset'].rpartition('/')[2]:8}"


def _umwp(replies: pd.DataFrame) -> Republished:
    outcomes = umwp.umwp_outcomes(replies)
    changes = umwp.umwp_changes(replies, seed=SEED, n_boot=N_BOOT)
    by_length = umwp.umwp_noticed_by_length(replies)
    tables = {
        "outcomes": outcomes,
        "changes": changes,
        "transitions": umwp.umwp_transitions(replies),
        "noticed": umwp.umwp_noticed(replies),
        "noticed_by_length": by_length,
    }
    lines = [
        f"{_problem(row)} {row['arm']:12} of {row['of']:9} {row['outcome']:12} {_interval(row)}, "
        f"n = {row['n']}"
        for row in outcomes.to_dict("records")
        if row["outcome"] in ("abstain", "abstain_any", "cut_off")
    ]
    lines += [
        f"{_problem(row)} change       of {row['of']:9} {row['outcome']:22} "
        f"{_interval(row, sign=True)}, n = {row['n']}"
        for row in changes.to_dict("records")
        if row["outcome"] in ("abstain", "abstain_any", "answers_given_noticed")
    ]
    lines += [
        f"answerable   {row['arm']:12} false alarm of noticing ({row['notice']}), "
        f"{row['words']:>8} words {_interval(row)}, n = {row['n']}"
        for row in by_length.to_dict("records")
        if not row["should_abstain"] and row["notice"] in ("any", "early")
    ]
    figure = umwp_figure(outcomes, changes)
    return Republished(tables, figure, "Abstention before and after an intervention", lines)


def _grader(items: pd.DataFrame) -> Republished:
    agreement = agreement_table(items, units=("question_id",), seed=SEED, n_boot=N_BOOT)
    lines = [
        f"{row['source']:12} {row['measure']:12} {_interval(row)}, n = {row['n']}"
        for row in agreement.to_dict("records")
    ]
    kinds = items.groupby(["source", "kind", "label"], sort=False).size()
    tables = {
        "agreement": agreement,
        "confusion": confusion_table(items),
        "kinds": kinds.rename("n").reset_index(),
    }
    figure = agreement_figure(agreement)
    return Republished(tables, figure, "The grader by rule against labels of real replies", lines)


def _strategies(chunks: pd.DataFrame) -> Republished:
    apart = chunks[chunks["split_half"] == "apart"]
    rules = StrategyRules.load("en")
    trained = LabelClassifier.fit(*training_chains(chunks[chunks["split_half"] == "tune"]))
    labellers: dict[str, Callable[[Sequence[str]], Sequence[str]]] = {
        "rules": lambda texts: [found.label for found in rules.label(texts)],
        "classifier": trained.label,
    }
    items = pd.concat(
        [
            compared(apart, label_traces(apart, label)).assign(source=name)
            for name, label in labellers.items()
        ],
        ignore_index=True,
    )
    # The two traces of a problem are taken for independent: five problems are too few for limits.
    how: dict[str, Any] = {"units": ("trace_id",), "seed": SEED, "n_boot": N_BOOT}
    # Two tags say nothing of ours: what they tag is no error of a label, nor is it right.
    mapped = items[items["mapped"]]
    classes = tuple(sorted(mapped["label"].unique()))
    every = items.assign(source=items["source"] + ", all tags")
    whole = pd.concat(
        [agreement_table(rows, positive=classes, **how) for rows in (mapped, every)],
        ignore_index=True,
    )
    each = [
        mapped.assign(
            source=mapped["source"] + ", " + name,
            label=mapped["label"] == name,
            graded=mapped["graded"] == name,
        )
        for name in classes
    ]
    by_class = agreement_table(pd.concat(each, ignore_index=True), **how)
    agreement = whole[whole["measure"].isin(["agreement", "kappa"])]
    lines = [
        f"{row['source']:45} {row['measure']:12} {_interval(row)}, n = {row['n']}"
        for row in [*agreement.to_dict("records"), *by_class.to_dict("records")]
        if row["measure"] in ("agreement", "kappa")
    ]
    tables = {"agreement": agreement, "by_class": by_class, "confusion": confusion_table(items)}
    title = "Strategies of sentences against the tags of labelled traces"
    return Republished(tables, agreement_figure(by_class), title, lines)


def _problem(row: Mapping[Any, Any]) -> str:
    return "unanswerable" if row["should_abstain"] else "answerable  "


def _interval(row: Mapping[Any, Any], *, sign: bool = False) -> str:
    form = "+.3f" if sign else ".3f"
    return f"{row['estimate']:{form}} [{row['lo']:{form}}, {row['hi']:{form}}]"


_RESULTS: dict[
    str, tuple[Callable[[Path], pd.DataFrame], Callable[[pd.DataFrame], Republished]]
] = {
    "abstentionbench": (_performance, _abstentionbench),
    "mip": (mip.mip_replies, _mip),
    "umwp": (umwp.umwp_replies, _umwp),
    "grader": (rule_audit, _grader),
    "strategies": (tagged_chunks, _strategies),
}
