from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.behavior.reasoning.chains import Chain
from interp.behavior.reasoning.information_gain import (
    gain_table,
    information_gain,
    scored_steps,
    step_gains,
)
from interp.behavior.reasoning.step_controls import gain_trials
from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.words import words_of
from tests.behavior.reasoning.traced import (
    TOKENIZER,
    read,
    record,
    sums,
    yes_no_items,
    yes_no_model,
)

LENGTH_FREE = ("gain", "rising", "falling", "ppl_0", "ppl_t", "steps_for_half")
logprobs = st.lists(st.floats(-20, -0.01), min_size=2, max_size=6)


def scored(logprob_I, tokens: int = 2, arm: str = "own", prompt: str = "p0") -> pd.DataFrame:
    steps = np.arange(len(logprob_I))
    return pd.DataFrame(
        {"prompt_id": prompt, "sample": 0, "arm": arm, "step": steps, "pair_id": prompt}
        | {"logprob": logprob_I, "tokens": tokens}
    )


def reader(texts, targets) -> np.ndarray:
    """log p of the answer grows by 1 with each step that follows from the one before it."""
    total = []
    for text in texts:
        numbers, chain, _ = read(text)
        said = [int(n) for n in re.findall(r"(?:have|is) (\d+)", chain)]
        right = np.cumsum(numbers).tolist()
        pairs = zip(said, [*right, None], strict=False)
        total.append(-10.0 + next((n for n, (a, b) in enumerate(pairs) if a != b), len(said)))
    return np.array(total)


def by_words(texts, targets) -> np.ndarray:
    """log p grows where the answer has been named, in whatever order."""
    return np.array(
        [-10.0 + 6 * (t in x.split("?")[1]) for x, t in zip(texts, targets, strict=True)]
    )


def deaf(texts, targets) -> np.ndarray:
    """A scorer to whom the chain says nothing."""
    return np.array([-1.0 - len(x.split("?")[0]) / 10 for x in texts])


def items_of(scorer, arms=("own", "shuffled", "length_matched"), n=12, model="R") -> pd.DataFrame:
    prompts, chains = sums(n)
    asked = gain_trials(prompts, chains, TOKENIZER, arms=arms, seed=3)
    logprob = scorer(asked.prompts.frame["text"], asked.frame["target"])
    return information_gain(asked.frame.assign(logprob=logprob, tokens=1, model=model))


@settings(max_examples=12)
@given(logprobs, st.integers(1, 5))
def test_the_published_form_telescopes_and_steps_add_up(logprob_I, tokens):
    table = scored(logprob_I, tokens)
    one = information_gain(table).iloc[0]
    ppl = [np.exp(-x / tokens) for x in (logprob_I[0], logprob_I[-1])]
    assert one["published"] == pytest.approx((ppl[0] - ppl[1]) / (len(logprob_I) - 1), rel=1e-6)
    assert one["gain"] == pytest.approx((logprob_I[-1] - logprob_I[0]) / tokens, abs=1e-6)
    assert one["gain"] == pytest.approx(one["rising"] - one["falling"], abs=1e-6)
    assert one["gain"] == pytest.approx(step_gains(table)["gain"].sum(), abs=1e-6)


@settings(max_examples=12)
@given(logprobs, st.integers(1, 9))
def test_steps_that_say_nothing_change_the_published_form_and_not_the_safe_ones(logprob_I, m):
    short = information_gain(scored(logprob_I)).iloc[0]
    long = information_gain(scored([*logprob_I, *[logprob_I[-1]] * m])).iloc[0]
    for name in LENGTH_FREE:
        assert long[name] == pytest.approx(short[name], nan_ok=True), name
    assert long["positive_share"] == pytest.approx(short["positive_share"], nan_ok=True)
    t = len(logprob_I) - 1
    assert long["published"] == pytest.approx(short["published"] * t / (t + m), rel=1e-9)
    assert long["share_rising"] == pytest.approx(short["share_rising"] * t / (t + m))


def test_how_much_of_the_gain_comes_from_how_many_steps_by_hand():
    one = information_gain(scored([-9, -8, -10, -4, -4], tokens=1)).iloc[0]
    # Steps: +1, -2, +6, 0.
    assert one[["rising", "falling", "steps_for_half"]].tolist() == [7, 2, 1]
    assert one["positive_share"] == pytest.approx(7 / 9)
    assert one["share_rising"] == 0.5
    even = information_gain(scored([-6, -5, -4, -3, -2, -1, 0], tokens=1)).iloc[0]
    assert even["steps_for_half"] == 3
    flat = information_gain(scored([-4, -4], tokens=1)).iloc[0]
    assert np.isnan(flat["positive_share"])
    assert np.isnan(flat["steps_for_half"])


