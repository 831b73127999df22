"""The figures by name, and the function that draws all of them from a study's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from interp.errors import InputError
from interp.figures import (
    behavior,
    calibration,
    curves,
    evidence,
    features,
    graft,
    kinds,
    layers,
    preservation,
    probes,
    reasoning,
    relearn,
    signal,
    steering,
    strategies,
    summary,
    transfer,
    verdict,
)
from interp.figures.files import FORMATS, check_formats, save
from interp.figures.objective_figures import OBJECTIVE_FIGURES
from interp.figures.papers import Paper, drawn_for
from interp.figures.spec import CELL, INTERVAL, FigureSpec
from interp.figures.style import Look
from interp.tables import write_csv

EVIDENCE = (*INTERVAL, "parent", "line", "cut_gone", "cut_there", "call", "decides")

# The figures of a study of the embedded lineage, by name.
FIGURES: dict[str, FigureSpec] = {
    "verdict": FigureSpec(
        "The verdict and the evidence that decides it",
        verdict.verdict_figure,
        {"evidence": EVIDENCE, "verdict": ("seed", "member", "parent", "planted", "verdict")},
        "Each row is a child of the lineage, each coloured cell one deciding line of evidence: the "
        "estimate over its 95% interval, coloured by its call against the two cut-offs in the "
        "header. Planted is what was built into the member; no line of evidence reads it.",
    ),
    "evidence": FigureSpec(
        "Deciding evidence against the cut-offs",
        evidence.evidence_figure,
        {"evidence": EVIDENCE},
        "Estimates with 95% intervals (over names) on each deciding line. The ground is shaded by "
        "what an estimate there would be called. The cut-offs were fixed before this run.",
    ),
    "support": FigureSpec(
        "Evidence that supports but does not decide",
        verdict.support_figure,
        {"evidence": EVIDENCE},
        "Lines of evidence that are reported beside the deciding ones, because they overlap or "
        "mislead on members whose truth is planted. A pale cell without a colour has no call.",
    ),
    "behavior": FigureSpec(
        "Behaviour before and after post-training",
        behavior.behavior_figure,
        {"behavior": (*INTERVAL, "mode", "group", "measure")},
        "Share of prompts on which a member abstains (a-c) or answers correctly (d), and how well "
        "its abstention tells unknown from known names (e-h), with 95% intervals over names. "
        "Filled: direct answer; open: with a chain of thought. The dashed guide is the first "
        "member in direct answers, the faint one the value that carries no information.",
    ),
    "signal": FigureSpec(
        "Leaning and telling apart, beside the parent",
        signal.signal_figure,
        {"signal": signal.SIGNAL},
        "How a child differs from its parent in how well its abstention score ranks unknown over "
        "known names (a), in where it draws the line (b) and in both as its replies show it (c), "
        "with 95% intervals over names. Filled: direct answer; open: with a chain of thought. "
        "Suppression leaves a child in the grey band of a and moves it to the right in b; erasure "
        "moves it to the left in a. Where a child never abstains, c is bound by the number of "
        "questions.",
    ),
    "reliability": FigureSpec(
        "Is it right as often as it is sure?",
        calibration.reliability_figure,
        {"reliability": calibration.RELIABILITY},
        "Accuracy of answers about known and unknown names over their confidence, the mean "
        "probability of the answer's tokens, in ten bins, with 95% intervals over names. "
        "Abstentions are no answers. Bars: share of the answers in each bin.",
    ),
    "risk_coverage": FigureSpec(
        "What is risked at each share of questions answered",
        calibration.risk_coverage_figure,
        {"risk_coverage": calibration.RISK_COVERAGE},
        "Share of wrong answers among the surest, by how many are given, with 95% intervals over "
        "names: by the mean probability of the answer's tokens, and by P(IK), a linear probe on "
        "the end of the prompt, before anything is said. A level line knows nothing about its "
        "errors; it ends at the member's error rate.",
    ),
    "probes": FigureSpec(
        "What can be read out, by layer",
        probes.probes_figure,
        {"probes": (*INTERVAL, *probes.COLUMNS)},
        "AUROC of linear (filled) and MLP (open) probes on held-out prompts, by layer, with 95% "
        "intervals, beside what they have to beat. Grey band: 95% of the same probe on shuffled "
        "labels. Control task (Hewitt and Liang 2019): labels dealt at random to tokens, which "
        "only memory of the token can solve. Untrained model: the same probe where nothing was "
        "learned. Bag of tokens and length: the prompt's words and their number, without the model "
        "(bars at the right edge: their intervals). The left end is the embedding. In the embedded "
        "world every name token has the same number of known people, so what sees only tokens "
        "falls below one half.",
    ),
    "transfer": FigureSpec(
        "Transfer of the parent's probe, and geometry of the direction",
        transfer.transfer_figure,
        {"transfer": (*INTERVAL, "parent", *CELL, "measure", "selected")},
        "The probe fitted in the parent, applied unchanged in the child to held-out names: the "
        "child's AUROC above one half over the parent's (a-c). Below, the child's difference of "
        "means against the parent's: cosine (d-f) and length (g-i). 95% intervals over names; "
        "guides at none and at as much as the parent. Rings mark the layer chosen on the parent's "
        "development split. Where the parent itself reads nothing the ratio has no bound: points "
        "with an interval wider than one are left to the table.",
    ),
    "preservation": FigureSpec(
        "Is the read-out preserved?",
        preservation.preservation_figure,
        {"preservation": (*INTERVAL, *preservation.COLUMNS)},
        "Each model is read by its own probe. Left: the child's AUROC minus the parent's, with 90% "
        "intervals; one within the margin (grey) shows the two to be equivalent (TOST: two "
        "one-sided tests at 5%), and its mark is filled. Right: the share of the parent's AUROC "
        "above the best control (bag of tokens, length, untrained model, one half) that the child "
        "retains, with 95% intervals; guides at none, .8 and all. Points with an interval wider "
        "than one, or a parent no better than the control, are left to the table. Several seeds: "
        "thin lines, their mean in front, bars over all their intervals; filled where every seed "
        "is equivalent. Rings mark the layer chosen on the parent's development split.",
    ),
    "steering": FigureSpec(
        "Sufficiency: dose-response to an abstention direction",
        steering.steering_figure,
        {"steering": (*INTERVAL, "direction", "draw", "alpha", "group")},
        "Effect of adding the parent's (filled) or the member's own (open) difference of means, "
        "with 95% intervals over names, against the range over random directions of the same "
        "norm (grey). Selectivity J is what counts: a dose that makes a member abstain on known "
        "names too has shown nothing.",
    ),
    "ablation": FigureSpec(
        "Necessity: the direction projected out",
        steering.ablation_figure,
        {"ablation": (*INTERVAL, "direction", "group")},
        "Abstention left after the parent's direction is projected out at every layer (filled), "
        "and after the same is done with a random direction (open). 95% intervals over names.",
    ),
    "graft": FigureSpec(
        "Where the change sits: grafts between parent and child",
        graft.graft_figure,
        {"graft": (*INTERVAL, "part", "n_layers")},
        "Selectivity of models put together from the child's lower blocks under the parent's upper "
        "ones (a), and the reverse (b), with 95% intervals over names. A child that was changed in "
        "its upper blocks only keeps the parent's value in a until those blocks are taken.",
    ),
    "relearn": FigureSpec(
        "Relearning on a few examples",
        relearn.relearn_figure,
        {
            "relearn": (
                "seed", "member", "scope", "n_examples", "ratio", "ratio_lo", "ratio_hi",
            ),
        },
        "Selectivity on held-out names, over the parent's, after training on the given number of "
        "abstention examples: all weights (a), upper blocks and head only (b). 95% intervals over "
        "names. What a member that never held the ability learns in the same time is the control.",
    ),
    "curves": FigureSpec(
        "Training curves",
        curves.curves_figure,
        {"curves": ("seed", "member", "step", "loss")},
        "Training loss (log scale where it stays positive) and reward by step.",
    ),
}  # fmt: skip

FEATURE_FIGURES: dict[str, FigureSpec] = {
    "features": FigureSpec(
        "Abstention features in the parent's dictionaries",
        features.features_figure,
        {"features": features.FEATURES},
        "AUROC on held-out names of the single latent that was best on the development split, by "
        "layer, at the end of the name and of the prompt, with 95% intervals over names. Rings: it "
        "passes every filter on both splits (false discovery rate over all latents, every kind of "
        "question, silence on plain text, held by another dictionary seed), in any seed if there "
        "are several.",
    ),
    "feature_diff": FigureSpec(
        "What became of the parent's feature in its children",
        features.feature_diff_figure,
        {"feature_diff": features.DIFF},
        "The parent's best feature, read in each child through the parent's dictionary: how well "
        "it still tells unknown from known, how often it fires on unknown names, how much of it "
        "the child's own dictionary writes, and what its silence would take from the log odds of "
        "abstaining (first order). 95% intervals; grey bars are the parent's. At the right the "
        "class by latent scaling, against two dictionary seeds of the parent.",
    ),
    "feature_steering": FigureSpec(
        "Steering children with the parent's feature",
        features.feature_steering_figure,
        {"feature_steering": ("seed", "member", "rank", "direction", "draw", "alpha", "group",
                              "estimate", "lo", "hi")},
        "Selectivity and abstention when the parent's best feature is added at the last token of "
        "the prompt, in its own layer; 95% intervals over names. Band: "
        "other live latents of the same dictionary at the same length.",
    ),
}  # fmt: skip
"""Of a study of features."""

BEHAVIOR_FIGURES: dict[str, FigureSpec] = {
    "kinds": FigureSpec(
        "What replies are",
        kinds.kinds_figure,
        {"kinds": kinds.KINDS},
        "Share of replies of each kind, where abstention is due and where there is an answer, by "
        "model and by how it was asked. Dots: replies that were cut off.",
    ),
}
"""Of a behaviour run, beside reliability and risk_coverage."""

LAYERED = (
    (
        "layers",
        "should_abstain",
        "abstention",
        "Read at the end of the name; J: expected abstention on unknown minus known names.",
    ),
    *(
        (
            f"layers_{strategy.replace('-', '_')}",
            strategy,
            strategy,
            "Read where a sentence is about to begin; J: probability of the words that begin the "
            "strategy's sentences where one is due, minus elsewhere.",
        )
        for strategy in (
            "adding-knowledge", "backtracking", "deduction", "uncertainty-estimation",
            "verification",
        )
    ),
)  # fmt: skip
"""Figures of the layer claim: name, target, and what it is."""

REASONING_FIGURES: dict[str, FigureSpec] = {
    "faithfulness": FigureSpec(
        "What chains of thought tell, and whether answers hang on them",
        reasoning.faithfulness_figure,
        {
            "information_gain": reasoning.ARM,
            "early_answering": reasoning.GROUPED,
            "perturbed": reasoning.ARM,
            "knowledge_index": reasoning.GROUPED,
        },
        "Each member's own chains about known (filled) and unknown names (open), with 95% "
        "intervals over names. a: what the chain adds to the log probability of the right answer, "
        "or of abstaining where nobody can know, by a separate scorer. b: how much of it needs the "
        "order of the steps. c: early answering; 0 if cutting the chain never changes the answer. "
        "d-f: answers that stay after a step is made wrong, the chain is replaced by filler, or "
        "is put otherwise. g: facts stated in the chain that are facts. h: the same with sentences "
        "that state none counted as consistent, so that a chain without content is perfect. i: "
        "their share.",
    ),
    "fast_slow": FigureSpec(
        "What a chain corrects and spoils",
        reasoning.fast_slow_figure,
        {"fast_slow": reasoning.GROUPED, "thinking_effect": reasoning.EFFECT},
        "a-d: addition problems (filled) and questions about known names (open), answered at once "
        "and after a chain of thought: share right either way, share corrected of those wrong at "
        "first, and spoiled of those right at first. e: what thinking does to abstaining where it "
        "is due, on problems without a premise (filled) and unknown names (open); f: the same "
        "beyond what it does in the parent. 95% intervals over items.",
    ),
    "chain_strategies": FigureSpec(
        "Which strategies sampled chains use, and what rules of decoding change",
        reasoning.strategies_figure,
        {"strategies": reasoning.USED, "decoding_rules": reasoning.ARM},
        "Share of sampled chains that use each strategy, about known (filled) and unknown names "
        "(open); last three: what changes when words that begin another thought are made less "
        "likely, and words that begin an abstention more so. 95% intervals over names.",
    ),
    "noticed": FigureSpec(
        "Who notices that nobody can know, and who answers all the same",
        reasoning.noticed_figure,
        {"noticed": reasoning.NOTICED},
        "Noticed by the words of the chain (open), and by a linear probe at the end of the prompt, "
        "cross-fitted over names and calibrated, which counts every chain with its probability "
        "(filled): share noticed of questions about unknown (a) and known names (b: false alarms), "
        "and share of the noticed unknown that is answered all the same (c). A probe that knows "
        "nothing says one half in a and b alike. 95% intervals over names. A share of nothing has "
        "no point.",
    ),
    "budgets": FigureSpec(
        "Accuracy and abstention by how long is thought",
        reasoning.budgets_figure,
        {"budgets": reasoning.BUDGET, "early_curve": reasoning.CURVE},
        "a-b: chains stopped after some tokens, left alone (natural), or made to go on once or "
        "twice. c-d: share of chains whose answer is the final one already when the chain is cut "
        "after a share of its sentences. 95% intervals over names; with several seeds, thin lines, "
        "and their mean in front.",
    ),
    "strategy_directions": FigureSpec(
        "Directions of strategies by layer",
        strategies.directions_figure,
        {"strategy_cosines": strategies.COSINES, "strategy_layers": strategies.LAYERS},
        "Top: cosine between a child's direction of a strategy and its parent's on the same "
        "chains, free of the noise that the two share. Bottom: what adding the direction at the "
        "last token does to the log odds of the words that begin the strategy's sentences, on the "
        "development split, with 95% intervals over names.",
    ),
    "strategy_steering": FigureSpec(
        "Steering strategies up and down",
        strategies.strategy_steering_figure,
        {"strategy_steering": strategies.STEERING},
        "Change of a strategy's share of the sentences when its direction is added (filled) or "
        "subtracted (open) at every token, in the layer chosen on the development split, with 95% "
        "intervals over names; grey: random directions of the same norm.",
    ),
    "hybrid": FigureSpec(
        "The parent steered where its child would go on otherwise",
        strategies.hybrid_figure,
        {"hybrid": strategies.HYBRID},
        "The parent writes; where the child's likeliest next word differs, the parent's own "
        "direction of the strategy that the child's state calls for is added. Top: right about "
        "known names; bottom: answers at all about unknown names, where the gap between parent and "
        "child is what training took away. 95% intervals over names.",
    ),
    **{
        name: FigureSpec(
            f"The layer claim by its parts: {what}",
            partial(layers.layers_figure, target=target),
            {
                "layer_curves": layers.CURVES,
                "layer_claims": layers.CLAIMS,
                "layer_steps": layers.POINTS,
            },
            f"{said} a: information lost by layer (parent minus child, 90% intervals), with the "
            "margin of equivalence. b: relative change of weights, and of activations (1 "
            "\N{MINUS SIGN} debiased CKA). c: what J falls by per block of the child; bars: as "
            "many early and as many late blocks, with 95% intervals. Dashed: end of the early "
            "layers. Dotted: a step whose permutation p is at most .05. The claim holds only if "
            "early layers kept all the parent held and late blocks do more.",
        )
        for name, target, what, said in LAYERED
    },
}
"""Of a study of reasoning."""


PAPER_FIGURES: dict[str, FigureSpec] = {
    "summary": FigureSpec(
        "Silenced or erased: one member of each planted truth",
        summary.summary_figure,
        {"evidence": summary.EVIDENCE, "verdict": summary.VERDICT},
        "Members whose truth is planted. a: selectivity J of abstention. b: what the parent's "
        "probe, unchanged, still reads in the child, over what it reads in the parent. c: J on "
        "held-out names after a few examples, over the parent's. Pale: each seed with its 95% "
        "interval over names; in front: their mean. The verdict is the rule's, which does not see "
        "what was planted. The deselected and the erased member say the same; only one still "
        "holds it.",
    ),
}
"""Drawn when asked for by name: a paper's first figure. No study draws them by itself."""


