from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch

from interp.activations import Site
from interp.errors import InputError
from interp.features import taxonomy_scores as scoring
from interp.features.dictionary import Dictionary
from interp.features.taxonomy import Taxonomy, learn_taxonomy, sentence_means
from interp.features.taxonomy_scores import by_model, by_words, taxonomy_scores

SITE = Site("resid_post", 1)
WORDS = {
    0: ["compute", "multiply", "equals"],
    1: ["wait", "mistake", "actually"],
    2: ["recall", "formula", "known"],
    3: ["check", "verify", "correct"],
}
FILLER = ["the", "value", "number", "here", "then"]
D = 16


def planted(n: int, seed: int) -> tuple[torch.Tensor, list[str], np.ndarray]:
    """Sentences of four kinds, each of its own words and its own direction off one common mean."""
    rng = np.random.default_rng(seed)
    kind_N = rng.permutation(np.arange(n) % 4)
    direction_KD = np.linalg.qr(np.random.default_rng(0).normal(size=(D, D)))[0][:5]
    strength_N1 = rng.uniform(3, 5, size=(n, 1))
    means_ND = direction_KD[kind_N] * strength_N1 + 6 * direction_KD[4]
    means_ND += 0.1 * rng.normal(size=(n, D))
    texts = [
        " ".join(rng.permutation([*rng.choice(WORDS[kind], 2, replace=False), *FILLER[:3]]))
        for kind in kind_N
    ]
    return torch.tensor(means_ND, dtype=torch.float32), texts, kind_N


@pytest.fixture(scope="module")
def learnt() -> Taxonomy:
    means_ND, texts, _ = planted(400, 1)
    return learn_taxonomy(means_ND, texts, site=SITE, n_latents=6, k=1, seed=0, epochs=100)


def test_planted_kinds_are_found_with_their_words_as_titles(learnt: Taxonomy) -> None:
    means_ND, _, kind_N = planted(200, 2)
    category_N = learnt.categories(means_ND)
    table = pd.crosstab(kind_N, category_N)
    assert table.shape == (4, 4)
    assert (table.to_numpy() > 0).sum() == 4  # one category a kind, and the other way round
    for kind, row in zip(table.index, table.to_numpy(), strict=True):
        category = int(table.columns[row.argmax()])
        title = learnt.titles[category].split(", ")
        assert set(title) == set(WORDS[kind])  # not the words that all sentences have
        assert all(set(text.split()) & set(WORDS[kind]) for text in learnt.examples[category])


def test_a_taxonomy_that_is_right_has_scores_near_one(learnt: Taxonomy) -> None:
    means_ND, texts, _ = planted(200, 2)
    scores = taxonomy_scores(learnt, means_ND, texts)
    assert scores.accuracy > 0.99
    assert scores.completeness == 1
    assert sorted(scores.by_category["n"]) == [0, 0, 50, 50, 50, 50]
    assert scores.by_category["title"].tolist() == list(learnt.titles)
    # The kinds' directions are at right angles; about their mean they are apart, so none is like.
    assert scores.orthogonality > 0.95


def test_titles_of_other_categories_are_worse_than_chance_and_empty_ones_are_chance(
    learnt: Taxonomy,
) -> None:
    means_ND, texts, _ = planted(200, 2)
    alive = [number for number, found in enumerate(learnt.examples) if found]
    titles = dict(zip(alive, [learnt.titles[number] for number in np.roll(alive, 1)], strict=True))
    swapped = Taxonomy(
        learnt.dictionary, tuple(titles.get(number, "") for number in range(6)), learnt.examples
    )
    # Of the three other kinds one has the title's words, and two have none, as its own.
    assert taxonomy_scores(swapped, means_ND, texts).accuracy == pytest.approx(1 / 3)
    said = Taxonomy(learnt.dictionary, ("the",) * 6, learnt.examples)
    assert taxonomy_scores(said, means_ND, texts).accuracy == 0.5


class _ByHand(torch.nn.Module):
    """Latents that are the first coordinates, written along given directions."""

    def __init__(self, decoder_MD: Sequence[Sequence[float]], bias: Sequence[float]) -> None:
        super().__init__()
        self.W_dec = torch.nn.Parameter(torch.tensor(decoder_MD))
        self.b_dec = torch.nn.Parameter(torch.tensor(bias))
        self.cfg = type("cfg", (), {"d_in": len(bias), "d_sae": len(decoder_MD)})

    def encode(self, acts_ND: torch.Tensor) -> torch.Tensor:
        return (acts_ND - self.b_dec)[:, : len(self.W_dec)].relu()


def by_hand(decoder_MD, bias, alive=None) -> Taxonomy:
    sae = _ByHand(decoder_MD, bias)
    dictionary = object.__new__(Dictionary)
    for name, value in {"sae": sae, "site": SITE, "source": "", "about": {}}.items():
        object.__setattr__(dictionary, name, value)
    n = len(decoder_MD)
    examples = tuple(("x",) if here else () for here in (alive or [True] * n))
    return Taxonomy(dictionary, ("alpha", "beta", "gamma")[:n], examples)