def test_a_longer_chain_of_the_same_content_has_the_same_gain_for_a_scorer():
    prompts, chains = sums(8)
    padded = [
        Chain.of(c.prompt_id, [p for s in c.steps for p in (s, "Let me think.")], c.answer)
        for c in chains
    ]
    short, long = (
        gain_trials(prompts, given_chains, TOKENIZER, arms=("own",))
        for given_chains in (chains, padded)
    )
    of_short, of_long = (
        information_gain(
            asked.frame.assign(logprob=reader(asked.prompts.frame["text"], None), tokens=1)
        )
        for asked in (short, long)
    )
    assert (of_long["steps"] == 2 * of_short["steps"]).all()
    names = [*LENGTH_FREE, "positive_share"]
    pd.testing.assert_frame_equal(of_long[names], of_short[names])
    assert np.allclose(of_long["published"], of_short["published"] / 2)


def test_what_is_read_is_the_question_the_first_steps_and_the_suffix():
    prompts, chains = sums(3)
    asked = gain_trials(prompts, chains, TOKENIZER, arms=("own",), suffix="a :")
    rows = asked.frame.assign(text=asked.prompts.frame["text"]).query("prompt_id == 's1'")
    question = prompts.frame["text"][1]
    steps = [step.strip() for step in chains[1].steps]
    assert rows["text"].tolist() == [
        " ".join([question, *steps[:i], "a :"]) for i in range(len(steps) + 1)
    ]
    assert rows["target"].eq(chains[1].answer).all()


def test_a_carrier_and_a_decorator_are_told_apart():
    carried, decorated = items_of(reader), items_of(deaf, model="B")
    own = carried[carried["arm"] == "own"]
    assert (own["gain"] == own["steps"]).all()
    assert (own["share_rising"] == 1).all()
    assert (decorated["gain"] == 0).all()
    assert decorated["positive_share"].isna().all()
    both = pd.concat([carried, decorated])
    table = gain_table(
        both, units=["pair_id"], against="B", measures=("gain", "published"), n_boot=200
    )
    change = table.query("arm == 'own' and against == 'B' and measure == 'gain'").iloc[0]
    assert change["estimate"] == pytest.approx(own["gain"].mean())
    assert change["lo"] > 1


def test_shuffled_steps_collapse_what_their_order_carried_and_keep_what_words_carried():
    prompts, chains = sums(12)
    asked = gain_trials(prompts, chains, TOKENIZER, arms=("own", "shuffled"), seed=3)
    frame = asked.frame
    ordered = items_of(reader, ("own", "shuffled"))
    # Independent of any text: how many steps still stand where they belong, from the first on.
    gain = ordered.set_index(["prompt_id", "arm"])["gain"]
    for (name, arm), rows in frame[frame["step"] > 0].groupby(["prompt_id", "arm"]):
        origins = rows.sort_values("step")["origin"].tolist()
        assert sorted(origins) == list(range(len(origins)))
        assert (origins == sorted(origins)) == (arm == "own")
        leading = next((n for n, o in enumerate(origins) if n != o), len(origins))
        assert gain[name, arm] == leading
    table = gain_table(ordered, units=["pair_id"], measures=("gain",), n_boot=200)
    lost = table.query("arm == 'own - shuffled' and measure == 'gain'").iloc[0]
    assert lost["lo"] > 0.5 * lost["estimate"] > 0
    kept = gain_table(items_of(by_words), units=["pair_id"], measures=("gain",), n_boot=200)
    same = kept.query("arm == 'own - shuffled' and measure == 'gain'").iloc[0]
    assert same[["estimate", "lo", "hi"]].tolist() == [0, 0, 0]


def test_steps_of_other_items_are_as_long_and_say_nothing_of_this_one():
    prompts, chains = sums(12)
    asked = gain_trials(prompts, chains, TOKENIZER, arms=("length_matched",), seed=0)
    rows = asked.frame.assign(text=asked.prompts.frame["text"])
    steps_of = {c.prompt_id: [s.strip() for s in c.steps] for c in chains}
    for chain in chains:
        last = rows[rows["prompt_id"] == chain.prompt_id].sort_values("step").iloc[-1]
        behind = last["text"].split("?")[1]
        assert not any(step in behind for step in steps_of[chain.prompt_id])
        assert chain.answer not in re.findall(r"\d+", behind)
        words = rows[rows["prompt_id"] == chain.prompt_id].sort_values("step")["words"].tolist()
        assert words[1:] == [len(words_of(step)) for step in chain.steps]
    matched = items_of(reader, arms=("own", "length_matched")).set_index(["prompt_id", "arm"])
    assert (matched.xs("length_matched", level="arm")["gain"] == 0).all()


