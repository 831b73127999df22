"""How long stages take together: closed forms, and bounds that hold for any graph."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.planning import makespan


@pytest.mark.parametrize(("n", "workers"), [(1, 1), (7, 2), (8, 4), (3, 9)])
def test_equal_stages_side_by_side(n: int, workers: int) -> None:
    needs = {f"s{i}": () for i in range(n)}
    assert makespan(needs, dict.fromkeys(needs, 3.0), workers) == 3.0 * math.ceil(n / workers)


def test_a_chain_is_its_sum_and_needs_that_are_done_are_not_waited_for() -> None:
    needs = {"c": ("b",), "b": ("a",), "a": ("gone",)}
    assert makespan(needs, {"a": 1, "b": 2, "c": 4}, 5) == 7


def test_the_first_in_order_that_is_ready_goes_first() -> None:
    """A long stage last in order starts late: the schedule is the graph's, not the best one."""
    seconds = {"a": 1.0, "b": 1.0, "long": 4.0}
    assert makespan({"a": (), "b": (), "long": ()}, seconds, 2) == 5
    assert makespan({"long": (), "a": (), "b": ()}, seconds, 2) == 4


def test_nothing_takes_no_time() -> None:
    assert makespan({}, {}, 3) == 0


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, tuple[str, ...]], dict[str, float]]:
    names = [f"s{i}" for i in range(draw(st.integers(1, 9)))]
    needs = {
        name: tuple(draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else ())
        for i, name in enumerate(names)
    }
    order = draw(st.permutations(names))
    seconds = {name: float(draw(st.integers(0, 20))) for name in names}
    return {name: needs[name] for name in order}, seconds


def longest_chain(needs: dict[str, tuple[str, ...]], seconds: dict[str, float]) -> float:
    def until(name: str) -> float:
        return seconds[name] + max(map(until, needs[name]), default=0.0)

    return max(map(until, needs))


@given(graph=graphs(), workers=st.integers(1, 5))
def test_it_lies_between_what_must_be_and_grahams_bound(
    graph: tuple[dict[str, tuple[str, ...]], dict[str, float]], workers: int
) -> None:
    needs, seconds = graph
    found, chain, work = makespan(*graph, workers), longest_chain(*graph), sum(seconds.values())
    assert max(chain, work / workers) <= found + 1e-9
    assert found <= work / workers + (1 - 1 / workers) * chain + 1e-9  # Graham 1969
    if workers == 1:
        assert found == work
    if workers >= len(needs):
        assert found == chain
