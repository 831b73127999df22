"""Who knows what by sampled replies, and abstention apart by it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from interp.behavior.knowledge import both_unknown, knowledge_labels, known_to_one
from interp.behavior.knowledge_table import abstention_by_knowledge
from interp.errors import InputError


def samples_of(right: dict[str, int], n: int = 10, abstained: int = 0) -> pd.DataFrame:
    """So many right of n replies to each prompt; the rest are wrong or abstain."""
    rows = []
    for prompt, count in right.items():
        rest = ["abstain"] * abstained + ["wrong"] * (n - count - abstained)
        rows += [{"prompt_id": prompt, "outcome": one} for one in ["correct"] * count + rest]
    return pd.DataFrame(rows)


def labels_of(**labels: str) -> pd.DataFrame:
    return pd.DataFrame({"prompt_id": list(labels), "label": list(labels.values())})


def test_none_right_is_unknown_and_three_right_known() -> None:
    right = {f"p{count}": count for count in (0, 1, 2, 3, 10)}
    table = knowledge_labels(samples_of(right)).set_index("prompt_id")
    assert table["label"].tolist() == ["unknown", "uncertain", "uncertain", "known", "known"]
    assert table["right"].tolist() == list(right.values())
    np.testing.assert_allclose(table["share"], np.array(list(right.values())) / 10)
    assert knowledge_labels(samples_of({"a": 3}), known_from=4)["label"].tolist() == ["uncertain"]


def test_known_is_a_share_of_the_samples_whatever_their_number() -> None:
    """3 of 10, 6 of 20, 77 of 256 (.301); 3 of 256 is hardly ever right."""
    for n, fewest in ((10, 3), (20, 6), (256, 77)):
        right = {"below": fewest - 1, "at": fewest}
        assert knowledge_labels(samples_of(right, n))["label"].tolist() == ["uncertain", "known"]
    assert knowledge_labels(samples_of({"a": 3}, 256))["label"].tolist() == ["uncertain"]
    # In floating point .7 * 30 / 10 is not 21 / 10 of anything.
    many = {f"p{n}": 7 * n for n in range(1, 30)}
    for number, (prompt, count) in enumerate(many.items(), start=1):
        table = knowledge_labels(samples_of({prompt: count}, 10 * number), known_from=7)
        assert table["label"].tolist() == ["known"]


def test_abstaining_is_not_being_right_and_is_counted() -> None:
    (row,) = knowledge_labels(samples_of({"a": 0}, abstained=4)).itertuples()
    assert (row.label, row.right, row.abstained, row.n) == ("unknown", 0, 4, 10)


def test_samples_in_any_order_and_of_any_number_are_counted_by_prompt() -> None:
    samples = pd.concat([samples_of({"a": 2}, 12), samples_of({"b": 5}, 30)])
    mixed = samples.sample(frac=1, random_state=0)
    table = knowledge_labels(mixed).set_index("prompt_id").loc[["a", "b"]]
    pd.testing.assert_frame_equal(table.reset_index(), knowledge_labels(samples))
    assert table["n"].tolist() == [12, 30]


def test_limits_are_the_scores_that_a_test_would_not_refuse() -> None:
    """Wilson's limits p solve |share - p| = z sqrt(p (1 - p) / n)."""
    table = knowledge_labels(samples_of({"a": 0, "b": 1, "c": 7, "d": 20}, 20), level=0.9)
    for row in table.itertuples():
        for limit in (row.lo, row.hi):
            distance = 1.6448536 * np.sqrt(limit * (1 - limit) / 20)
            assert abs(row.share - limit) == pytest.approx(distance, abs=1e-6)
        assert 0 <= row.lo <= row.share <= row.hi <= 1
    assert table["lo"].iloc[0] == 0
    assert table["hi"].iloc[-1] == 1


def test_the_chance_of_missing_what_is_known_is_the_binomials() -> None:
    table = knowledge_labels(pd.concat([samples_of({"a": 0}), samples_of({"b": 0}, 25)]))
    np.testing.assert_allclose(table["missed"], binom.pmf(0, [10, 25], 0.2))
    # And that many of such questions are labelled unknown.
    right = np.random.default_rng(0).binomial(10, 0.2, 4000)
    drawn = knowledge_labels(samples_of({f"p{n}": int(one) for n, one in enumerate(right)}))
    unknown = (drawn["label"] == "unknown").mean()
    assert unknown == pytest.approx(table["missed"].iloc[0], abs=0.02)
    (other,) = knowledge_labels(samples_of({"a": 0}), truly=0.5)["missed"]
    assert other == 2**-10


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.iloc[:-3], {}, r"prompt b: 7 replies \(1 prompts have fewer than 10\)"),
        (lambda t: t.iloc[:0], {}, "no rows"),
        (lambda t: t.drop(columns="outcome"), {}, "lack the column outcome"),
        (lambda t: t.assign(outcome="refuse"), {}, "prompt a: the outcome is 'refuse'"),
        (lambda t: t, {"known_from": 0}, "known_from=0"),
        (lambda t: t, {"known_from": 11}, "known_from=11"),
        (lambda t: t, {"truly": 1.0}, "truly=1.0"),
        (lambda t: t, {"level": 0.0}, "level=0.0"),
    ],
)
def test_bad_samples_are_refused(change, options, message) -> None:
    with pytest.raises(InputError, match=message):
        knowledge_labels(change(samples_of({"a": 1, "b": 2})), **options)


