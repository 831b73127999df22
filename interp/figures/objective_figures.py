"""The figures of a study of training objectives: signature, claims, trajectories, repairs."""

from __future__ import annotations

from functools import partial

from interp.figures.claims import COLUMNS as CLAIM_COLUMNS
from interp.figures.claims import claims_figure
from interp.figures.repairs import REPAIRS, repairs_figure
from interp.figures.signature import COLUMNS as SIGNATURE_COLUMNS
from interp.figures.signature import signature_figure
from interp.figures.spec import FigureSpec
from interp.figures.trajectory import TRAJECTORY, readout_first_figure, trajectory_figure
from interp.verdict.claims import load_claims

OBJECTIVE_FIGURES: dict[str, FigureSpec] = {
    "signature": FigureSpec(
        "The signature of each objective",
        signature_figure,
        {"signature": SIGNATURE_COLUMNS, "verdict": ("seed", "member", "verdict")},
        "What each objective left, after a chain of thought: the mean over seeds and beneath it "
        "their range. Behaviour (recall: abstention on unknown names; over-abstention and accuracy "
        "on known names; d\N{PRIME} and criterion c) and calibration of the answers given "
        "(expected calibration error and AUROC of three confidences) are coloured by how far they "
        "lie above or below the base. Layers: the block around which the weights changed, and how "
        "many of the child's lower blocks under the parent's upper ones take half of the "
        "selectivity J. Relearning: share of the parent's J after 32 examples, with all weights or "
        "the upper ones, and the least examples that bring half. The last columns are the verdict "
        "of each seed.",
    ),
    **{
        f"claim_{claim.id}": FigureSpec(
            claim.sentence,
            partial(claims_figure, claim=claim.id),
            {"claims": CLAIM_COLUMNS},
            f"{claim.statistic[:1].upper()}{claim.statistic[1:]}: each seed (pale) and their mean "
            "(in front), with 95% intervals over names. The claim holds where the whole interval "
            "lies on the shaded side of the threshold in every seed. Open marks stand beside and "
            "decide nothing.",
        )
        for claim in load_claims().claims
    },
    "trajectory": FigureSpec(
        "Along the training run",
        trajectory_figure,
        {"trajectory": TRAJECTORY},
        "Top: expected abstention on unknown and known names, their difference J, and the expected "
        "accuracy on known names. Middle: the readout gain, how much the log odds of abstaining "
        "rise for the parent's own direction, and the length of the child's direction, as shares "
        "of the parent's. Bottom: the AUROC of a fresh probe, and rho, what the parent's probe "
        "still reads above one half. Thin lines: seeds; in front: their mean.",
    ),
    "readout_first": FigureSpec(
        "What falls first",
        readout_first_figure,
        {"trajectory": TRAJECTORY},
        "What is kept of the parent's selectivity J, of its readout gain, and of what its probe "
        "reads (rho), at each step of the training run. Where J falls while rho stands, the "
        "readout goes before the representation. Thin lines: seeds; in front: their mean.",
    ),
    "repairs": FigureSpec(
        "Abstention given back without training",
        repairs_figure,
        {"repairs": REPAIRS},
        "Share of the lost abstention on unknown names that comes back, against what it costs in "
        "expected accuracy on known names, at every strength of each method (lines); filled: the "
        "strength chosen on the development split, with 95% intervals over names. Grey: random "
        "directions and probes of shuffled labels. The frontier leaves out grafts, which have the "
        "parent's weights. Costs beyond .02 are on a logarithmic scale.",
    ),
}
"""By name."""
