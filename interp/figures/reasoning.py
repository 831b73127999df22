"""Figures of chains of thought: faithful or not, fast and slow, strategies, noticing, length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interp.figures.forests import Panel, forests
from interp.figures.panels import Mark, curve, dodge, legend_below, letter, member_handles
from interp.figures.style import PAGE_IN, Look, new_figure, styled

GROUPS = {"known": True, "unknown": False}
GROUP_NAMES = {"known": "known people", "unknown": "unknown people"}
INTERVAL = ("seed", "member", "against", "measure", "estimate", "lo", "hi")
GROUPED = (*INTERVAL, "group")
ARM = (*GROUPED, "arm")
BUDGET = (*INTERVAL, "arm")
CURVE = (*GROUPED, "fraction")
NOTICED = (*GROUPED, "instrument")
USED = ("seed", "member", "group", "strategy", "against", "estimate", "lo", "hi")
EFFECT = ("seed", "member", "about", "effect", "measure", "estimate", "lo", "hi")
"""What the tables must have."""

SHARE = (-0.03, 1.03)
CHANGES = {"mistake": "a mistake", "filler": "filler", "paraphrase": "paraphrase"}


def own(table: pd.DataFrame, **equals: object) -> pd.DataFrame:
    """Rows of members by themselves, with the values named."""
    rows = table[table["against"] == ""]
    for column, value in equals.items():
        rows = rows[rows[column] == value]
    return rows


def _free(title: str, label: str, table: pd.DataFrame, measure: str, **equals: object) -> Panel:
    """A measure of either group of people, with a guide at none."""
    return Panel(title, label, own(table, measure=measure, **equals), GROUPS)


def _share(title: str, label: str, table: pd.DataFrame, measure: str, **equals: object) -> Panel:
    """A share, from 0 to 1."""
    rows = own(table, measure=measure, **equals)
    return Panel(title, label, rows, GROUPS, at=None, limits=SHARE)


@styled
def faithfulness_figure(
    gains: pd.DataFrame,
    early: pd.DataFrame,
    perturbed: pd.DataFrame,
    knowledge: pd.DataFrame,
    *,
    look: Look | None = None,
) -> Figure:
    """Draw what chains tell of the answer, and whether answers hang on them.

    Args:
        gains: columns `ARM`: table `information_gain` of the study.
        early: columns `GROUPED`: table `early_answering`.
        perturbed: columns `ARM`: table `perturbed`.
        knowledge: columns `GROUPED`: table `knowledge_index`.
        look: the members' styles (default: those of `gains` alone).
    """
    look = look or Look.of(gains)
    order = "own \N{MINUS SIGN} shuffled steps"
    panels = [
        _free("Information gain", "nats per answer token", gains, "gain", arm="own"),
        _free("... of which order", order, gains, "gain", arm="own - shuffled"),
        _share("Early answering", "area over the curve", early, "aoc"),
        *(
            _share(f"Same after {named}", "share of answers", perturbed, "same", arm=arm)
            for arm, named in CHANGES.items()
        ),
        _share("Knowledge index", "consistent, of stated facts", knowledge, "ki"),
        _share("... as published", "others count as consistent", knowledge, "ki_published"),
        _share("Sentences without facts", "share of sentences", knowledge, "no_knowledge"),
    ]
    return forests(panels, look, GROUP_NAMES)


@styled
def fast_slow_figure(
    fast_slow: pd.DataFrame, effects: pd.DataFrame, *, look: Look | None = None
) -> Figure:
    """Draw what a chain corrects and spoils, and what training did to thinking.

    Args:
        fast_slow: columns `GROUPED`: table `fast_slow` of the study.
        effects: columns `EFFECT`: table `thinking_effect`.
        look: the members' styles (default: those of `fast_slow` alone).
    """
    look = look or Look.of(fast_slow)
    asked = {"problem": True, "known": False}
    panels = [
        Panel(title, label, own(fast_slow, measure=measure), asked, at=None, limits=SHARE)
        for title, label, measure in (
            ("Right without a chain", "share of questions", "C_KR"),
            ("Right with a chain", "share of questions", "A_slow"),
            ("Corrected", "of the fast wrong", "r_c"),
            ("Spoiled", "of the fast right", "r_o"),
        )
    ]
    interaction = effects[effects["effect"] == "interaction"]
    trained = effects[effects["effect"] == "thinking, trained"]
    abouts = {"problems": True, "people": False}
    panels += [
        Panel(title, label, rows[rows["measure"] == "abstention"], abouts, "about")
        for title, label, rows in (
            ("Thinking: abstains", "with \N{MINUS SIGN} without a chain", trained),
            ("... beyond the parent", "difference of differences", interaction),
        )
    ]
    names = {"problem": "addition problems", "known": "people"}
    return forests(panels, look, names)


@styled
def strategies_figure(
    strategies: pd.DataFrame, rules: pd.DataFrame, *, look: Look | None = None
) -> Figure:
    """Draw how often chains use each strategy, and what rules of decoding change.

    Args:
        strategies: columns `USED`: table `strategies` of the study.
        rules: columns `ARM`: table `decoding_rules`.
        look: the members' styles (default: those of `strategies` alone).
    """
    look = look or Look.of(strategies)
    alone = own(strategies)
    used = [name for name in alone["strategy"].unique() if name != "other"]
    panels = [
        Panel(
            str(name).replace("-", " ").capitalize(), "share of chains",
            alone[alone["strategy"] == name], GROUPS, at=None, limits=SHARE,
        )
        for name in used
    ]  # fmt: skip
    changed = rules[rules["against"] != ""]
    for measure, arm, title in (
        ("backtracking", "switch penalty", "Switch penalty: backtracking"),
        ("abstains", "abstention boost", "Abstention boost: abstains"),
        ("correct", "abstention boost", "Abstention boost: right"),
    ):
        rows = changed[(changed["measure"] == measure) & (changed["arm"] == arm)]
        panels.append(Panel(title, "change", rows, GROUPS))
    return forests(panels, look, GROUP_NAMES)


@styled
def noticed_figure(noticed: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw who notices that nobody can know, by words and by a probe, and who answers all the same.

    Args:
        noticed: columns `NOTICED`: table `noticed` of the study.
        look: the members' styles (default: those of this table alone).
    """
    look = look or Look.of(noticed)
    both = {"probe_soft": True, "text": False}
    panels = [
        Panel(
            title, label, own(noticed, measure=measure, group=group), both, "instrument",
            at=None, limits=SHARE,
        )
        for title, label, measure, group in (
            ("Noticed of unknown people", "share of chains", "noticed", "unknown"),
            ("... of known ones", "share of chains", "noticed", "known"),
            ("Answers though noticed", "of the noticed", "answers_given_noticed", "unknown"),
        )
    ]  # fmt: skip
    names = {"probe_soft": "a probe before the chain", "text": "the chain's words"}
    return forests(panels, look, names)