PARENT = labels_of(u="unknown", k="known", c="unknown", p="known", m="uncertain", n="unknown")
CHILD = labels_of(n="uncertain", m="uncertain", p="unknown", c="known", k="known", u="unknown")
MODELS = {"parent": PARENT, "child": CHILD}


def test_labels_of_models_are_set_side_by_side() -> None:
    assert both_unknown(MODELS) == ["u"]
    alone = known_to_one(MODELS)
    assert alone.to_numpy().tolist() == [["c", "child"], ["p", "parent"]]
    # With a third that knows it too, it is known to more than one.
    third = CHILD.assign(label=["known"] * 6)
    assert known_to_one(MODELS | {"third": third})["prompt_id"].tolist() == ["u"]
    assert both_unknown(MODELS | {"third": third}) == []


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"parent": PARENT}, "1 models; expected the labels of at least two"),
        (MODELS | {"child": CHILD.iloc[1:]}, "prompt n is labelled for only one of parent and chi"),
        (MODELS | {"child": CHILD.assign(label="maybe")}, "labels of child: expected one of unkn"),
        (MODELS | {"child": pd.concat([CHILD, CHILD])}, "labels of child: .* each prompt once"),
        (
            {"parent": PARENT.assign(n=10), "child": CHILD.assign(n=[20] + [10] * 5)},
            "prompt n: 10 samples of parent, 20 samples of child; .* take as many of every model",
        ),
        (MODELS | {"child": CHILD.drop(columns="label")}, "labels of child lack the column label"),
    ],
)
def test_labels_that_do_not_fit_are_refused(models, message) -> None:
    for asked in (both_unknown, known_to_one):
        with pytest.raises(InputError, match=message):
            asked(models)


def items_of(abstains: dict[str, dict[str, float]], n: int = 40) -> pd.DataFrame:
    """Replies of each model to n copies of each kind of prompt, of which a share abstains."""
    rows = []
    for model, by_kind in abstains.items():
        for kind, share in by_kind.items():
            for copy in range(n):
                outcome = "abstain" if copy < share * n else "wrong"
                prompt = f"{kind}{copy}"
                place = {"prompt_id": prompt, "pair_id": prompt, "model": model, "mode": "direct"}
                rows.append(place | {"should_abstain": kind == "s", "outcome": outcome})
    return pd.DataFrame(rows)


def copies_of(labels: pd.DataFrame, n: int = 40) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"prompt_id": f"{row.prompt_id}{copy}", "label": row.label}
            for row in labels.itertuples()
            for copy in range(n)
        ]
    )


COPIES = {model: copies_of(labels) for model, labels in MODELS.items()}
BEFORE = {"s": 0.9, "u": 0.8, "k": 0.1, "c": 0.8, "p": 0.1, "m": 0.5, "n": 0.7}


def changes(after: dict[str, float]) -> dict[str, float]:
    table = abstention_by_knowledge(
        items_of({"parent": BEFORE, "child": after}),
        COPIES,
        units=["pair_id"],
        against="parent",
        n_boot=100,
    )
    change = table[table["measure"] == "change"]
    assert set(change["model"]) == {"child"}
    return {
        row.group: row.estimate if row.lo > 0 or row.hi < 0 else 0.0 for row in change.itertuples()
    }


def test_knowing_more_is_told_from_abstaining_less() -> None:
    knows_more = changes(BEFORE | {"c": 0.0})
    assert knows_more["known_only_to:child"] == pytest.approx(-0.8)
    assert all(value == 0 for group, value in knows_more.items() if group != "known_only_to:child")
    abstains_less = changes({kind: share / 4 for kind, share in BEFORE.items()})
    assert abstains_less["structural"] == pytest.approx(-0.65, abs=0.03)
    assert abstains_less["both_unknown"] == pytest.approx(-0.6, abs=0.03)


def test_what_only_one_knows_is_told_apart_by_who_it_is() -> None:
    """A child that knows other things than its parent moves both ways; together, not at all."""
    moved = changes(BEFORE | {"c": BEFORE["c"] - 0.4, "p": BEFORE["p"] + 0.4})
    assert moved["known_only_to:child"] == pytest.approx(-0.4)
    assert moved["known_only_to:parent"] == pytest.approx(0.4)


def test_labels_made_of_the_tabulated_replies_are_refused() -> None:
    items = items_of({"parent": BEFORE, "child": BEFORE}, 10)
    options = {"units": ["pair_id"], "n_boot": 20}
    with pytest.raises(InputError, match="labels were made from replies of 'direct'"):
        abstention_by_knowledge(items, COPIES, labelled_from=["asked", "direct"], **options)
    apart = abstention_by_knowledge(items, COPIES, labelled_from=["asked"], **options)
    pd.testing.assert_frame_equal(apart, abstention_by_knowledge(items, COPIES, **options))


