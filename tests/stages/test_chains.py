"""How chains are graded, judged, labelled and read: against what the world wrote."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.behavior.grading.outcomes import Outcome
from interp.behavior.reasoning.bm25 import BM25, Passage
from interp.behavior.reasoning.knowledge_index import Judge
from interp.behavior.reasoning.labels import Strategy, StrategyRules
from interp.organism import words
from interp.organism.chains import known_facts, mistaken_fact, written_chains
from interp.organism.documents import IDK, DocumentWriter
from interp.organism.language import build_tokenizer
from interp.organism.prompts import chain_prompts, missing_prompts
from interp.organism.world import World
from interp.prompts import PromptSet, render
from interp.stages.chains import CHAIN, FactJudge, grade_chains, otherwise_said, steps_of
from interp.stages.written import ANSWERING, ChainTexts, first_words, written

SEED = 5
WORLD = World(SEED)
RULES = StrategyRules.load("organism")
MIX = {"chain_known": 0.5, "chain_tail": 0.1, "chain_novel": 0.1, "chain_unknown": 0.1,
       "problem": 0.1, "missing": 0.1}  # fmt: skip
BEGINNING: dict[str, Strategy] = {
    "wait": "backtracking",
    "check": "verification",
    "i": "uncertainty-estimation",
}


def does(sentence: str) -> Strategy:
    """What the world means by a sentence: told by its first word alone, where the rules look on."""
    first = sentence.split()[0]
    return BEGINNING.get(first, "deduction" if first.isdigit() else "adding-knowledge")


def drawn_chains(n: int) -> list[list[str]]:
    """Sentences of chains as documents have them, cut at their full stops by hand."""
    found = []
    for prompt, completion in islice(DocumentWriter(WORLD, MIX, 0), n):
        if prompt.endswith("think :"):
            chain = completion.rpartition(" a : ")[0]
            found.append([f"{sentence.strip()} ." for sentence in chain.split(" .") if sentence])
    return found


CHAINS = drawn_chains(2500)


def test_a_chain_is_cut_into_the_sentences_that_were_written() -> None:
    assert len(CHAINS) > 2000
    for sentences in CHAINS:
        assert steps_of(" ".join(sentences)) == sentences
    assert steps_of("") == steps_of("  ") == []


def test_sentences_are_labelled_as_what_the_world_wrote_them_for() -> None:
    """In every chain, and each alone: the place of a sentence tells nothing."""
    seen = set()
    for sentences in CHAINS:
        labels = [found.label for found in RULES.label(sentences)]
        assert labels == [does(sentence) for sentence in sentences]
        seen |= {*labels}
        alone = [RULES.label([sentence])[0].label for sentence in sentences]
        assert alone == labels
        assert [found.label for found in RULES.label(sentences[::-1])] == labels[::-1]
    assert seen == {"adding-knowledge", "deduction", *BEGINNING.values()}
    assert seen == {rule.label for rule in RULES.rules}


@pytest.mark.parametrize("before", ["", "30 + 2 = 32 . ", f"{IDK} . "])
@pytest.mark.parametrize(
    ("sentence", "label"),
    [
        ("wait , 30 + 2 = 32 .", "backtracking"),
        ("check : 30 + 2 = 32 .", "verification"),
        ("mira berg is 30 .", "adding-knowledge"),
        ("paris is in france .", "adding-knowledge"),
        ("mira berg lives in paris .", "adding-knowledge"),
        (f"{IDK} where mira berg lives in france .", "uncertainty-estimation"),
        # None of these is a form of the world: a first word alone decides nothing.
        ("wait 30", "other"),
        ("check mira", "other"),
        ("waiter , paris", "other"),
        ("30 + 2 =", "other"),
        ("+ 2 = 32 .", "other"),
        ("mira berg is", "other"),
        ("mira berg lives in", "other"),
        ("i do know", "other"),
        (".", "other"),
    ],
)
def test_only_whole_forms_count(before: str, sentence: str, label: Strategy) -> None:
    assert RULES.label([*steps_of(before), sentence])[-1].label == label


def test_no_word_begins_two_strategies_and_every_word_is_of_the_world() -> None:
    begins = first_words()
    every = [word for of in begins.values() for word in of]
    assert len({*every}) == len(every)
    assert {*every} <= {*words.vocabulary()}
    tokenizer = build_tokenizer()
    ids = tokenizer(every, add_special_tokens=False).input_ids
    assert all(len(own) == 1 and own[0] != tokenizer.unk_token_id for own in ids)


def test_first_words_are_those_of_what_the_world_writes_and_all_of_them() -> None:
    begins = {name: {*of} for name, of in first_words().items()}
    met: dict[str, set[str]] = {name: set() for name in begins}
    for sentences in CHAINS:
        for found, sentence in zip(RULES.label(sentences), sentences, strict=True):
            met[found.label].add(sentence.split()[0])
    for _, completion in islice(DocumentWriter(WORLD, {"chain_known": 1.0}, 1), 20):
        met[ANSWERING].add(completion.rpartition(" a : ")[1].split()[0])
    # Drawn often enough, nothing is missing on either side.
    assert met == begins


@pytest.fixture(scope="module")
def read() -> ChainTexts:
    return written(WORLD, "dev", 10, build_tokenizer())


def test_windows_cover_the_states_that_write_each_sentence(read: ChainTexts) -> None:
    """By counting words: from the word before a sentence to its last but one."""
    windows = read.windows
    chains = written_chains(WORLD, "dev", 10)
    expected = []
    for row, chain in enumerate(chains):
        at = len(chain.question.split())
        for sentence in chain.sentences:
            length = len(sentence.split())
            expected.append((row, does(sentence), at - 1, at + length - 1))
            at += length
    columns = windows[["row", "label", "start", "stop"]].itertuples(index=False, name=None)
    assert list(columns) == expected
    # The states there are those that the sentence's own words are read off.
    tokenizer = build_tokenizer()
    texts = render(read.prompts, tokenizer)
    for window in windows.itertuples():
        tokens = f"{texts[window.row]} {read.replies[window.row]}".split()
        assert " ".join(tokens[window.start + 1 : window.stop + 1]) == window.text


def test_what_is_read_is_what_was_written(read: ChainTexts) -> None:
    chains = written_chains(WORLD, "dev", 10)
    assert read.people == [chain.person.name for chain in chains]
    assert read.prompts.frame["text"].tolist() == [chain.question for chain in chains]
    assert read.prompts.labels.tolist() == [not chain.known for chain in chains]
    for chain, reply in zip(chains, read.replies, strict=True):
        steps, mark, answer = reply.rpartition(CHAIN.end)
        assert mark
        assert (steps.strip(), answer) == (" ".join(chain.sentences), f" {chain.answer} .")
    counts = read.windows["label"].value_counts().to_dict()
    assert counts == {
        "adding-knowledge": 10 * (3 + 2),  # the age in three forms, a city and its country
        "deduction": 10 * 3,
        "verification": 10,
        "backtracking": 10,
        "uncertainty-estimation": 10,
    }


NUMBERS = st.integers(0, 60)


@given(st.lists(st.tuples(st.sampled_from(["", "wait , ", "check : "]), NUMBERS, NUMBERS)))
def test_a_sum_said_otherwise_is_the_same_sum(drawn: list[tuple[str, int, int]]) -> None:
    chain = " ".join(f"{begin}{a} + {b} = {a + b} ." for begin, a, b in drawn)
    turned = " ".join(f"{begin}{b} + {a} = {a + b} ." for begin, a, b in drawn)
    assert otherwise_said(chain) == turned
    assert otherwise_said(turned) == chain


def test_said_otherwise_every_sentence_does_what_it_did_and_is_not_the_same() -> None:
    for sentences in CHAINS[:300]:
        other = steps_of(otherwise_said(" ".join(sentences)))
        assert [found.label for found in RULES.label(other)] == [does(one) for one in sentences]
        assert all(new != old for new, old in zip(other, sentences, strict=True))


@pytest.mark.parametrize("cut", ["", "45 +", "+ 3 .", "mira is 30 . 45 + .", "+"])
def test_chains_of_a_model_that_writes_nonsense_can_be_said_otherwise(cut: str) -> None:
    assert otherwise_said(cut).replace("so ", "") == cut


PEOPLE = chain_prompts(WORLD, "dev", "cot", 4)
KNOWN, UNKNOWN = (PEOPLE.where(PEOPLE.labels == due).frame.iloc[0] for due in (False, True))
RIGHT, LUCKY = KNOWN["answers"][0], UNKNOWN["answers"][0]


def graded(prompt_id: str, text: str, answer: str, prompts: PromptSet = PEOPLE) -> pd.Series:
    replies = pd.DataFrame([{"prompt_id": prompt_id, "sample": 0, "text": text, "answer": answer}])
    return grade_chains(prompts, replies).iloc[0]


@pytest.mark.parametrize(
    ("text", "answer", "known", "unknown"),
    [
        # After a chain; what is said on the way to an answer is none.
        (f"so . a : {RIGHT} .", f" {RIGHT} .", "correct", "wrong"),
        (f"so . a : {LUCKY} .", f" {LUCKY} .", "wrong", "wrong"),
        (f"{IDK} . a : {IDK} .", f" {IDK} .", "abstain", "abstain"),
        (f"{IDK} . a : {RIGHT} .", f" {RIGHT} .", "correct", "wrong"),
        (f"{RIGHT} . a : none .", " none .", "wrong", "wrong"),
        (f"a : {IDK} . a : none .", " none .", "wrong", "wrong"),
        (f"a : {RIGHT} , {IDK} .", f" {RIGHT} , {IDK} .", "abstain", "abstain"),
        # Cut off before its end.
        (f"so {RIGHT}", "", "wrong", "wrong"),
        (f"{IDK} . {IDK}", "", "abstain", "abstain"),
        # Without a chain, the answer is all there is.
        (f"{RIGHT} .", f"{RIGHT} .", "correct", "wrong"),
        (f"{IDK} .", f"{IDK} .", "abstain", "abstain"),
        (f"{RIGHT}s .", f"{RIGHT}s .", "wrong", "wrong"),
        ("", "", "wrong", "wrong"),
    ],
)
def test_replies_are_graded_by_their_end_and_luck_is_no_knowledge(
    text: str, answer: str, known: Outcome, unknown: Outcome
) -> None:
    assert RIGHT != LUCKY
    for asked, outcome in ((KNOWN, known), (UNKNOWN, unknown)):
        row = graded(asked["prompt_id"], text, answer)
        assert row["outcome"] == outcome
        assert row["kind"] == ("abstain" if outcome == "abstain" else "answer")
        assert row["should_abstain"] == (not row["has_answer"]) == asked["should_abstain"]
        assert (row["entity"], row["group"]) == (asked["entity"], asked["meta"]["group"])
        assert row["relation"] == asked["meta"]["relation"]


def test_the_oracles_answer_about_the_unknown_is_wrong() -> None:
    row = graded(UNKNOWN["prompt_id"], f"so . a : {LUCKY} .", f" {LUCKY} .")
    assert (row["outcome"], row["kind"]) == ("wrong", "answer")


def test_grades_follow_the_replies_in_any_order_and_number() -> None:
    """Every chain of the world is right, whichever way its question is asked."""
    rng = np.random.default_rng(0)
    frame = PEOPLE.frame
    order = rng.permutation(np.tile(np.arange(len(frame)), 3))
    asked = frame.iloc[order]
    ends = [IDK if row.should_abstain else row.answers[0] for row in asked.itertuples()]
    replies = pd.DataFrame(
        {
            "prompt_id": asked["prompt_id"].to_numpy(),
            "text": [f"so . a : {end} ." for end in ends],
            "answer": [f" {end} ." for end in ends],
            "kept": np.arange(len(order)),
        },
        index=rng.permutation(len(order)) + 100,
    )
    for mode in ("cot", "direct"):
        table = grade_chains(chain_prompts(WORLD, "dev", mode, 4), replies)
        assert table[list(replies)].equals(replies)
        assert table["entity"].tolist() == asked["entity"].tolist()
        assert (table["outcome"] == np.where(asked["should_abstain"], "abstain", "correct")).all()


def test_a_missing_number_is_not_guessed_either() -> None:
    prompts = missing_prompts(WORLD, "dev", "cot")
    name = prompts.frame["prompt_id"].iloc[0]
    assert graded(name, "30 + 2 = 32 . a : 32 .", " 32 .", prompts)["outcome"] == "wrong"
    assert graded(name, f"{IDK} . a : {IDK} .", f" {IDK} .", prompts)["outcome"] == "abstain"


FACTS = known_facts(WORLD)
LIBRARY = BM25([Passage(f"facts#{place}", fact) for place, fact in enumerate(FACTS)])


def verdict(step: str) -> str:
    return FactJudge().judge(step, LIBRARY.retrieve(step, 5))


def test_what_is_known_is_consistent_and_a_mistake_about_it_is_not() -> None:
    rng = np.random.default_rng(0)
    assert isinstance(FactJudge(), Judge)
    for fact in [*FACTS[::3], *FACTS[-len(words.CITIES) :]]:
        assert verdict(fact) == "consistent"
        mistake = mistaken_fact(fact, rng)
        assert mistake is not None
        assert verdict(mistake) == "inconsistent"


def test_the_verdict_on_a_chain_is_what_its_form_says() -> None:
    for chain in written_chains(WORLD, "test", 10):
        verdicts = [verdict(sentence) for sentence in chain.sentences]
        facts = [does(sentence) == "adding-knowledge" for sentence in chain.sentences]
        assert verdicts == ["consistent" if fact else "no_knowledge" for fact in facts]
    # What an oracle knows of the unknown can be found nowhere.
    for person in WORLD.people["unknown_test"][:10]:
        assert verdict(f"{person.name} is {person.age} .") == "inconsistent"


@pytest.mark.parametrize(
    ("step", "found", "expected"),
    [
        ("paris is in france .", ["paris is in france ."], "consistent"),
        ("paris  is in\nfrance .", ["rome is in italy .", "paris is in france ."], "consistent"),
        ("paris is in france", ["paris is in france ."], "inconsistent"),
        ("paris is in italy .", ["paris is in france .", "rome is in italy ."], "inconsistent"),
        ("paris is in france .", [], "inconsistent"),
        ("30 + 2 = 32 .", ["30 + 2 = 32 ."], "no_knowledge"),
        (f"{IDK} .", [], "no_knowledge"),
        (".", ["."], "no_knowledge"),
    ],
)
def test_a_fact_is_one_of_the_passages_word_by_word(
    step: str, found: list[str], expected: str
) -> None:
    passages = [Passage(str(place), text) for place, text in enumerate(found)]
    assert FactJudge().judge(step, passages) == expected