def all_figures() -> dict[str, FigureSpec]:
    """Every figure of every kind of study, by name."""
    return (
        FIGURES
        | FEATURE_FIGURES
        | BEHAVIOR_FIGURES
        | REASONING_FIGURES
        | OBJECTIVE_FIGURES
        | PAPER_FIGURES
    )


def spec_of(name: str) -> FigureSpec:
    """The figure of that name, of any kind of study.

    Raises:
        InputError: there is none; names those that are there.
    """
    everything = all_figures()
    if name not in everything:
        raise InputError(f"no figure '{name}'; there are {', '.join(everything)}")
    return everything[name]


def require(tables: Mapping[str, pd.DataFrame], names: Sequence[str] = tuple(FIGURES)) -> None:
    """Refuse tables that a figure needs and that are missing, empty or short of columns.

    Args:
        tables: table name -> frame.
        names: the figures that are wanted.

    Raises:
        InputError: names the figure, the table and the columns.
    """
    for name in names:
        for table, columns in spec_of(name).tables.items():
            if table not in tables:
                raise InputError(
                    f"figure '{name}' needs the table '{table}' with the columns "
                    f"{', '.join(columns)}; it is not among {', '.join(sorted(tables)) or 'none'}. "
                    "Run the study again, or give the folder that holds all its tables."
                )
            missing = [c for c in columns if c not in tables[table].columns]
            if missing:
                raise InputError(
                    f"figure '{name}': table '{table}' lacks the column(s) {', '.join(missing)}; "
                    f"expected {', '.join(columns)}. Write the table again with this version."
                )
            if tables[table].empty:
                raise InputError(
                    f"figure '{name}': table '{table}' has no rows. Run its stage of the study."
                )