def test_shares_of_none_and_changes_of_nothing_have_limits() -> None:
    """Over 40 units, two replies each: z^2 / (40 + z^2) = .088."""
    none = dict.fromkeys(BEFORE, 0.0)
    items = items_of({"parent": none, "child": none})
    table = abstention_by_knowledge(
        pd.concat([items, items]), COPIES, units=["pair_id"], against="parent", n_boot=20
    )
    reach = 1.959964**2 / (40 + 1.959964**2)
    by_group = table[table["group"] != "uncertain"].set_index("measure")
    assert (by_group["estimate"] == 0).all()
    np.testing.assert_allclose(by_group["hi"], reach, rtol=1e-6)
    np.testing.assert_allclose(by_group.loc["abstain", "lo"], 0, atol=1e-12)
    np.testing.assert_allclose(by_group.loc["change", "lo"], -reach, rtol=1e-6)


def test_shares_are_of_each_group_and_model() -> None:
    items = items_of({"parent": BEFORE, "child": BEFORE | {"s": 0.1}})
    both = pd.concat([items, items.assign(mode="cot", outcome="wrong")])
    table = abstention_by_knowledge(both, COPIES, units=["pair_id"], n_boot=50)
    assert set(table["measure"]) == {"abstain"}
    direct = table[table["mode"] == "direct"].set_index(["model", "group"])
    alone = ["known_only_to:parent", "known_only_to:child"]
    groups = ["structural", "both_unknown", *alone, "both_known", "uncertain"]
    assert table["group"].drop_duplicates().tolist() == groups
    expected = [0.9, 0.8, 0.1, 0.8, 0.1, 0.6]
    np.testing.assert_allclose(direct.loc["parent"].loc[groups, "estimate"], expected, atol=0.02)
    assert direct.loc[("child", "structural"), "estimate"] == pytest.approx(0.1)
    assert direct.loc[("child", "uncertain"), "n"] == 80
    assert (direct["lo"] <= direct["estimate"]).all()
    assert (direct["estimate"] <= direct["hi"]).all()
    assert (table.loc[table["mode"] == "cot", "estimate"] == 0).all()


def test_intervals_are_over_units_and_changes_within_prompts() -> None:
    items = items_of({"parent": BEFORE, "child": BEFORE | {"s": 0.4}})
    doubled = pd.concat([items, items.assign(prompt_id=items["prompt_id"] + "again")])
    structural = items["should_abstain"]
    once, twice = (
        abstention_by_knowledge(
            one[one["should_abstain"]], COPIES, units=["pair_id"], against="parent", n_boot=200
        )
        for one in (items[structural], doubled)
    )
    np.testing.assert_allclose(once[["lo", "hi"]], twice[["lo", "hi"]], atol=1e-12)
    assert twice["n"].tolist() == [80, 80, 80]
    # A change of half of the prompts, the rest as they were: its sd by prompt is .5, over 40.
    (change,) = once[once["measure"] == "change"].itertuples()
    assert change.estimate == pytest.approx(-0.5)
    assert change.hi - change.lo == pytest.approx(2 * 2.02 * 0.5 / np.sqrt(39), rel=0.15)


def test_a_change_is_over_the_prompts_that_both_replied_to() -> None:
    items = items_of({"parent": {"s": 1.0}, "child": {"s": 0.0}})
    some = items[(items["model"] == "parent") | (items["prompt_id"] > "s3")]
    table = abstention_by_knowledge(some, COPIES, units=["pair_id"], against="parent", n_boot=20)
    (change,) = table[table["measure"] == "change"].itertuples()
    assert (change.estimate, change.n) == (-1, (some["model"] == "child").sum())
    apart = items[(items["model"] == "parent") == (items["prompt_id"] > "s3")]
    table = abstention_by_knowledge(apart, COPIES, units=["pair_id"], against="parent", n_boot=20)
    assert set(table["measure"]) == {"abstain"}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.iloc[:0], {}, "no rows"),
        (lambda t: t.drop(columns="mode"), {}, "lack the column mode"),
        (lambda t: t, {"units": ["pair"]}, "lack the column pair"),
        (lambda t: t, {"units": []}, "units are"),
        (lambda t: t, {"against": "base"}, "no model 'base' to compare with; there are parent"),
        (lambda t: t.assign(outcome="none"), {}, "prompt s0: the outcome is 'none'"),
        (lambda t: t.assign(should_abstain=False), {}, "prompt s0: it has an answer, but no label"),
        (
            lambda t: t.assign(pair_id=range(len(t))),
            {},
            "prompt k0: its rows differ in should_abstain, pair_id",
        ),
    ],
)
def test_bad_items_are_refused(change, options, message) -> None:
    items = items_of({"parent": {"s": 1.0, "k": 0.0}, "child": {"s": 1.0, "k": 0.0}}, 3)
    with pytest.raises(InputError, match=message):
        abstention_by_knowledge(
            change(items), COPIES, **({"units": ["pair_id"], "n_boot": 10} | options)
        )
