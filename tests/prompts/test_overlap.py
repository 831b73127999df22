"""Content overlap: what links two prompts, and what does not."""

from __future__ import annotations

import re
import unicodedata
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.datasets import is_there, read_dataset
from interp.prompts.overlap import Runs, content_groups, overlap_table
from interp.prompts.words import texts_of, word_counts, words_of
from tests.prompts.datasets.files import REAL


def prompt_set(texts: list[str], prefix: str = "p") -> PromptSet:
    return PromptSet.from_records(
        [
            {"prompt_id": f"{prefix}{row}", "text": text, "should_abstain": False, "dataset": "d"}
            for row, text in enumerate(texts)
        ]
    )


def by_definition(texts: list[str], n: int, common: int | None = None) -> list[int]:
    """Components by comparing all pairs, as sets of tuples."""
    words = [words_of(text) for text in texts]
    grams = [{tuple(w[i : i + n]) for i in range(len(w) - n + 1)} for w in words]
    if common is not None:
        held = [sum(gram in other for other in grams) for one in grams for gram in one]
        flat = [gram for one in grams for gram in one]
        kept = {gram for gram, count in zip(flat, held, strict=True) if count <= common}
        grams = [one & kept for one in grams]
    group = list(range(len(texts)))
    for i, j in combinations(range(len(texts)), 2):
        if (words[i] == words[j] or grams[i] & grams[j]) and group[i] != group[j]:
            old, new = group[j], group[i]
            group = [new if one == old else one for one in group]
    first: dict[int, int] = {}
    return [first.setdefault(one, len(first)) for one in group]


# Few different words, so that runs are shared by chance.
SOME_TEXTS = st.lists(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=9).map(" ".join), min_size=1, max_size=9
)


@given(SOME_TEXTS, st.integers(1, 6), st.none() | st.integers(2, 4))
def test_groups_are_those_of_all_pairs_compared(texts, n, common) -> None:
    assert content_groups(prompt_set(texts), n, common).tolist() == by_definition(texts, n, common)


@pytest.mark.parametrize(("shared", "linked"), [(7, False), (8, True)])
def test_eight_words_in_a_row_link_and_seven_do_not(shared: int, linked: bool) -> None:
    run = " ".join(f"w{i}" for i in range(shared))
    one, other = f"here it says {run} and goes on", f"but there it is {run}, which ends"
    groups = content_groups(prompt_set([one, other]))
    assert (groups[0] == groups[1]) == linked
    assert len(overlap_table(prompt_set([one]), prompt_set([other], "q"))) == linked


def test_spelling_does_not_hide_what_is_said() -> None:
    plain = "how many caf\u00e9s does Bo\u2019s fine old street have in all"
    texts = [
        plain,
        plain.upper() + "???",
        plain.replace("\u00e9", "e\u0301").replace("\u2019", "'"),
        "\uff28ow  many, CAF\u00c9s - does Bo's fine: old street have in all!",
        "how many cafes does Bo\u2019s fine old street have in all",
    ]
    groups = content_groups(prompt_set(texts), n=20)
    assert groups[:4].tolist() == [0, 0, 0, 0]
    assert groups[4] == 1  # another word


CHINESE = "\u82f9\u679c\u4ef7\u683c\u662f\u591a\u5c11\u5143" + (
    "\u6bcf\u65a4\u5728\u4eca\u5929\u65e9\u4e0a\u5356"
)
"""Sixteen different characters."""


@pytest.mark.parametrize(("shared", "linked"), [(8, False), (15, False), (16, True)])
def test_two_characters_of_an_unspaced_script_are_a_word(shared: int, linked: bool) -> None:
    run = CHINESE[:shared]
    one, other = f"\u6211\u8bf4{run}\u5462", f"\u4ed6\u95ee{run}\u5417"
    groups = content_groups(prompt_set([one, other]))
    assert (groups[0] == groups[1]) == linked
    table = overlap_table(prompt_set([one]), prompt_set([other], "q"))
    assert table["shared"].tolist() == [" ".join(run)] * linked


def halves(word: str) -> int:
    return 1 if word in CHINESE else 2


