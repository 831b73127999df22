from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from interp.behavior.reasoning.label_classifier import LabelClassifier
from interp.errors import InputError

WORDS = {"check": ["verify", "indeed"], "doubt": ["hmm", "unsure"], "sum": ["adding", "gives"]}
FILLER = ["pears", "crates", "tram", "mayor", "plums"]


def chains(seed: int, n: int = 30, by: str = "words") -> tuple[list[list[str]], list[list[str]]]:
    """Chains whose labels are told by a word, by the sentence before, or by the place alone."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(n):
        own = rng.choice(list(WORDS), size=8).tolist()
        said = [[*rng.choice(FILLER, 3), rng.choice(WORDS[name])] for name in own]
        texts.append([" ".join(rng.permutation(words)) for words in said])
        if by == "before":
            own = ["sum", *own[:-1]]
        elif by == "place":
            own = ["doubt"] * 2 + ["sum"] * 4 + ["check"] * 2
        labels.append(own)
    return texts, labels


def accuracy(classifier: LabelClassifier, texts, labels) -> float:
    right = [
        found == wanted
        for chain, given in zip(texts, labels, strict=True)
        for found, wanted in zip(classifier.label(chain), given, strict=True)
    ]
    return float(np.mean(right))


@pytest.mark.parametrize(("by", "least"), [("words", 0.99), ("before", 0.95), ("place", 0.95)])
def test_what_tells_the_labels_is_learnt_whatever_it_is(by, least) -> None:
    classifier = LabelClassifier.fit(*chains(0, by=by), c=100.0)
    assert classifier.classes == ("check", "doubt", "sum")
    assert accuracy(classifier, *chains(1, by=by)) > least


def test_labels_that_nothing_tells_are_not() -> None:
    texts, labels = chains(0)
    rng = np.random.default_rng(5)
    mixed = [rng.permutation(given).tolist() for given in labels]
    assert accuracy(LabelClassifier.fit(texts, mixed), *chains(1)) < 0.5


def test_probabilities_are_those_of_sklearn_on_features_worked_out_by_hand() -> None:
    texts, labels = chains(2, n=6)
    texts[0][0] += " 12 - 3"
    texts[1][0] += " 5 - 77"  # another number, and the same word
    flat = [text for chain in texts for text in chain]
    vectorizer = TfidfVectorizer(
        lowercase=False,
        min_df=2,
        ngram_range=(1, 2),
        sublinear_tf=True,
        token_pattern=r"[a-z]+|\d|-",
    )
    numbered = [text.replace("12", "0").replace("77", "0").replace("3", "0") for text in flat]
    own = vectorizer.fit_transform([text.replace("5", "0") for text in numbered]).toarray()
    before = np.zeros_like(own)
    before[1:] = own[:-1] / 2
    before[::8] = 0
    place = np.tile(np.arange(8), 6)
    long = np.log([len(text.split()) + 1 for text in flat]) / 5
    features = np.c_[own, before, place / 7, 1 / (1 + place), 1 / (8 - place), long]
    model = LogisticRegression(C=3.0, class_weight="balanced", max_iter=5000)
    model.fit(features, np.concatenate(labels))
    classifier = LabelClassifier.fit(texts, labels, c=3.0)
    assert {"0", "0 -", "- 0"} <= set(classifier.terms)
    found = np.concatenate([classifier.probabilities(chain) for chain in texts])
    np.testing.assert_allclose(found, model.predict_proba(features), atol=2e-3)


def test_two_classes_are_two_columns_that_sum_to_one() -> None:
    texts, labels = chains(3)
    two = [["check" if name == "check" else "none" for name in given] for given in labels]
    classifier = LabelClassifier.fit(texts, two)
    assert classifier.classes == ("check", "none")
    found = np.concatenate([classifier.probabilities(chain) for chain in texts])
    assert found.sum(1) == pytest.approx(1)
    assert (found[:, 0] > 0.5).tolist() == [name == "check" for given in two for name in given]


def test_a_saved_classifier_is_the_same_and_an_empty_chain_has_no_labels(tmp_path: Path) -> None:
    texts, labels = chains(4, n=5)
    classifier = LabelClassifier.fit(texts, labels)
    path = tmp_path / "labels.npz"
    classifier.save(path)
    again = LabelClassifier.load(path)
    assert again.classes == classifier.classes
    assert again.terms == classifier.terms
    for chain in texts:
        assert (again.probabilities(chain) == classifier.probabilities(chain)).all()
    assert again.label([]) == ()
    # Nothing in the file is an object that could run.
    with np.load(path, allow_pickle=False) as file:
        assert {file[name].dtype.kind for name in file.files} == {"U", "f"}


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ([["a", "b"]], [["x"]], "expected one class for each sentence of each chain"),
        ([["a"]], [["x"], ["y"]], "expected one class for each sentence of each chain"),
        ([["a", "a"]], [["x", "x"]], "1 classes in 2 sentences; expected at least two"),
        ([], [], "0 classes in 0 sentences"),
        ([["a", "b"]], [["x", "y"]], "no word stands in two of the 2 sentences; give more"),
    ],
)
def test_labels_that_cannot_be_learnt_from_are_refused(texts, labels, message) -> None:
    with pytest.raises(InputError, match=message):
        LabelClassifier.fit(texts, labels)


def test_a_file_that_is_no_classifier_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.npz"
    with pytest.raises(InputError, match="no such file; train a classifier"):
        LabelClassifier.load(path)
    path.write_bytes(b"x")
    with pytest.raises(InputError, match=r"no label classifier .*train it again"):
        LabelClassifier.load(path)
    LabelClassifier.fit(*chains(4, n=5)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"no label classifier .*train it again"):
        LabelClassifier.load(path)
    path.write_bytes(whole)
    with np.load(path) as file:
        arrays = dict(file)
    for change, message in (
        ({"idf": arrays["idf"][1:]}, "3 classes and .* terms beside arrays of the shapes"),
        ({"b": np.array([object()])}, "no label classifier"),
        ({"terms": None}, "no label classifier"),
    ):
        kept = {name: value for name, value in (arrays | change).items() if value is not None}
        np.savez(path, **kept)
        with pytest.raises(InputError, match=message):
            LabelClassifier.load(path)
