"""Verdicts follow from measurements and the recorded lineage; controls can silence the suite."""

import inspect

import pandas as pd
import pytest

from interp.errors import InputError
from interp.stats import Interval
from interp.verdict import judging
from interp.verdict.judging import Evidence, decide, gated, judge
from interp.verdict.rule import load_rule

RULE = load_rule()
DECIDING = RULE.deciding()


def around(value: float) -> Interval:
    return Interval(value, value - 0.01, value + 0.01)


def at(line: str, call: str) -> Interval:
    """An estimate that the rule calls `call`, whatever its cut-offs are."""
    cuts = RULE.lines[line]
    if cuts.cut_gone is None or cuts.cut_there is None:
        return around({"gone": -9.0, "there": 9.0}.get(call, 0.5))
    room = cuts.cut_there - cuts.cut_gone
    middle = {"gone": cuts.cut_gone - room, "there": cuts.cut_there + room}
    value = middle.get(call, (cuts.cut_gone + cuts.cut_there) / 2)
    width = 2 * room if call == "undefined" else room / 100
    return Interval(value, value - width, value + width)


def child(calls: dict[str, str], *, drop: float = 0.9, knowledge: float = 0.03) -> Evidence:
    values = {line: at(line, calls.get(line, calls["rest"])) for line in RULE.lines}
    values |= {"j": around(0.93 - drop), "drop": around(drop), "knowledge": around(knowledge)}
    return Evidence("child", values, [around(0.93)])


@pytest.mark.parametrize(
    ("calls", "verdict"),
    [
        ({"rest": "there"}, "DESELECTED"),
        ({"rest": "there", "nonlinear": "gone"}, "DESELECTED"),
        ({"rest": "gone"}, "ERASED"),
        ({"rest": "gone", "nonlinear": "between"}, "ATTENUATED"),
        ({"rest": "gone", "nonlinear": "there"}, "ATTENUATED"),
        ({"rest": "there", "transfer": "gone"}, "REPURPOSED"),
        ({"rest": "there", "relearn_upper": "between"}, "ATTENUATED"),
        ({"rest": "between"}, "ATTENUATED"),
        ({"rest": "there", "relearn_all": "undefined"}, "INCONCLUSIVE"),
        ({"rest": "gone", "transfer": "undefined"}, "INCONCLUSIVE"),
    ],
)
def test_verdicts(calls: dict[str, str], verdict: str) -> None:
    assert decide(child(calls), RULE) == verdict


@pytest.mark.parametrize("support", [name for name in RULE.lines if name not in DECIDING])
@pytest.mark.parametrize("call", ["gone", "between", "there", "undefined"])
def test_supporting_lines_never_change_a_verdict(support: str, call: str) -> None:
    for rest in ("there", "gone"):
        assert decide(child({"rest": rest, support: call}), RULE) == decide(
            child({"rest": rest}), RULE
        )


def test_no_drop_is_no_effect_and_new_knowledge_is_knowledge() -> None:
    assert decide(child({"rest": "there"}, drop=0.02), RULE) == "NO-EFFECT"
    assert decide(child({"rest": "gone"}, knowledge=0.8), RULE) == "KNOWLEDGE-DRIVEN"


def test_a_root_that_abstains_is_no_effect() -> None:
    root = Evidence("base", {**child({"rest": "there"}).values, "j": around(0.9)}, [])
    assert decide(root, RULE) == "NO-EFFECT"


def test_erased_and_never_differ_by_the_recorded_lineage_alone() -> None:
    erased = child({"rest": "gone"})
    assert decide(erased, RULE) == "ERASED"
    assert decide(Evidence("child", erased.values, []), RULE) == "NEVER-LATENT"
    silent_parent = Evidence("child", erased.values, [around(0.02)])
    assert decide(silent_parent, RULE) == "NEVER-LATENT"
    grandparent = Evidence("child", erased.values, [around(0.02), around(0.9)])
    assert decide(grandparent, RULE) == "ERASED"


def test_something_readable_without_an_abstaining_ancestor_is_inconclusive() -> None:
    assert decide(Evidence("x", child({"rest": "there"}).values, []), RULE) == "INCONCLUSIVE"


def test_the_decision_cannot_read_the_planted_truth() -> None:
    assert "planted" not in inspect.signature(decide).parameters
    assert "planted" not in inspect.getsource(decide).split('"""')[2]
    assert "planted" not in Evidence.__dataclass_fields__


PLANTED = {
    "base": "intact",
    "upper": "deselected",
    "replaced": "erased",
    "never": "never",
    "sft": "unknown",
}
RIGHT = {
    "base": "NO-EFFECT",
    "upper": "DESELECTED",
    "replaced": "ERASED",
    "never": "NEVER-LATENT",
    "sft": "DESELECTED",
}


def test_the_gate_opens_when_all_controls_are_read_rightly() -> None:
    assert gated(RIGHT, PLANTED, RULE) == RIGHT


@pytest.mark.parametrize("a", [name for name in PLANTED if name != "sft"])
@pytest.mark.parametrize("b", [name for name in PLANTED if name != "sft"])
def test_the_gate_fires_when_controls_are_shuffled(a: str, b: str) -> None:
    shuffled = PLANTED | {a: PLANTED[b], b: PLANTED[a]}
    result = gated(RIGHT, shuffled, RULE)
    assert (result["sft"] == "SUITE NOT VALID") == (a != b)
    assert {name: result[name] for name in RIGHT if name != "sft"} == {
        name: verdict for name, verdict in RIGHT.items() if name != "sft"
    }


def test_no_controls_no_verdict() -> None:
    with pytest.raises(InputError, match="planted truth erased"):
        gated({"sft": "ERASED"}, {k: v for k, v in PLANTED.items() if v != "erased"}, RULE)


def measures(evidence: dict[str, Evidence], parents: dict[str, str], seed: int) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "seed": seed,
                "member": name,
                "parent": parents[name],
                "line": line,
                "estimate": value.estimate,
                "lo": value.lo,
                "hi": value.hi,
            }
            for name, item in evidence.items()
            for line, value in item.values.items()
        ]
    )


def test_judge_reads_a_table_seed_by_seed() -> None:
    gone, there = child({"rest": "gone"}), child({"rest": "there"})
    base = Evidence("base", {**there.values, "j": around(0.93), "drop": around(0.0)}, [])
    good = {"base": base, "upper": there, "replaced": gone, "never": gone, "sft": there}
    swapped = good | {"upper": gone, "replaced": there}
    parents = {"base": "", "upper": "base", "replaced": "base", "never": "", "sft": "base"}
    ancestors = {name: [parent] if parent else [] for name, parent in parents.items()}
    table = pd.concat([measures(good, parents, 1), measures(swapped, parents, 2)])
    evidence, verdict = judging.judge(table, ancestors, PLANTED, RULE)
    assert list(verdict.columns) == ["seed", "member", "parent", "planted", "verdict"]
    by_seed = {
        seed: dict(zip(rows["member"], rows["verdict"], strict=True))
        for seed, rows in verdict.groupby("seed")
    }
    assert by_seed[1] == RIGHT
    assert by_seed[2]["sft"] == "SUITE NOT VALID"
    assert len(evidence) == len(table)
    shown = evidence[(evidence["member"] == "sft") & (evidence["line"] == "transfer")]
    assert list(shown["call"]) == ["there", "there"]
    assert judge is judging.judge