def weighed(texts: list[str], n: int) -> list[set[tuple[str, ...]]]:
    """The runs of each text by walking on from each word until n words are full."""
    found = []
    for text in texts:
        words = words_of(text)
        runs = set()
        for start in range(len(words)):
            total, stop = 0, start
            while total < 2 * n and stop < len(words):
                total, stop = total + halves(words[stop]), stop + 1
            if total >= 2 * n:
                runs.add(tuple(words[start:stop]))
        found.append(runs)
    return found


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", *CHINESE[:2]]), min_size=1, max_size=9).map(" ".join),
        min_size=2,
        max_size=5,
    ),
    st.integers(1, 5),
)
def test_runs_of_mixed_scripts_are_those_found_by_walking(texts: list[str], n: int) -> None:
    runs = Runs.of(texts, n)
    by_walking = weighed(texts, n)
    for (i, one), (j, other) in combinations(enumerate(by_walking), 2):
        said = words_of(texts[i]) == words_of(texts[j])
        shared = set(runs.run_E[runs.row_E == i]) & set(runs.run_E[runs.row_E == j])
        assert bool(shared) == bool(one & other or (said and not one))
    for row, expected in enumerate(by_walking):
        shown = {runs.show(int(entry)) for entry in np.flatnonzero(runs.row_E == row)}
        assert shown == {" ".join(run) for run in expected or [tuple(words_of(texts[row]))]}


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("\u0915\u0940", "\u0915\u0947", ["\u0915\u0940"]),  # Hindi: a vowel sign apart
        ("\u09ac\u09be\u0982\u09b2\u09be", "\u09ac\u09b2", ["\u09ac\u09be\u0982\u09b2\u09be"]),
        ("\u0645\u064e\u0646", "\u0645\u064f\u0646", ["\u0645\u064e\u0646"]),  # Arabic
        ("x\u0331y", "xy", ["x\u0331y"]),
        (
            "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48",
            "\u0e17\u0e19",
            ["\u0e17\u0e35\u0e48", "\u0e19\u0e35\u0e48"],
        ),
        ("\uc11c\uc6b8\uc740", "\uc11c\uc6b8\uc774", ["\uc11c\uc6b8\uc740"]),  # Korean has spaces
        ("\u0e01\u1780\u1000\u3042\u4e00", "\u0e01", list("\u0e01\u1780\u1000\u3042\u4e00")),
        ("\U00020000\U00020001", "\U00020000", ["\U00020000", "\U00020001"]),
    ],
)
def test_marks_are_part_of_a_word(one: str, other: str, words: list[str]) -> None:
    assert words_of(one) == words
    assert words_of(other) != words


def test_words_that_differ_by_a_mark_are_no_copies() -> None:
    of_ram = "\u0930\u093e\u092e {} \u092e\u093e\u0924\u093e"
    one, other = (prompt_set([of_ram.format(f"\u0915{sign}")]) for sign in "\u0940\u0947")
    assert overlap_table(one, other).empty
    assert overlap_table(one, one)["kind"].tolist() == ["exact"]


@given(st.text(st.characters(max_codepoint=0x7F)).map(lambda rest: f"w{rest}"))
def test_words_are_the_same_beside_a_word_of_other_letters(text: str) -> None:
    assert words_of(f"{text} \u0436") == [*words_of(text), "\u0436"]


@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_without_marks_words_are_runs_of_letters(text: str) -> None:
    plain = unicodedata.normalize("NFKC", text).casefold()
    if any(unicodedata.category(char)[0] == "M" for char in plain):
        return
    found = re.findall(r"\d+(?:[.,]\d+)+|\w+(?:'\w+)*", plain)
    assert words_of(text) == (found or [sign for sign in plain if not sign.isspace()])


def test_short_texts_are_compared_whole_and_never_within_longer_ones() -> None:
    long = "one day a man asked how many are left"
    texts = [long, "how many are left", "How many are left?", "how many are left now"]
    assert content_groups(prompt_set(texts)).tolist() == [0, 1, 1, 2]


def test_a_text_of_signs_is_compared_by_its_signs() -> None:
    assert content_groups(prompt_set(["+ ?", "+?", "- ?"])).tolist() == [0, 0, 1]


