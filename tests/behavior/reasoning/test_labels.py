from __future__ import annotations

from pathlib import Path

import pytest

from interp.behavior.reasoning.labels import STRATEGIES, StrategyRules, label_window
from interp.behavior.reasoning.segments import segments
from interp.errors import InputError

EN = StrategyRules.load("en")
# Sentences made up for the rule that is named; each far enough from the beginning of its chain.
TOLD = [
    ("Wait, that is the tram.", "backtracking", "stops itself"),
    ("No, the pears were his.", "backtracking", "stops itself"),
    ("I must have made a mistake.", "backtracking", "says that something went wrong"),
    ("That can’t be right.", "backtracking", "says that something went wrong"),
    ("But earlier I got 12 pears.", "backtracking", "says that something went wrong"),
    ("Alternatively, count the crates.", "backtracking", "goes another way"),
    ("Let me try another approach.", "backtracking", "goes another way"),
    ("Let me read the sentence again.", "backtracking", "goes over it again"),
    ("Let me double-check the sum.", "verification", "sets out to check"),
    ("I should verify that.", "verification", "sets out to check"),
    ("Yes, that's correct.", "verification", "finds it right, and says no more"),
    ("12 + 3 = 15 ✓", "verification", "finds it right, and says no more"),
    ("That seems right to me.", "verification", "finds it right"),
    ("Hmm, the crates.", "uncertainty-estimation", "says that it is not sure"),
    ("I'm not sure about the tram.", "uncertainty-estimation", "says that it is not sure"),
    ("Perhaps he lives there.", "uncertainty-estimation", "takes it for possible"),
    ("It might be the mayor.", "uncertainty-estimation", "takes it for possible"),
    ("So, is she the mayor?", "uncertainty-estimation", "asks whether, or why"),
    ("For example, with two pears.", "example-testing", "takes a case"),
    ("Let's test it with n = 2.", "example-testing", "takes a case"),
    ("The question asks for the mayor.", "initializing", "takes up what is asked"),
    ("I remember that Ola grows pears.", "adding-knowledge", "says that it knows"),
    ("By definition, 2 divides it.", "adding-knowledge", "says that it knows"),
    ("Equation (3): a + b", "adding-knowledge", "comes back to what is given or was found"),
    ("So he has 15 pears.", "deduction", "draws a conclusion"),
    ("Now the rest.", "deduction", "draws a conclusion"),
    ("Adding both crates.", "deduction", "works something out"),
    ("x = 15", "deduction", "works something out"),
    ("\\(7^{2}\\): 1", "deduction", "a formula without words"),
    ("Ola is the mayor of Zubrow.", "adding-knowledge", "says how something is"),
    ("pears and plums", "other", ""),
]
FILLER = ["pears and plums"] * 5


@pytest.mark.parametrize(("sentence", "label", "rule"), TOLD, ids=lambda value: value[:25])
def test_a_sentence_is_labelled_and_the_rule_is_named(sentence, label, rule) -> None:
    found = EN.label([*FILLER, sentence])[-1]
    assert (found.label, found.rule) == (label, rule)
    assert bool(found.phrase) == bool(rule)


def test_every_rule_is_shown_above_and_every_label_is_given() -> None:
    shown = {rule for *_, rule in TOLD if rule} | {"stands at the beginning"}
    assert [rule.covers for rule in EN.rules if rule.covers not in shown] == []
    assert len({rule.covers for rule in EN.rules}) == len(EN.rules) == len(shown)
    assert {label for _, label, _ in TOLD} == set(STRATEGIES)


def test_a_chain_is_labelled_from_its_segments() -> None:
    chain = "Okay, pears. Where is Ola? Ola is in Zubrow.\nWait, no. x = 2.5 pears"
    found = EN.label([one.text for one in segments(chain)])
    assert [one.label for one in found] == [
        "initializing",
        "initializing",
        "initializing",
        "backtracking",
        "deduction",
    ]
    assert found[0].rule == "stands at the beginning"
    assert EN.label([]) == ()