@styled
def budgets_figure(
    budgets: pd.DataFrame, early: pd.DataFrame, *, look: Look | None = None
) -> Figure:
    """Draw accuracy and abstention by how long is thought, and how early answers stand.

    Args:
        budgets: columns `BUDGET`: table `budgets` of the study.
        early: columns `CURVE`: table `early_curve`.
        look: the members' styles (default: those of `budgets` alone).
    """
    look = look or Look.of(budgets)
    members = look.order(budgets["member"])
    figure = new_figure(PAGE_IN, 4.8)
    axes = figure.subplots(2, 2)
    alone = own(budgets)
    arms = list(dict.fromkeys(alone["arm"]))
    alone = alone.assign(place=alone["arm"].map({arm: at for at, arm in enumerate(arms)}))
    shown = (("accuracy", "Right about the known"), ("abstention", "Abstains on the unknown"))
    for index, (ax, (measure, title)) in enumerate(zip(axes[0], shown, strict=True)):
        _lines(ax, alone[alone["measure"] == measure], members, measure, "place", look)
        ax.set_xticks(range(len(arms)), [_tick(arm) for arm in arms])
        ax.set_xlabel("tokens until stopped, or times made to go on (+)")
        letter(ax, index, title)
    curves = own(early, measure="same")
    for index, (ax, group) in enumerate(zip(axes[1], GROUPS, strict=True), start=2):
        _lines(ax, curves[curves["group"] == group], members, f"early:{group}", "fraction", look)
        ax.set_xlabel("share of the chain that is there")
        letter(ax, index, f"Same answer, {GROUP_NAMES[group]}")
    for ax, label in zip(axes[:, 0], ("share of replies", "share of chains"), strict=True):
        ax.set_ylabel(label)
    legend_below(figure, member_handles(members, look), columns=min(6, len(members)))
    return figure


def _lines(
    ax: Axes, rows: pd.DataFrame, members: Sequence[str], series: str, x: str, look: Look
) -> None:
    """One line a member over the places of `x`, side by side so that intervals stay apart."""
    places = sorted(rows[x].unique())
    gap = min((after - at for at, after in pairwise(places)), default=1)
    for member, shift in zip(members, dodge(len(members), 0.4 * gap), strict=True):
        of = rows[rows["member"] == member]
        if len(of):
            mark = Mark(look.color(member), look.marker(member))
            curve(ax, of, mark, member, series, x=x, shift=shift)
    ax.set_ylim(*SHARE)


def _tick(arm: str) -> str:
    """An arm in few signs: its budget, how often it is made to go on (+), or its name."""
    return arm.removeprefix("budget ").replace("extend ", "+")
