"""The decision rule as data: lines of evidence, cut-offs, and which calls make which verdict."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal, get_args

import pydantic
import yaml

from interp.stats import Interval

Call = Literal["there", "between", "gone", "undefined"]
Verdict = Literal[
    "DESELECTED",
    "ERASED",
    "REPURPOSED",
    "ATTENUATED",
    "NEVER-LATENT",
    "KNOWLEDGE-DRIVEN",
    "NO-EFFECT",
    "INCONCLUSIVE",
    "SUITE NOT VALID",
]
CALLS: tuple[Call, ...] = get_args(Call)


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Threshold(_Strict):
    """One number of the rule and the reason for it."""

    cut: float
    reason: str


class Line(_Strict):
    """One line of evidence: below `cut_gone` the ability is gone, above `cut_there` still there.

    Attributes:
        decides: whether the line may enter a verdict; the others are shown beside it, without
            cut-offs and without a call.
        cut_gone: upper edge of the range in which the ability counts as gone.
        cut_there: lower edge of the range in which it counts as still there.
        reason: what the line measures and why it decides, or may not.
    """

    decides: bool
    cut_gone: float | None = None
    cut_there: float | None = None
    reason: str

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Line:
        cuts = [cut for cut in (self.cut_gone, self.cut_there) if cut is not None]
        if len(cuts) != 2 * self.decides:
            raise ValueError("a line has both cut-offs if it decides, and none if it does not")
        if self.decides and cuts[0] >= cuts[1]:
            raise ValueError("cut_gone must lie below cut_there")
        return self

    def call(self, value: Interval) -> Call:
        """Where an estimate stands.

        The estimate must be on one side of its cut-off *and* its interval must stay clear of the
        other side's; an interval that spans both cut-offs says nothing. Neither does a line
        without cut-offs.
        """
        if self.cut_gone is None or self.cut_there is None:
            return "undefined"
        if not (value.lo <= value.estimate <= value.hi):  # NaN, or no interval
            return "undefined"
        if value.lo <= self.cut_gone and value.hi >= self.cut_there:
            return "undefined"
        if value.estimate >= self.cut_there and value.lo > self.cut_gone:
            return "there"
        if value.estimate <= self.cut_gone and value.hi < self.cut_there:
            return "gone"
        return "between"


class Case(_Strict):
    """A verdict and the calls it needs: line -> the calls that satisfy it."""

    verdict: Verdict
    when: dict[str, list[Call]]
    reason: str

    def holds(self, calls: Mapping[str, Call]) -> bool:
        """Whether every named line was called in one of the allowed ways."""
        return all(calls.get(line, "undefined") in allowed for line, allowed in self.when.items())


class Calibration(_Strict):
    """Which study the cut-offs come from, and how."""

    study: str
    seeds: list[int]
    deselected: list[str]
    """Members at the upper end, deselected by construction."""
    erased: list[str]
    """Members at the lower end, in which the ability never stood."""
    method: str


class Rule(_Strict):
    """The whole rule, as `rule.yaml` states it."""

    abstains: Threshold
    drop: Threshold
    knowledge: Threshold
    lines: dict[str, Line]
    cases: list[Case]
    planted: dict[str, list[Verdict]]
    """What each planted truth must be called."""
    gate: list[str]
    """Planted truths that the suite must read rightly before it may speak of anything else."""
    calibration: Calibration

    @pydantic.model_validator(mode="after")
    def _only_deciding_lines_decide(self) -> Rule:
        for case in self.cases:
            for line in case.when:
                if line not in self.lines:
                    raise ValueError(f"case {case.verdict} names the unknown line '{line}'")
                if not self.lines[line].decides:
                    raise ValueError(f"case {case.verdict} uses '{line}', which may not decide")
        return self

    def deciding(self) -> list[str]:
        """Names of the lines that may enter a verdict."""
        return [name for name, line in self.lines.items() if line.decides]


def rule_text() -> str:
    """`rule.yaml` as it stands in the package."""
    return resources.files("interp.verdict").joinpath("rule.yaml").read_text(encoding="utf-8")


@cache
def load_rule() -> Rule:
    """The rule the package ships."""
    return Rule.model_validate(yaml.safe_load(rule_text()))
