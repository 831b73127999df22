from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import log

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.behavior.reasoning.bm25 import BM25, Passage, folder_retriever
from interp.behavior.reasoning.chains import Chain
from interp.behavior.reasoning.knowledge_index import (
    VERDICTS,
    Judge,
    Retriever,
    judged_steps,
    knowledge_index_table,
    knowledge_items,
)
from interp.errors import InputError

TEXTS = {
    "cities.txt": "Paris is the capital of France.\n\nRome is the capital\nof Italy.\n",
    "sub/animals.md": "\n\nA cat is an animal. A dog is an animal too.\n\n\n\nFish swim.",
    "notes.pdf": "Berlin is the capital of Spain.",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in TEXTS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


class SameWords:
    """A step states knowledge if it names a capital, and is right if one passage has its words."""

    def judge(self, step, passages):
        if "capital" not in step:
            return "no_knowledge"
        said = set(step.lower().strip(".").split())
        borne_out = any(said <= set(p.text.lower().strip(".").split()) for p in passages)
        return "consistent" if borne_out else "inconsistent"


def test_a_folder_is_read_by_paragraph(folder):
    found = folder_retriever(folder)
    assert [(p.passage_id, p.text) for p in found.passages] == [
        ("cities.txt#1", "Paris is the capital of France."),
        ("cities.txt#2", "Rome is the capital\nof Italy."),
        ("sub/animals.md#1", "A cat is an animal. A dog is an animal too."),
        ("sub/animals.md#2", "Fish swim."),
    ]
    assert found.retrieve("the capital of Italy?", 1)[0].passage_id == "cities.txt#2"
    assert found.retrieve("unheard", 3) == []
    assert len(found.retrieve("capital", 9)) == 2
    assert isinstance(found, Retriever)


words = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8)


@settings(max_examples=30)
@given(st.lists(words, min_size=1, max_size=6), words)
def test_scores_are_those_of_the_formula(texts, query):
    found = BM25([Passage(str(n), " ".join(text)) for n, text in enumerate(texts)], k1=1.2, b=0.6)
    mean = np.mean([len(text) for text in texts])
    expected = {}
    for number, text in enumerate(texts):
        score = 0.0
        for word in query:
            n_w = sum(word in other for other in texts)
            f = Counter(text)[word]
            idf = log(1 + (len(texts) - n_w + 0.5) / (n_w + 0.5))
            score += idf * f * 2.2 / (f + 1.2 * (0.4 + 0.6 * len(text) / mean))
        if score:
            expected[number] = score
    got = found.scores(" ".join(query))
    assert got == pytest.approx(expected)
    best = found.retrieve(" ".join(query), len(texts))
    ranks = [expected[int(p.passage_id)] for p in best]
    assert len(best) == len(expected)
    assert all(a >= b - 1e-9 for a, b in pairwise(ranks))


def test_steps_are_looked_up_and_judged(folder):
    chains = [
        Chain.of("p0", ["Let me think.", "Paris is the capital of France.", "So there."], "Paris"),
        Chain.of("p1", ["Rome is the capital of France.", "Hmm."], "Rome"),
        Chain.of("p2", ["Hmm.", "Well."], "?"),
    ]
    judged = judged_steps(chains, folder_retriever(folder), SameWords(), k=2)
    assert judged["step"].tolist() == [1, 2, 3, 1, 2, 1, 2]
    assert judged["passages"][1][0] == "cities.txt#1"
    items = knowledge_items(judged).set_index("prompt_id")
    # Nothing said is perfect as published; here it is not known.
    assert items["ki_published"].tolist() == [1, 0.5, 1]
    assert items["ki"].tolist()[:2] == [1, 0]
    assert np.isnan(items["ki"]["p2"])
    assert items["no_knowledge"].tolist() == pytest.approx([2 / 3, 0.5, 1])
    assert items["n_inconsistent"].tolist() == [0, 1, 0]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=9), st.integers(1, 9))
