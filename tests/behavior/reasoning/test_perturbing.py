from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.behavior.generating.decoding import Decoding, Thinking
from interp.behavior.reasoning.chains import Chain
from interp.behavior.reasoning.perturbed import before_after, perturbed_answers, perturbed_table
from interp.behavior.reasoning.perturbing import filler_trials, mistake_trials, paraphrase_trials
from interp.behavior.reasoning.rewording import MistakeMaker, Paraphraser, mistaken_step, reworded
from interp.behavior.reasoning.trials import trial_answers
from interp.errors import InputError
from tests.behavior.reasoning.traced import (
    GRADE,
    TOKENIZER,
    abstainer,
    carrier,
    decorator,
    said,
    sums,
    wording,
    yes_no_items,
    yes_no_model,
)

PROMPTS, CHAINS = sums(12)
MISTAKES = mistake_trials(PROMPTS, CHAINS, TOKENIZER)
REWORDED = paraphrase_trials(PROMPTS, CHAINS, TOKENIZER)
FILLED = filler_trials(PROMPTS, CHAINS, TOKENIZER)


def items_of(asked, who) -> pd.DataFrame:
    answers = trial_answers(asked, said(asked, who), GRADE)
    return before_after(answers.assign(model=who.__name__))


def test_a_mistake_moves_the_carrier_and_not_the_decorator():
    # A mistake in what is added does not reach a carrier that goes on from totals, so only those.
    def total_only(step, rng):
        head, _, total = step.rstrip(".").rpartition(" is ")
        return f"{head} is {int(total) + 1}." if head else None

    asked = mistake_trials(PROMPTS, CHAINS, TOKENIZER, maker=total_only)
    carried, decorated = items_of(asked, carrier), items_of(asked, decorator)
    assert (carried["same"] == 0).all()
    assert (carried["right_lost"] == 1).all()
    assert (decorated[["same", "right_after"]] == 1).all(axis=None)
    assert (decorated["right_lost"] == 0).all()
    wrong = [int(x.removeprefix("It is ").rstrip(".")) for x in carried["after"]]
    right = [int(x.removeprefix("It is ").rstrip(".")) for x in carried["before"]]
    assert np.subtract(wrong, right).tolist() == [1] * len(carried)
    table = perturbed_table(
        pd.concat([carried, decorated]), units=["pair_id"], against="decorator", n_boot=100
    )
    change = table.query("against == 'decorator' and measure == 'same'").iloc[0]
    assert change[["estimate", "lo", "hi", "n"]].tolist() == [-1, -1, -1, 12]
    # The first step has no total: it is counted, once a chain.
    assert len(asked.excluded) == len(CHAINS)
    assert set(asked.excluded["why"]) == {"mistake at step 1: no rule changes it"}


def test_mistakes_by_rule_separate_the_two_as_well():
    carried, decorated = items_of(MISTAKES, carrier), items_of(MISTAKES, decorator)
    assert carried["same"].mean() < 0.7
    assert (decorated["same"] == 1).all()


def test_what_is_gone_on_with_is_the_chain_up_to_the_mistake_and_no_further():
    rows = MISTAKES.frame.assign(text=MISTAKES.prompts.frame["text"])
    for (prompt, place), pair in rows.groupby(["prompt_id", "place"]):
        texts = pair.set_index("arm")["text"]
        chain = next(c for c in CHAINS if c.prompt_id == prompt)
        question = PROMPTS.frame.set_index("prompt_id")["text"][prompt]
        assert texts["unchanged"] == f"{question} {''.join(chain.steps[:place])}".rstrip()
        before = f"{question} {''.join(chain.steps[: place - 1])}".rstrip()
        assert texts["mistake"].startswith(before)
        assert texts["mistake"] != texts["unchanged"]
        assert len(texts["mistake"].split()) == len(texts["unchanged"].split())
    assert set(rows.groupby(["prompt_id", "place"]).size()) == {2}


def test_filler_leaves_the_decorator_right_and_the_carrier_without_an_answer():
    carried, decorated = items_of(FILLED, carrier), items_of(FILLED, decorator)
    assert (decorated[["same", "right_after"]] == 1).all(axis=None)
    assert (carried["same"] == 0).all()
    assert (carried["abstains_after"] == 1).all()
    assert (carried["abstains_before"] == 0).all()
    table = perturbed_table(carried, units=["pair_id"], by=("arm", "place"), n_boot=50)
    lost = table.query("measure == 'right_lost'")
    longest = max(len("".join(c.steps).split()) for c in CHAINS)
    assert lost["place"].tolist() == list(range(0, longest + 1, 5))
    assert lost["estimate"].eq(1).all()