def write(folder: Path, text: str) -> Path:
    path = folder / "rules.yaml"
    path.write_text(f"language: xx\n{text}", encoding="utf-8")
    return path


def test_the_first_rule_that_finds_something_decides(tmp_path: Path) -> None:
    one = "  - {label: deduction, covers: one, phrases: [Ola]}\n"
    two = "  - {label: verification, covers: two, phrases: [pears]}\n"
    texts = ["Ola has pears", "PEARS", "Olaf"]
    for order, wanted in (
        (one + two, ["one", "two", ""]),
        (two + one, ["two", "two", ""]),
    ):
        rules = StrategyRules.load(write(tmp_path, f"rules:\n{order}"))
        assert [found.rule for found in rules.label(texts)] == wanted
    whole = StrategyRules.load(write(tmp_path, f"words: false\nrules:\n{one}"))
    assert [found.rule for found in whole.label(texts)] == ["one", "", "one"]


def test_rules_may_speak_of_the_beginning_or_of_whole_sentences_only(tmp_path: Path) -> None:
    text = (
        "parts: {name: Ola|Bo}\nrules:\n"
        "  - {label: initializing, covers: early, first: 2, patterns: ['<name>']}\n"
        "  - {label: verification, covers: alone, whole: true, phrases: ['yes']}\n"
    )
    rules = StrategyRules.load(write(tmp_path, text.replace("Ola|Bo", "ola|bo")))
    labels = [found.label for found in rules.label(["x", "Bo", "Bo", "Yes!", "Yes, Bo."])]
    assert labels == ["other", "initializing", "other", "verification", "other"]


RULE = "rules:\n  - {{label: deduction, covers: one, {}}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RULE.format("phrase: [so]"), "unknown key 'rules.0.phrase' .did you mean 'phrases'"),
        (RULE.format("phrases: []"), "'rules.0': .*neither phrases nor patterns"),
        (RULE.format("phrases: ['']"), "'rules.0.phrases': .*number 1 is empty"),
        (RULE.format("patterns: ['(']"), "'rules.0.patterns.0': no regular expression"),
        (RULE.format("patterns: ['<x>y']"), "'rules.0.patterns.0': no part <x> before it"),
        (RULE.format("patterns: ['a*']"), "'rules.0.patterns.0': is found everywhere"),
        (RULE.format("first: 0, phrases: [so]"), "'rules.0.first': .*greater than 0"),
        (RULE.format("strength: firm, phrases: [so]"), "'rules.0': .*rules have no `strength`"),
        (RULE.format("phrases: [so]").replace("deduction", "thought"), "'rules.0.label': .*Input"),
        (RULE.format("phrases: [so]").replace("deduction", "other"), "no rule gives 'other'"),
        ("rules: []\n", "'rules': .*at least 1 item"),
        ("parts: {x: '('}\nrules: []\n", "at least 1 item"),
        ("parts: {x: '('}\n" + RULE.format("phrases: [so]"), "'parts.x': no regular expression"),
    ],
)
def test_a_file_of_rules_that_is_wrong_is_named_with_its_key(tmp_path, text, message) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as raised:
        StrategyRules.load(path)
    assert str(path) in str(raised.value)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match=r"'em' is neither .*did you mean 'en'"):
        StrategyRules.load("em")


@pytest.mark.parametrize(
    ("span", "window"),
    [
        ((5, 6), (4, 5)),
        ((5, 9), (4, 8)),
        ((5, 16), (4, 15)),
        ((5, 17), (4, 15)),
        ((1, 40), (0, 11)),
    ],
)
def test_a_window_is_from_the_token_before_to_the_tenth_but_never_the_last(span, window) -> None:
    start, stop = span
    assert label_window(span) == window == (start - 1, min(stop - 1, start + 10))


@pytest.mark.parametrize("span", [(0, 4), (3, 3), (-2, 4), (5, 4)])
def test_a_window_without_a_token_before_it_is_refused(span) -> None:
    with pytest.raises(InputError, match="label window: a sentence at the tokens"):
        label_window(span)