def test_orthogonality_is_one_less_the_mean_cosine_and_opposite_directions_are_not_alike() -> None:
    rows = torch.ones(2, 3)
    one = by_hand([[1.0, 0, 0], [1.0, 1.0, 0], [-2.0, 0, 0]], [0.0, 0, 0])
    # Cosines: 1/sqrt 2, -1 and -1/sqrt 2, the last two of which count as 0.
    assert taxonomy_scores(one, rows, ["alpha", "beta"]).orthogonality == pytest.approx(
        1 - 1 / np.sqrt(2) / 3
    )
    silent = by_hand([[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]], [0.0, 0, 0], [True, False, True])
    assert taxonomy_scores(silent, rows, ["alpha", "beta"]).orthogonality == pytest.approx(1)
    alone = by_hand([[1.0, 0, 0], [1.0, 0, 0]], [0.0, 0, 0], [True, False])
    assert np.isnan(taxonomy_scores(alone, rows, ["alpha", "beta"]).orthogonality)


def test_completeness_counts_sentences_near_the_direction_of_an_active_latent() -> None:
    taxonomy = by_hand([[1.0, 0, 0], [0, 1.0, 0]], [1.0, 1, 1])
    off_ND = torch.tensor([[2.0, 0, 0], [0, 1, 1], [0, 1, 3], [-1, 0, 0], [0, 0, 1]])
    texts = ["alpha", "beta", "beta", "none", "none"]
    assert taxonomy.categories(1 + off_ND).tolist() == [0, 1, 1, -1, -1]
    # Cosines 1, 0.71 and 0.32; the fourth points away from a latent, the fifth to none.
    found = {
        cut: taxonomy_scores(taxonomy, 1 + off_ND, texts, explains=cut).completeness
        for cut in (0.3, 0.5, 0.9)
    }
    assert found == {0.3: pytest.approx(0.6), 0.5: pytest.approx(0.4), 0.9: pytest.approx(0.2)}


def test_accuracy_is_the_mean_auroc_over_categories_that_have_sentences_and_others() -> None:
    taxonomy = by_hand([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], [0.0, 0, 0])
    rows = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
    fits = {"alpha": [3.0, 1, 2, 0], "beta": [0, 0, 1, 1], "gamma": [0, 0, 0, 0]}

    def judge(title: str, sentences: Sequence[str]) -> np.ndarray:
        return np.array(fits[title])

    scores = taxonomy_scores(taxonomy, rows, list("abcd"), judge=judge)
    assert scores.by_category["accuracy"].tolist()[:2] == [0.75, 1.0]
    assert np.isnan(scores.by_category["accuracy"][2])
    assert scores.by_category["n"].tolist() == [2, 2, 0]
    assert scores.accuracy == pytest.approx((0.75 + 1) / 2)


def test_a_title_is_judged_by_its_words_or_by_a_models_log_odds(monkeypatch) -> None:
    assert by_words("wait, Mistake", ["Wait, a mistake!", "waiting", "mistake."]).tolist() == [
        1,
        0,
        0.5,
    ]
    seen = {}

    def judged(loaded, items, *, question, token_budget):
        seen.update(items=items, question=question)
        return pd.DataFrame({"score": np.arange(len(items), dtype=float)})

    monkeypatch.setattr(scoring, "judge_replies", judged)
    from interp.checkpoints import LoadedModel

    loaded = object.__new__(LoadedModel)
    assert by_model(loaded)("wait, mistake", ["one", "two"]).tolist() == [0, 1]
    assert seen["items"]["reply"].tolist() == ["one", "two"]
    assert "wait, mistake?" in seen["question"]


def test_means_are_over_the_tokens_of_each_sentence() -> None:
    acts_TD = torch.arange(12, dtype=torch.float16).reshape(6, 2)
    means = sentence_means(acts_TD, [(0, 1), (1, 4), (4, 6)])
    assert means.tolist() == [[0, 1], [4, 5], [9, 10]]
    assert sentence_means(acts_TD, []).shape == (0, 2)
    # Summed in float16 this would overflow.
    assert sentence_means(torch.full((4, 1), 60000.0).half(), [(0, 4)]).item() == 60000


def test_the_same_seed_gives_the_same_taxonomy_and_the_scale_does_not_matter() -> None:
    means_ND, texts, _ = planted(80, 3)
    options = {"site": SITE, "n_latents": 5, "seed": 2, "epochs": 20}
    first = learn_taxonomy(means_ND, texts, **options)
    again = learn_taxonomy(means_ND, texts, **options)
    scaled = learn_taxonomy(64 * means_ND, texts, **options)
    assert first.titles == again.titles
    assert torch.equal(first.dictionary.decoder_MD, again.dictionary.decoder_MD)
    assert (first.categories(means_ND) == scaled.categories(64 * means_ND)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentences": ["a"]}, "1 sentences for 8 rows; expected one each"),
        ({"n_latents": 9}, "9 latents for 8 sentences; expected at least 2"),
        ({"n_latents": 1}, "1 latents for 8 sentences"),
        ({"k": 5}, "k=5 of 4 latents"),
        ({"means_ND": torch.full((8, 2), torch.nan)}, "NaN or Inf in the row of sentence 0"),
    ],
)
def test_bad_sentences_are_refused(change, message) -> None:
    given = {"means_ND": torch.randn(8, 2), "sentences": ["a"] * 8, "n_latents": 4} | change
    with pytest.raises(InputError, match=message):
        learn_taxonomy(site=SITE, seed=0, epochs=1, **given)


@pytest.mark.parametrize("span", [(2, 2), (-1, 1), (4, 7)])
def test_a_span_without_tokens_is_named(span) -> None:
    with pytest.raises(InputError, match="sentence 1: tokens"):
        sentence_means(torch.zeros(6, 2), [(0, 1), span])