def test_items_of_the_same_pair_or_answer_lend_no_steps():
    twins = [record("a", "q ?", "7", pair_id="x"), record("b", "q ?", "8", pair_id="x")]
    twins += [record("c", "q ?", "7", pair_id="y")]
    chains = [Chain.of(name, [f"step of {name} ."], "7") for name in "abc"]
    asked = gain_trials(PromptSet.from_records(twins), chains, TOKENIZER, arms=("length_matched",))
    assert asked.frame["prompt_id"].unique().tolist() == ["b", "c"]
    assert asked.excluded.to_dict("records") == [
        {"prompt_id": "a", "sample": 0, "why": "length_matched: too few steps"}
    ]
    texts = dict(zip(asked.frame["prompt_id"], asked.prompts.frame["text"], strict=False))
    last = asked.prompts.frame["text"][asked.frame["step"] == 1].tolist()
    assert "step of c" in last[0]
    assert "step of b" in last[1]
    assert texts.keys() == {"b", "c"}


@pytest.mark.parametrize(
    ("steps_b", "more", "lent"),
    [
        (["so 7 is", "so 9 is"], {}, "so 9 is"),
        (["so 7 is"], {}, None),
        (["so 9 is"], {"entity": "Ann"}, None),
        (["so 9 is"], {"entity": "Bob"}, "so 9 is"),
    ],
)
def test_no_step_is_lent_that_names_the_answer_or_is_of_the_same_entity(steps_b, more, lent):
    asked = [record("a", "q ?", "7", entity="Ann"), record("b", "q ?", "8", **more)]
    chains = [Chain.of("a", ["so 6 is"], "7"), Chain.of("b", steps_b, "8")]
    arms = ("own", "length_matched")
    got = gain_trials(PromptSet.from_records(asked), chains, TOKENIZER, arms=arms)
    mine = (got.frame["prompt_id"] == "a") & (got.frame["arm"] == "length_matched")
    texts = got.prompts.frame["text"][mine].tolist()
    assert [str(lent) in text for text in texts] == ([] if lent is None else [False, True])


def test_a_step_is_lent_to_a_chain_once():
    asked = [record("a", "q ?", "7"), record("b", "q ?", "8")]
    chains = [Chain.of("a", ["one .", "two ."], "7"), Chain.of("b", ["one ."], "8")]
    got = gain_trials(
        PromptSet.from_records(asked), chains, TOKENIZER, arms=("own", "length_matched")
    )
    assert got.excluded.to_dict("records") == [
        {"prompt_id": "a", "sample": 0, "why": "length_matched: too few steps"}
    ]


def test_chains_that_cannot_be_scored_or_shuffled_are_counted():
    prompts = PromptSet.from_records(
        [record("a", "q ?", "7"), record("b", "q ?", "8", answers=[], should_abstain=True)]
    )
    chains = [Chain.of("a", ["one ."], "7"), Chain.of("b", ["one .", "two ."], "i")]
    asked = gain_trials(prompts, chains, TOKENIZER, arms=("own", "shuffled"))
    why = dict(zip(asked.excluded["prompt_id"], asked.excluded["why"], strict=True))
    assert why == {"a": "shuffled: too few steps", "b": "no answer to score"}
    told = gain_trials(prompts, chains, TOKENIZER, arms=("own",), answers={"b": "I don't know"})
    assert told.frame.query("prompt_id == 'b'")["target"].eq("I don't know").all()


@pytest.fixture(scope="module", params=[True, False], ids=["carrier", "decorator"])
def real(request, tmp_path_factory):
    return yes_no_model(tmp_path_factory.mktemp("model"), reads_chain=request.param)


def test_a_real_model_scores_the_answers_tokens_alone(real):
    prompts, chains = yes_no_items()
    asked = gain_trials(prompts, chains, real.tokenizer, arms=("own",), suffix="over")
    got = scored_steps(real, asked, token_budget=30)
    for row, text in zip(got.itertuples(), asked.prompts.frame["text"], strict=True):
        ids = torch.tensor([real.tokenizer(text).input_ids])
        with torch.no_grad():
            logprob_V = real.model(ids).logits[0, -1].double().log_softmax(-1)
        yes = real.tokenizer.convert_tokens_to_ids("yes")
        assert row.logprob == pytest.approx(float(logprob_V[yes]), abs=1e-5)
        assert row.tokens == 1
    items = information_gain(got)
    if real.checkpoint.name == "decorator":
        assert items["gain"].abs().max() < 1e-6
    else:
        assert items["gain"].min() > 1
        gains = step_gains(got)
        last = gains["step"] == gains["steps"]
        assert gains[~last]["gain"].abs().max() < 1e-5


