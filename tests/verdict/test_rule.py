"""The rule's calls, and that what ships is a rule."""

import math

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.stats import Interval
from interp.verdict.rule import Case, Line, Rule, load_rule

LINE = Line(decides=True, cut_gone=0.3, cut_there=0.6, reason="test")
numbers = st.floats(-1, 2, allow_nan=False)


@pytest.mark.parametrize(
    ("estimate", "lo", "hi", "call"),
    [
        (0.8, 0.7, 0.9, "there"),
        (0.65, 0.4, 0.9, "there"),
        (0.65, 0.2, 0.9, "undefined"),
        (0.1, 0.0, 0.2, "gone"),
        (0.25, 0.1, 0.5, "gone"),
        (0.45, 0.4, 0.5, "between"),
        (0.45, 0.2, 0.7, "undefined"),
        (0.55, 0.25, 0.59, "between"),
        (math.nan, math.nan, math.nan, "undefined"),
        (0.8, math.nan, math.nan, "undefined"),
    ],
)
def test_calls(estimate: float, lo: float, hi: float, call: str) -> None:
    assert LINE.call(Interval(estimate, lo, hi)) == call


@given(st.lists(numbers, min_size=3, max_size=3).map(sorted))
def test_a_call_never_contradicts_its_estimate(values: list[float]) -> None:
    lo, estimate, hi = values
    call = LINE.call(Interval(estimate, lo, hi))
    if call == "there":
        assert estimate >= LINE.cut_there
    if call == "gone":
        assert estimate <= LINE.cut_gone
    if hi - lo < LINE.cut_there - LINE.cut_gone:
        assert call != "undefined"


@pytest.mark.parametrize("decides", [True, False])
def test_deciding_lines_have_cut_offs_and_others_have_none(decides: bool) -> None:
    cuts = {} if decides else {"cut_gone": 0.1, "cut_there": 0.2}
    with pytest.raises(pydantic.ValidationError, match="both cut-offs if it decides"):
        Line(decides=decides, reason="", **cuts)


def test_cut_offs_must_be_ordered() -> None:
    with pytest.raises(pydantic.ValidationError, match="cut_gone must lie below"):
        Line(decides=True, cut_gone=0.6, cut_there=0.3, reason="")


def test_a_case_may_use_deciding_lines_only() -> None:
    shipped = load_rule().model_dump()
    shipped["cases"] = [Case(verdict="ERASED", when={"steering": ["gone"]}, reason="").model_dump()]
    with pytest.raises(pydantic.ValidationError, match="may not decide"):
        Rule.model_validate(shipped)


def test_the_lines_that_mislead_do_not_decide() -> None:
    rule = load_rule()
    assert not {"steering", "graft"} & set(rule.deciding())


def test_every_number_of_the_rule_has_a_reason() -> None:
    rule = load_rule()
    for item in (rule.abstains, rule.drop, rule.knowledge, *rule.lines.values(), *rule.cases):
        assert len(item.reason) > 40