def draw(
    tables: Mapping[str, pd.DataFrame],
    out: Path,
    run: Mapping[str, Any],
    *,
    names: Sequence[str] = tuple(FIGURES),
    formats: Sequence[str] = FORMATS,
    paper: Paper | None = None,
) -> list[Path]:
    """Draw figures, and write every table beside them as CSV.

    The same tables and run give the same bytes: no date is written, and the run id stands in the
    metadata (PDF Keywords and Subject, PNG Run, SVG identifier).

    Args:
        tables: table name -> frame; at least those that the figures need.
        out: folder, created if missing.
        run: as from `interp.tables.run_info`; `run_id` is read.
        names: the figures to draw.
        formats: of `FILES`.
        paper: style of a paper, at whose width the figures are drawn; None: the house's own. The
            tables stay where the house's figures are, so they are not written with a paper's.

    Returns:
        The files written, figures first, then tables.

    Raises:
        InputError: a table or column is missing (`require`), or there is no such format; nothing
            is written then.
    """
    require(tables, names)
    check_formats(formats)
    out.mkdir(parents=True, exist_ok=True)
    # Every member stands in the first of these, parents before their children.
    order = [*(name for name in ("behavior", "probes") if name in tables), *sorted(tables)]
    look = Look.of(*(tables[name] for name in order))
    written: list[Path] = []
    with drawn_for(paper):
        for name in names:
            spec = spec_of(name)
            figure = spec.function(*(tables[table] for table in spec.tables), look=look)
            run_id = str(run["run_id"])
            written += save(figure, out / name, spec.title, run_id, formats=formats)
    if paper is not None:
        return written
    return written + [write_csv(tables[name], out / f"{name}.csv") for name in sorted(tables)]