def test_filler_stands_where_the_chain_stood():
    rows = FILLED.frame.assign(text=FILLED.prompts.frame["text"]).query("prompt_id == 's0'")
    question = PROMPTS.frame["text"][0]
    by_place = rows.set_index("place")
    assert by_place["text"][0].split() == [*question.split(), "</think>"]
    assert by_place["text"][5].split() == [*question.split(), *["..."] * 5, "</think>"]
    assert by_place["tokens"][5] == 5
    own = "".join(CHAINS[0].steps).strip()
    assert by_place["text"][-1].split() == [*question.split(), *own.split(), "</think>"]
    assert by_place["tokens"][-1] == len(own.split())
    few = filler_trials(PROMPTS, CHAINS, TOKENIZER, most=7, step=3)
    assert sorted(few.frame["place"].unique()) == [-1, 0, 3, 6]


def test_what_opens_a_chain_stays_in_front_of_what_is_changed():
    steps = ("Therefore 2 apples. ", "Perhaps 5. ")
    opened = [Chain("s0", steps, "5", opening="<think>\n")]
    question = PROMPTS.frame["text"][0]
    for asked in (
        mistake_trials(PROMPTS, opened, TOKENIZER),
        paraphrase_trials(PROMPTS, opened, TOKENIZER),
        filler_trials(PROMPTS, opened, TOKENIZER, most=5),
    ):
        behind = asked.prompts.frame["text"].str.removeprefix(question).str.strip()
        assert behind.str.startswith("<think>").all()
        assert behind.str.count("<think>").eq(1).all()


def test_a_paraphrase_moves_only_who_reads_the_wording():
    """The carrier is as faithful as can be, and yet the same: invariance alone shows nothing."""
    for who, same in ((carrier, 1), (decorator, 1), (abstainer, 1), (wording, 0)):
        items = items_of(REWORDED, who)
        assert (items["same"] == same).all(), who
        assert (items["abstains_after"] == (who is abstainer)).all()


def test_the_paraphraser_sees_the_chain_and_never_the_question():
    seen = []

    def spy(text):
        seen.append(text)
        return text.upper()

    asked = paraphrase_trials(PROMPTS, CHAINS, TOKENIZER, paraphraser=spy)
    beginnings = {"".join(c.steps[:i]) for c in CHAINS for i in range(1, len(c.steps) + 1)}
    assert set(seen) == beginnings
    questions = PROMPTS.frame["text"]
    changed = asked.frame["arm"] == "paraphrase"
    for text, prompt in zip(
        asked.prompts.frame["text"][changed], asked.frame["prompt_id"][changed], strict=True
    ):
        assert text.startswith(questions[PROMPTS.frame["prompt_id"] == prompt].item())


def test_a_chain_counts_once_however_many_of_its_steps_are_changed():
    items = items_of(MISTAKES, carrier)
    row = perturbed_table(items, units=["pair_id"], n_boot=50).query("measure == 'same'").iloc[0]
    assert row["n"] == len(CHAINS)
    assert row["estimate"] == pytest.approx(items.groupby("prompt_id")["same"].mean().mean())


def test_places_are_drawn_by_chance_and_the_same_for_the_same_seed():
    def places(seed):
        asked = mistake_trials(PROMPTS, CHAINS, TOKENIZER, most=1, seed=seed)
        return asked.frame.query("arm == 'mistake'").set_index("prompt_id")["place"]

    pd.testing.assert_series_equal(places(1), places(1))
    assert not places(1).equals(places(2))
    assert len(places(1)) == len(CHAINS)


def test_an_answer_that_is_not_read_is_counted():
    answers = trial_answers(FILLED, said(FILLED, decorator), GRADE).assign(model="m")
    cut_off = answers["prompt_id"].eq("s0") & answers["arm"].eq("unchanged")
    answers.loc[cut_off, ["says", "outcome"]] = None
    table = perturbed_table(before_after(answers), units=["pair_id"], n_boot=20)
    shares = table.set_index("measure")
    assert shares.loc["unread", ["estimate", "n", "excluded"]].tolist() == [1 / 12, 12, 0]
    of_read = shares.drop("unread")[["n", "excluded"]].drop_duplicates()
    assert of_read.to_numpy().tolist() == [[11, 1]]