def test_saying_nothing_raises_the_published_form_alone(verdicts, m):
    def index(given_verdicts):
        rows = {"prompt_id": "p", "sample": 0, "passages": (), "verdict": given_verdicts}
        rows["passages"] = [("x",)] * len(given_verdicts)
        return knowledge_items(pd.DataFrame(rows)).iloc[0]

    short, long = index(verdicts), index([*verdicts, *["no_knowledge"] * m])
    assert long["ki"] == pytest.approx(short["ki"], nan_ok=True)
    assert long["ki_published"] >= short["ki_published"]
    if "inconsistent" in verdicts:
        assert long["ki_published"] > short["ki_published"]
    n = short[[f"n_{v}" for v in VERDICTS]].sum()
    assert n == short["steps"] == len(verdicts)


def test_models_are_compared_chain_by_chain_where_both_state_something(folder):
    right = ["Paris is the capital of France."]
    wrong = ["Rome is the capital of France."]
    said = {
        "P": {f"p{n}": right for n in range(12)},
        "R": {f"p{n}": (wrong if n % 2 else ["Hmm."]) for n in range(12)},
    }
    retriever = folder_retriever(folder)
    items = []
    for model, chains in said.items():
        judged = judged_steps(
            [Chain.of(p, steps, "x") for p, steps in chains.items()], retriever, SameWords()
        )
        items.append(knowledge_items(judged.assign(model=model, pair_id=judged["prompt_id"])))
    table = knowledge_index_table(pd.concat(items), units=["pair_id"], against="P", n_boot=20)
    rows = table.set_index(["model", "against", "measure"])
    assert rows.loc[("R", "P", "ki"), ["estimate", "n", "excluded"]].tolist() == [-1, 6, 6]
    assert rows.loc[("R", "P", "ki_published"), ["estimate", "n"]].tolist() == [-0.5, 12]
    assert rows.loc[("R", "", "no_knowledge"), "estimate"] == 0.5


def test_what_is_found_for_no_step_is_told(folder):
    judged = judged_steps(
        [Chain.of("p", ["capital Xyzzy", "Hmm."], "x")],
        BM25([Passage("a", "nothing of it")]),
        SameWords(),
    )
    assert knowledge_items(judged)["no_passages"].tolist() == [1]
    found = judged_steps(
        [Chain.of("p", ["capital of Xyzzy", "Hmm."], "x")],
        BM25([Passage("a", "nothing of it")]),
        SameWords(),
    )
    assert found["passages"].tolist() == [("a",), ()]
    assert knowledge_items(found)["no_passages"].tolist() == [0]


CHAINS = [Chain.of("p0", ["a"], "b")]


class Odd:
    def judge(self, step, passages):
        return "perhaps"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: judged_steps([], r, SameWords()), "0 chains"),
        (lambda r: judged_steps(CHAINS, r, SameWords(), k=0), "k is 0"),
        (lambda r: judged_steps(CHAINS, r, Odd()), "prompt p0, step 1: the judge says 'perhaps'"),
        (lambda r: BM25([]), "0 passages"),
        (lambda r: BM25(r.passages, b=2), "b=2"),
        (lambda r: knowledge_items(pd.DataFrame({"prompt_id": []})), "lack the column"),
    ],
)
def test_bad_requests_are_refused(folder, ask, message):
    with pytest.raises(InputError, match=message):
        ask(folder_retriever(folder))


def test_bad_folders_and_verdicts_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        folder_retriever(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no text in"):
        folder_retriever(tmp_path)
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(InputError, match="no text in"):
        folder_retriever(tmp_path)
    (tmp_path / "latin.txt").write_bytes("Zürich".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.txt: not UTF-8"):
        folder_retriever(tmp_path)
    rows = {"prompt_id": ["p"], "sample": 0, "passages": [()], "verdict": "maybe"}
    with pytest.raises(InputError, match="prompt p: verdict 'maybe'"):
        knowledge_items(pd.DataFrame(rows))


def test_whoever_lacks_the_method_is_neither_judge_nor_retriever():
    assert isinstance(SameWords(), Judge)
    assert not isinstance(SameWords(), Retriever)
    assert not isinstance(str, Judge)
