"""What each sentence of a chain of thought does, by a classifier trained on labelled chains."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix, hstack, vstack
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from interp.behavior.grading.statements import plain_text
from interp.errors import InputError

_DIGITS = re.compile(r"\d+")
# Words with their apostrophes, numbers (all read as one), and signs one by one.
_TOKENS = r"[^\W\d_]+(?:'[^\W\d_]+)?|\d|[^\w\s]"
_BEFORE = 0.5  # how much the words of the sentence before count
_N_PLACES = 4


@dataclass(frozen=True, eq=False)
class LabelClassifier:
    """Logistic regression on the words of a sentence, those of the one before, and its place.

    Words and pairs of words are weighted by sublinear TF-IDF; all numbers read as one and the same.
    The place is how far into the chain the sentence stands, how near to either end, and how long it
    is. Nothing of `StrategyRules` goes in: the two are independent labellers.

    Attributes:
        classes: their names, in sorted order.
        terms: the vocabulary.
        idf_F: weight of each term.
        weights_KX: of each class, over X = 2 F + 4 features: terms of the sentence, of the one
            before, and the place.
        intercepts_K: of each class.
    """

    classes: tuple[str, ...]
    terms: tuple[str, ...]
    idf_F: Float[np.ndarray, " f"]
    weights_KX: Float[np.ndarray, "k x"]
    intercepts_K: Float[np.ndarray, " k"]

    @classmethod
    def fit(
        cls, chains: Sequence[Sequence[str]], labels: Sequence[Sequence[str]], *, c: float = 10.0
    ) -> LabelClassifier:
        """Trains on labelled chains; classes weigh the same, however rare.

        Args:
            chains: the sentences of each, in order.
            labels: the class of each sentence.
            c: inverse strength of the ridge penalty.

        Raises:
            InputError: not one class a sentence, fewer than two classes, or no word that stands in
                two sentences.
        """
        if [len(sentences) for sentences in chains] != [len(given) for given in labels]:
            raise InputError("label classifier: expected one class for each sentence of each chain")
        class_N = [str(name) for given in labels for name in given]
        if len(set(class_N)) < 2:
            raise InputError(
                f"label classifier: {len(set(class_N))} classes in {len(class_N)} sentences; "
                "expected at least two"
            )
        plain = [_plain(sentence) for sentences in chains for sentence in sentences]
        vectorizer = _vectorizer()
        try:
            vectorizer.set_params(min_df=2).fit(plain)
        except ValueError as error:  # sklearn has no other name for an empty vocabulary
            raise InputError(
                f"label classifier: no word stands in two of the {len(plain)} sentences; give more"
            ) from error
        features_NX = vstack([_features(sentences, vectorizer) for sentences in chains])
        model = LogisticRegression(C=c, class_weight="balanced", max_iter=5000)
        model.fit(features_NX, class_N)
        weights_KX, intercepts_K = model.coef_, model.intercept_
        if len(weights_KX) == 1:  # of two classes sklearn keeps the second one's log odds
            weights_KX = np.concatenate([-weights_KX, weights_KX]) / 2
            intercepts_K = np.concatenate([-intercepts_K, intercepts_K]) / 2
        return cls(
            tuple(str(name) for name in model.classes_),
            tuple(str(term) for term in vectorizer.get_feature_names_out()),
            vectorizer.idf_,
            weights_KX,
            intercepts_K,
        )

    @classmethod
    def load(cls, path: Path) -> LabelClassifier:
        """Reads what `save` wrote; no code in the file is ever run.

        Raises:
            InputError: no such file, one that is damaged, or arrays that do not fit each other.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in ("classes", "terms", "idf", "weights", "b")}
            made = cls(
                tuple(arrays["classes"].tolist()),
                tuple(arrays["terms"].tolist()),
                arrays["idf"].astype(float),
                arrays["weights"].astype(float),
                arrays["b"].astype(float),
            )
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file; train a classifier and save it") from error
        except (KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: no label classifier ({error}); train it again") from error
        n_classes, n_terms = len(made.classes), len(made.terms)
        shapes = (made.idf_F.shape, made.weights_KX.shape, made.intercepts_K.shape)
        if shapes != ((n_terms,), (n_classes, 2 * n_terms + _N_PLACES), (n_classes,)):
            raise InputError(
                f"{path}: {n_classes} classes and {n_terms} terms beside arrays of the shapes "
                f"{', '.join(map(str, shapes))}; train it again"
            )
        return made

    def save(self, path: Path) -> None:
        """Writes one npz file of arrays of numbers and of texts."""
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                classes=np.array(self.classes),
                terms=np.array(self.terms),
                idf=self.idf_F,
                weights=self.weights_KX,
                b=self.intercepts_K,
            )

    def probabilities(self, sentences: Sequence[str]) -> Float[np.ndarray, "n k"]:
        """Probability of each class for each sentence of one chain.

        Args:
            sentences: all of the chain's, in order.
        """
        if not sentences:
            return np.empty((0, len(self.classes)))
        vectorizer = _vectorizer().set_params(vocabulary=self.terms)
        vectorizer.idf_ = self.idf_F
        score_NK = _features(sentences, vectorizer) @ self.weights_KX.T + self.intercepts_K
        return softmax(score_NK, axis=1)

    def label(self, sentences: Sequence[str]) -> tuple[str, ...]:
        """The likeliest class of each sentence of one chain, of all its sentences in order."""
        return tuple(self.classes[best] for best in self.probabilities(sentences).argmax(1))


def _vectorizer() -> TfidfVectorizer:
    return TfidfVectorizer(
        token_pattern=_TOKENS, lowercase=False, ngram_range=(1, 2), sublinear_tf=True
    )


def _plain(sentence: str) -> str:
    return _DIGITS.sub("0", plain_text(sentence).text)


def _features(sentences: Sequence[str], vectorizer: TfidfVectorizer) -> csr_matrix:
    """Features [n, 2 f + 4] of the sentences of one chain."""
    plain = [_plain(sentence) for sentence in sentences]
    own_NF = vectorizer.transform(plain)
    before_NF = vectorizer.transform(["", *plain[:-1]]) * _BEFORE
    place_N = np.arange(len(plain))
    words_N = np.array([len(text.split()) for text in plain])
    places_N4 = np.stack(
        [
            place_N / max(len(plain) - 1, 1),
            1 / (1 + place_N),
            1 / (len(plain) - place_N),
            np.log1p(words_N) / 5,
        ],
        axis=1,
    )
    return csr_matrix(hstack([own_NF, before_NF, places_N4]))