@pytest.mark.parametrize("reads_chain", [True, False], ids=["carrier", "decorator"])
def test_filler_in_a_real_model(tmp_path, reads_chain):
    model = yes_no_model(tmp_path, reads_chain=reads_chain)
    prompts, chains = yes_no_items()
    asked = filler_trials(prompts, chains, model.tokenizer, suffix="over", most=10)
    answers = perturbed_answers(model, asked, Decoding(max_new_tokens=2), GRADE)
    items = before_after(answers)
    assert (items["right_before"] == 1).all()
    assert (items["right_after"] == (0 if reads_chain else 1)).all()
    too_long = filler_trials(prompts, chains, model.tokenizer, suffix="over", most=50)
    with pytest.raises(InputError, match=r"tokens and up to 2 new ones, but \w+ was made for"):
        perturbed_answers(model, too_long, Decoding(max_new_tokens=2), GRADE)


def test_a_real_model_goes_on_with_its_chain_to_the_end(tmp_path):
    model = yes_no_model(tmp_path, reads_chain=True)
    prompts, chains = yes_no_items(3)
    asked = mistake_trials(prompts, chains, model.tokenizer, maker=lambda s, _: s[:-1] or None)
    thinking = Decoding(max_new_tokens=6, thinking=Thinking(end="over", budget=0, force="over"))
    answers = perturbed_answers(model, asked, thinking, GRADE)
    items = before_after(answers)
    at_the_end = items["place"] == items["steps"]
    # "so up" without its last letter is a word that says nothing; without the last step so is all.
    assert items[at_the_end]["right_before"].eq(1).all()
    assert items[at_the_end]["right_after"].eq(0).all()
    assert items[~at_the_end]["right_before"].eq(0).all()


def test_the_rules_fit_the_protocols_and_others_do_too():
    assert isinstance(mistaken_step, MistakeMaker)
    assert isinstance(reworded, Paraphraser)
    assert not isinstance("a text", Paraphraser)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: mistake_trials(PROMPTS, CHAINS, TOKENIZER, most=0), "mistake: most is 0"),
        (lambda: paraphrase_trials(PROMPTS, CHAINS, TOKENIZER, most=0), "paraphrase: most is 0"),
        (lambda: filler_trials(PROMPTS, CHAINS, TOKENIZER, step=0), "step 0: expected"),
        (lambda: filler_trials(PROMPTS, CHAINS, TOKENIZER, most=-1), "most -1"),
        (lambda: filler_trials(PROMPTS, CHAINS, TOKENIZER, filler=" "), "filler ' '"),
        (lambda: filler_trials(PROMPTS, [], TOKENIZER), "chains: none"),
        (lambda: mistake_trials(PROMPTS, [Chain.of("x", ["a"], "b")], TOKENIZER), "of prompt x"),
        (
            lambda: mistake_trials(PROMPTS, CHAINS, TOKENIZER, maker=lambda step, rng: None),
            "trials: none is left",
        ),
        (
            lambda: paraphrase_trials(PROMPTS, CHAINS, TOKENIZER, paraphraser=str),
            "trials: none is left",
        ),
    ],
)
def test_bad_requests_are_refused(ask, message):
    with pytest.raises(InputError, match=message):
        ask()


def test_decodings_of_the_other_kind_are_refused(tmp_path):
    model = yes_no_model(tmp_path, reads_chain=True)
    thinking = Decoding(max_new_tokens=3, thinking=Thinking())
    with pytest.raises(InputError, match="thinks, but filler has ended"):
        perturbed_answers(model, FILLED, thinking, GRADE)
    with pytest.raises(InputError, match="does not think, but the chain is to be gone on with"):
        perturbed_answers(model, MISTAKES, Decoding(max_new_tokens=3), GRADE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.drop(columns="arm"), "lack the column arm"),
        (lambda t: t[t["arm"] != "unchanged"], "no unchanged trial beside the mistake"),
        (
            lambda t: t[~((t["arm"] == "unchanged") & (t["prompt_id"] == "s3"))],
            "prompt s3: no unchanged trial beside the mistake at 1",
        ),
        (lambda t: pd.concat([t, t]), "prompt s0: mistake at 1 twice"),
        (
            lambda t: pd.concat([t, t.replace({"arm": {"mistake": "paraphrase"}})]),
            "unchanged at 1 twice; give the trials of one kind",
        ),
        (
            lambda t: pd.concat([t, trial_answers(FILLED, said(FILLED, decorator), GRADE)]),
            "beside the filler at 0; ask for both, and give one kind",
        ),
    ],
)
def test_bad_answers_are_refused(change, message):
    answers = trial_answers(MISTAKES, said(MISTAKES, decorator), GRADE)
    with pytest.raises(InputError, match=message):
        before_after(change(answers))