def test_of_several_answer_tokens_each_counts_once_behind_those_before_it(real):
    prompts, chains = yes_no_items(2)
    asked = gain_trials(
        prompts, chains, real.tokenizer, arms=("own",), suffix="over",
        answers={"y0": "yes no", "y1": "yes no"},
    )  # fmt: skip
    got = scored_steps(real, asked)
    for row, text in zip(got.itertuples(), asked.prompts.frame["text"], strict=True):
        ids = torch.tensor([real.tokenizer(f"{text} yes no").input_ids])
        with torch.no_grad():
            logprob_TV = real.model(ids).logits[0].double().log_softmax(-1)
        own = sum(float(logprob_TV[-k - 1, ids[0, -k]]) for k in (1, 2))
        assert row.logprob == pytest.approx(own, abs=1e-5)
        assert row.tokens == 2
        assert row.scorer == real.checkpoint.name


def test_one_scorer_tells_a_chain_that_carries_from_one_that_decorates(tmp_path):
    scorer = yes_no_model(tmp_path, reads_chain=True)
    prompts, chains = yes_no_items(8)
    empty = [Chain.of(c.prompt_id, ["so so"] * len(c.steps), "yes") for c in chains]
    items = []
    for model, given_chains in (("R", chains), ("B", empty)):
        asked = gain_trials(prompts, given_chains, scorer.tokenizer, arms=("own",), suffix="over")
        items.append(information_gain(scored_steps(scorer, asked)).assign(model=model))
    table = gain_table(
        pd.concat(items), units=["pair_id"], against="B", measures=("gain", "steps"), n_boot=50
    ).set_index(["model", "against", "measure"])
    assert abs(table.loc[("B", "", "gain"), "estimate"]) < 1e-6
    assert table.loc[("R", "B", "gain"), "lo"] > 1
    assert table.loc[("R", "B", "steps"), "estimate"] == 0


def test_the_scorer_is_one_and_none_of_those_who_wrote_the_chains():
    prompts = pd.concat([information_gain(scored([-2.0, -1.0], prompt=f"p{n}")) for n in range(2)])
    for scorers, models in ((["S", "T"], ["R", "R"]), (["B", "B"], ["B", "B"])):
        with pytest.raises(InputError, match="expected one scorer that is none of these models"):
            gain_table(prompts.assign(scorer=scorers, model=models), units=["pair_id"])
    table = gain_table(prompts.assign(scorer="S", model="R"), units=["pair_id"], n_boot=5)
    assert table.query("measure == 'gain'")["estimate"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.drop(columns="tokens"), "lack the column tokens"),
        (lambda t: t[t["step"] != 1], "prompt p0, arm own: step 2 with 2 tokens"),
        (lambda t: t.assign(tokens=[2, 2, 3]), "one number of answer tokens"),
        (lambda t: t.assign(tokens=0), "with 0 tokens"),
        (lambda t: t.assign(logprob=[-1, -np.inf, -1]), "step 1 .* log probability -inf"),
        (lambda t: t.assign(logprob=np.nan), "finite log probabilities"),
        (lambda t: t[t["step"] == 0], "expected steps 0, 1"),
    ],
)
def test_bad_scores_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        information_gain(change(scored([-3.0, -2.0, -1.0])))


def test_bad_chains_and_arms_are_refused(real):
    prompts, chains = sums(2)
    with pytest.raises(InputError, match="arms are \\['reversed'\\]"):
        gain_trials(prompts, chains, TOKENIZER, arms=("own", "reversed")[1:])
    with pytest.raises(InputError, match="chain of prompt s9: no such prompt"):
        gain_trials(prompts, [Chain.of("s9", ["a"], "b")], TOKENIZER)
    with pytest.raises(InputError, match="chain of prompt s0: two of sample 0"):
        gain_trials(prompts, [chains[0], chains[0]], TOKENIZER)
    with pytest.raises(InputError, match="chains: none"):
        gain_trials(prompts, [], TOKENIZER)
    long = Chain.of("s0", ["so"] * 50, "yes")
    asked = gain_trials(prompts, [long], real.tokenizer, arms=("own",), suffix="over")
    with pytest.raises(InputError, match=r"prompt s0/0/\d+: 4\d tokens, but .* at most 40"):
        scored_steps(real, asked)