def test_the_users_messages_are_the_text_and_the_systems_are_not() -> None:
    def asked(number: int, system: str, user: str) -> dict[str, object]:
        said = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return {"prompt_id": f"m{number}", "messages": said, "should_abstain": False}

    rule = "answer the question below in one word and say nothing else"
    prompts = PromptSet.from_records(
        [asked(0, rule, "who is it"), asked(1, rule, "where is it"), asked(2, "", "Who is it?")]
    )
    assert texts_of(prompts) == ["who is it", "where is it", "Who is it?"]
    assert content_groups(prompts).tolist() == [0, 1, 0]
    assert word_counts(prompts).tolist() == [3, 3, 3]


def test_a_template_links_nothing_if_it_is_common_but_equal_texts_still_do() -> None:
    frame = "answer the question that follows as well as you can now"
    texts = [f"{frame} item {row} of the list" for row in range(6)]
    texts.append(texts[0])
    assert content_groups(prompt_set(texts)).tolist() == [0] * 7
    assert content_groups(prompt_set(texts), common=6).tolist() == [0, 1, 2, 3, 4, 5, 0]


def test_planted_duplicates_are_found_among_fifty_thousand_prompts() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 3000, (50_000, 25))
    texts = [" ".join(f"w{word}" for word in row) for row in words]
    planted = {7: 40_001, 123: 49_999, 5_000: 30_000}
    for one, other in planted.items():
        texts[other] = "so " + " ".join(texts[one].split()[3:11]) + " at last"
    groups = content_groups(prompt_set(texts))
    sizes = np.bincount(groups)
    assert (sizes == 2).sum() == len(planted)
    assert len(sizes) == 50_000 - len(planted)
    assert all(groups[one] == groups[other] for one, other in planted.items())


def test_the_table_names_what_is_shared_and_with_whom() -> None:
    train = prompt_set(
        ["the quick brown fox jumps over the lazy dog today", "something else", "What is it?"], "t"
    )
    test = prompt_set(
        [
            "what  is IT",
            "a new question that nobody has asked of anyone yet",
            "we saw the quick brown fox jumps over the lazy cat",
        ]
    )
    table = overlap_table(test, train)
    assert table["prompt_id"].tolist() == ["p0", "p2"]
    assert table["kind"].tolist() == ["exact", "ngram"]
    assert table["other_id"].tolist() == ["t2", "t0"]
    assert table["shared"].tolist() == ["what is it", "the quick brown fox jumps over the lazy"]
    # Eleven words make four runs of eight, of which one is in the other.
    np.testing.assert_allclose(table["share"], [1, 1 / 4])
    long = " ".join(["extraordinary"] * 8)
    (shown,) = overlap_table(prompt_set([long + " a"]), prompt_set([long + " b"], "t"))["shared"]
    assert len(shown) == 60
    assert shown.endswith("...")
    assert overlap_table(test, prompt_set(["nothing of it"], "t")).empty


@given(SOME_TEXTS, SOME_TEXTS, st.integers(1, 5))
def test_a_prompt_is_in_the_table_if_and_only_if_one_of_the_others_links_to_it(
    mine, others, n
) -> None:
    table = overlap_table(prompt_set(mine), prompt_set(others, "q"), n)
    expected = [
        f"p{row}"
        for row, text in enumerate(mine)
        if any(len(set(by_definition([text, other], n))) == 1 for other in others)
    ]
    assert table["prompt_id"].tolist() == expected
    for row in table.itertuples():
        text = mine[int(row.prompt_id[1:])]
        other = others[int(row.other_id[1:])]
        assert len(set(by_definition([text, other], n))) == 1
        assert (row.kind == "exact") == (text in others)


@pytest.mark.parametrize(
    ("n", "common", "message"),
    [(0, None, "n is 0; expected runs of at least 1 word"), (8, 1, "common is 1; expected at")],
)
def test_numbers_out_of_range_are_refused(n, common, message) -> None:
    with pytest.raises(InputError, match=message):
        content_groups(prompt_set(["a"]), n, common)


@pytest.mark.skipif(not REAL.is_dir(), reason="the public datasets are not on this machine")
def test_two_sets_from_the_same_test_problems_overlap() -> None:
    if not is_there("gsm8k_abstain", REAL) or not is_there("mip_overthinking", REAL):
        pytest.skip("a dataset is not there")
    mip = read_dataset("mip_overthinking", REAL).where(
        dataset="mip_overthinking/gsm8k", should_abstain=False
    )
    table = overlap_table(mip, read_dataset("gsm8k_abstain", REAL))
    assert (table["kind"] == "exact").sum() > 0.9 * len(mip)
