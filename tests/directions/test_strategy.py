"""Directions of strategies against numpy, closed forms and planted truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from interp.activations import Activations, Site
from interp.directions import cosine, mean_difference, split_half_reliability
from interp.directions.agreement import cross_validated_cosine
from interp.directions.strategy import (
    Strategies,
    chain_sentences,
    label_windows,
    strategy_directions,
)
from interp.directions.strategy_tables import cosine_table, transfer_table
from interp.errors import InputError
from interp.prompts import PromptSet
from interp.stats import auroc

SITES = (Site("resid_post", 1), Site("resid_post", 3))
D = 6


def held(
    rows: list[np.ndarray], starts: list[int], *, sites=SITES, n_first: int = 1
) -> Activations:
    """Activations of rows [tokens, d] in two shards; the chain is all from `starts` on.

    At the second site everything is twice as large.
    """
    shards = []
    for part, begin in (
        (slice(None, n_first), starts[:n_first]),
        (slice(n_first, None), starts[n_first:]),
    ):
        of = rows[part]
        lengths = np.array([len(row) for row in of], dtype=np.int64)
        spans = np.stack(
            [
                np.stack([np.zeros_like(lengths), lengths], 1),
                np.stack([np.array(begin, dtype=np.int64), lengths], 1),
            ]
        )
        together = np.concatenate(of).astype(np.float32)
        shard = {f"{site}.all": together * (n + 1) for n, site in enumerate(sites)}
        shard |= {
            str(site): np.zeros((1, len(of), together.shape[1]), np.float32) for site in sites
        }
        shard |= {"tokens": np.zeros(len(together), np.int64), "lengths": lengths, "spans": spans}
        shards.append(shard)
    return Activations(sites, ["all", "think_mean"], shards, "float32", {})


def frame(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["row", "label", "start", "stop"])


def found_in(acts: Activations, windows: pd.DataFrame, items, **options) -> Strategies:
    return strategy_directions(acts, windows, items, source="r", **{"seed": 0} | options)


@pytest.fixture
def random_chains() -> tuple[list[np.ndarray], list[int], pd.DataFrame, list[str]]:
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((length, D)) + 2 for length in (9, 14, 7, 11)]
    windows = frame(
        (0, "doubt", 2, 6), (1, "doubt", 9, 10), (2, "doubt", 3, 5), (3, "doubt", 4, 9),
        (0, "deduce", 6, 9), (1, "deduce", 3, 8), (2, "deduce", 2, 3), (3, "deduce", 9, 11),
        (3, "deduce", 3, 4),
    )  # fmt: skip
    return rows, [3, 2, 1, 4], windows, ["i0", "i1", "i2", "i3"]


def test_a_window_is_of_the_states_that_write_the_sentence():
    windows = label_windows(frame((0, "a", 5, 9), (0, "b", 9, 40), (1, "a", 7, 8), (2, "a", 1, 3)))
    assert windows[["start", "stop"]].values.tolist() == [[4, 8], [8, 19], [6, 7], [0, 2]]
    assert windows["label"].tolist() == ["a", "b", "a", "a"]


def test_a_direction_is_the_mean_of_window_means_less_that_of_all_tokens(random_chains):
    rows, starts, windows, items = random_chains
    found = found_in(held(rows, starts), windows, items)
    every_D = np.concatenate([row[start:] for row, start in zip(rows, starts, strict=True)]).mean(0)
    for scale, site in zip((1, 2), SITES, strict=True):
        for label in ("doubt", "deduce"):
            of = windows[windows["label"] == label]
            mean_D = np.mean(
                [rows[w.row][w.start : w.stop].mean(0) for w in of.itertuples()], axis=0
            )
            wanted_D = scale * (mean_D - every_D)
            direction = found.directions[label, site]
            raw_D = found.raw_norm[label, site] * direction.vector_D.numpy()
            assert np.allclose(raw_D, wanted_D, atol=1e-5)
            assert direction.norm == pytest.approx(scale * np.linalg.norm(every_D), rel=1e-5)
            assert (direction.site, direction.source) == (site, "r")
    assert found.n_windows == {"doubt": 4, "deduce": 5}
    assert found.items == ("i0", "i1", "i2", "i3")


def test_windows_of_one_length_within_the_chain_give_the_direction_of_tokens_against_the_rest():
    """m_label - m_all = (1 - share) (m_label - m_rest), where every token counts alike."""
    rng = np.random.default_rng(1)
    rows = [rng.standard_normal((8, D)) for _ in range(4)]
    windows = frame(*((row, "doubt", 2 + row % 3, 5 + row % 3) for row in range(4)))
    found = found_in(held(rows, [0] * 4), windows, range(4))
    is_window_N = np.zeros((4, 8), dtype=bool)
    for window in windows.itertuples():
        is_window_N[window.row, window.start : window.stop] = True
    tokens_ND = torch.from_numpy(np.concatenate(rows)).float()
    plain = mean_difference(
        tokens_ND, is_window_N.ravel(), site=SITES[0], position="all", source="r"
    )
    direction = found.directions["doubt", SITES[0]]
    assert cosine(plain, direction) == pytest.approx(1, abs=1e-6)
    share = is_window_N.mean()
    assert found.raw_norm["doubt", SITES[0]] == pytest.approx((1 - share) * plain.norm, rel=1e-5)


def test_activations_are_never_read_all_at_once(random_chains, monkeypatch):
    def refuse(*_):
        raise AssertionError("read all tokens at once")

    rows, starts, windows, items = random_chains
    monkeypatch.setattr(Activations, "read", refuse)
    found_in(held(rows, starts), windows, items)


def test_halves_are_the_directions_of_each_half_of_the_items(random_chains):
    """Four items, two a half: every half's difference is that of its rows by themselves."""
    rows, starts, windows, items = random_chains
    found = found_in(held(rows, starts), windows, items, n_splits=6)
    wanted = {}
    for a in range(4):
        for b in range(a):
            of = windows[windows["row"].isin([a, b])]
            every = np.concatenate([rows[n][starts[n] :] for n in (a, b)]).mean(0)
            means = [
                rows[w.row][w.start : w.stop].mean(0)
                for w in of[of["label"] == "deduce"].itertuples()
            ]
            wanted[a, b] = np.mean(means, axis=0) - every
    halves_2SD = found.halves["deduce", SITES[0]]
    for first_D, second_D in zip(*halves_2SD, strict=True):
        (pair,) = [key for key, value in wanted.items() if np.allclose(value, first_D, atol=1e-5)]
        (rest,) = [key for key in wanted if not set(key) & set(pair)]
        assert np.allclose(wanted[rest], second_D, atol=1e-5)


def planted(
    truth: dict[str, np.ndarray], noise_NLD: np.ndarray, scale: float = 1.0
) -> tuple[list[np.ndarray], pd.DataFrame]:
    """An item a row: for each label one token that differs by its truth, noise being given."""
    labels = list(truth)
    rows = [
        np.stack([scale * truth[label] + noise_LD[n] for n, label in enumerate(labels)])
        for noise_LD in noise_NLD
    ]
    windows = frame(
        *((row, label, n, n + 1) for row in range(len(rows)) for n, label in enumerate(labels))
    )
    return rows, windows


def noise(seed: int, n: int, n_labels: int, d: int, scale: float) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((n, n_labels, d))


def one_site(rows: list[np.ndarray]) -> Activations:
    return held(rows, [0] * len(rows), sites=SITES[:1])


def test_reliability_is_that_of_the_difference_of_means():
    """With two labels of a token each, a label's direction is half the difference of the two."""
    axes = np.eye(12)
    rows, windows = planted({"a": axes[0], "b": 0 * axes[0]}, noise(2, 200, 2, 12, 1.5))
    found = found_in(one_site(rows), windows, range(200), n_splits=60)
    acts_ND = torch.from_numpy(np.concatenate(rows)).float()
    labels_N, items_N = np.tile([True, False], 200), np.repeat(np.arange(200), 2)
    wanted = split_half_reliability(acts_ND, labels_N, n_splits=60, seed=1, groups=items_N)
    assert 0.7 < wanted < 0.98
    assert found.reliability("a", SITES[0]) == pytest.approx(wanted, abs=0.02)
    assert found.reliability("b", SITES[0]) == pytest.approx(wanted, abs=0.02)


def test_reliability_is_1_without_noise_and_about_0_without_a_difference():
    axes = np.eye(40)
    rows, windows = planted({"a": axes[0], "b": axes[1]}, np.zeros((10, 2, 40)))
    assert found_in(one_site(rows), windows, range(10)).reliability("a", SITES[0]) == pytest.approx(
        1
    )
    reliabilities = []
    for seed in range(8):
        rows, windows = planted({"a": axes[0], "b": axes[0]}, noise(seed, 60, 2, 40, 1))
        reliabilities.append(
            found_in(one_site(rows), windows, range(60)).reliability("a", SITES[0])
        )
    assert abs(np.mean(reliabilities)) < 0.2


def test_samples_of_an_item_stay_together():
    """What the samples of an item share is no reliability."""
    axes = np.eye(40)
    shared = np.repeat(noise(3, 6, 2, 40, 1), 20, axis=0)
    rows, windows = planted({"a": axes[0], "b": axes[0]}, shared)
    items = np.repeat(np.arange(6), 20)
    together = found_in(one_site(rows), windows, items).reliability("a", SITES[0])
    apart = found_in(one_site(rows), windows, range(120)).reliability("a", SITES[0])
    assert apart > 0.9 > 0.6 > together


def test_noise_that_two_models_share_is_not_agreement():
    """Orthogonal truths read through one noise: the plain cosine is high, the corrected is 0."""
    axes = np.eye(30)
    plain, corrected, wanted = [], [], []
    labels_N, items_N = np.tile([True, False], 200), np.repeat(np.arange(200), 2)
    for seed in range(6):
        shared = noise(10 + seed, 200, 2, 30, 1.0)
        models, tokens = [], []
        for source, axis in (("b", 0), ("r", 1)):
            rows, windows = planted({"a": axes[axis], "z": 0 * axes[0]}, shared)
            models.append(found_in_as(source, rows, windows))
            tokens.append(torch.from_numpy(np.concatenate(rows)).float())
        table = cosine_table(models).set_index(["source_a", "label_a", "source_b", "label_b"])
        assert len(table) == 6
        within = table.loc[("b", "a", "b", "z")]
        assert within[["cosine", "corrected"]].tolist() == pytest.approx([-1, -1], abs=1e-6)
        row = table.loc[("b", "a", "r", "a")]
        plain.append(row["cosine"])
        corrected.append(row["corrected"])
        wanted.append(
            cross_validated_cosine(*tokens, labels_N, n_splits=40, seed=0, groups=items_N)
        )
    # Noise of both: 30 axes of variance 2 / 200, against a truth of length 1: .3 / 1.3.
    assert np.mean(np.subtract(plain, corrected)) > 0.17
    assert np.mean(corrected) == pytest.approx(0, abs=0.12)
    assert np.allclose(corrected, wanted, atol=0.06)


def test_the_true_cosine_is_found_under_noise_of_each_models_own():
    axes = np.eye(30)
    models = []
    for n, (source, truth_D) in enumerate((("p", axes[0]), ("r", 0.6 * axes[0] + 0.8 * axes[1]))):
        rows, windows = planted({"a": truth_D, "z": 0 * axes[0]}, noise(n, 400, 2, 30, 2.5), 2.0)
        models.append(found_in_as(source, rows, windows))
    (row,) = [
        row
        for row in cosine_table(models).to_dict("records")
        if (row["source_a"], row["label_a"], row["source_b"], row["label_b"])
        == ("p", "a", "r", "a")
    ]
    assert row["cosine"] < 0.56
    assert row["corrected"] == pytest.approx(0.6, abs=0.07)


def found_in_as(source: str, rows: list[np.ndarray], windows: pd.DataFrame) -> Strategies:
    items = range(len(rows))
    return strategy_directions(one_site(rows), windows, items, source=source, seed=0)


def test_a_rare_label_has_a_direction_and_no_reliability():
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((4, D)) for _ in range(10)]
    windows = frame((0, "rare", 1, 2), *((row, "often", 2, 3) for row in range(10)))
    found = found_in(held(rows, [0] * 10), windows, range(10))
    assert np.isnan(found.reliability("rare", SITES[0]))
    assert np.isfinite(found.reliability("often", SITES[0]))
    table = cosine_table([found])
    assert table["corrected"].isna().all()
    assert table["cosine"].notna().all()


def transferred(source_axis: int, target_axis: int, **options) -> pd.Series:
    axes = np.eye(20)
    rows, windows = planted({"a": axes[source_axis], "z": 0 * axes[0]}, noise(0, 50, 2, 20, 0.2))
    source = found_in_as("p", rows, windows)
    rows, windows = planted({"a": axes[target_axis], "z": 0 * axes[0]}, noise(1, 60, 2, 20, 0.7))
    items = [f"new {n}" for n in range(60)]
    table = transfer_table(
        [source], one_site(rows), windows, items, target="r", seed=0, n_boot=300, **options
    ).set_index("label")
    vector_D = source.directions["a", SITES[0]].vector_D.numpy()
    scores_N = np.concatenate(rows).astype(np.float32) @ vector_D
    row = table.loc["a"]
    assert row["estimate"] == pytest.approx(auroc(scores_N, np.tile([True, False], 60)), abs=1e-6)
    assert (row["source"], row["target"], row["n_windows"], row["n_others"]) == ("p", "r", 60, 60)
    assert row["lo"] <= row["estimate"] <= row["hi"]
    return row


def test_a_direction_that_the_target_shares_transfers_and_another_does_not():
    shared, other = transferred(0, 0), transferred(0, 7)
    # Of two normals that are 1 apart at sd .7: AUROC = Phi(1 / (.7 sqrt 2)) = .844.
    assert shared["estimate"] == pytest.approx(0.844, abs=0.05)
    assert shared["lo"] > shared["random_95"]
    assert other["lo"] < 0.5 < other["hi"]
    assert np.isnan(transferred(0, 0, n_random=0)["random_95"])


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (frame((0, "a", 2, 2)), r"windows: \[start, stop\) in row 0 holds no token"),
        (frame((0, "a", 2, 10)), r"windows: \[2, 10\) of row 0 lies outside"),
        (frame((0, "a", -1, 2)), r"windows: \[-1, 2\) of row 0 lies outside"),
        (frame((4, "a", 1, 2)), r"windows: \[1, 2\) of row 4 lies outside of the 4 rows"),
        (frame(), "windows: 0 rows, lacking nothing; expected at least one row"),
        (frame((0, "a", 1, 2)).drop(columns="stop"), "windows: 1 rows, lacking stop"),
    ],
)
def test_windows_that_are_not_there_are_refused(random_chains, windows, message):
    rows, starts, _, items = random_chains
    with pytest.raises(InputError, match=message):
        found_in(held(rows, starts), windows, items)


def test_sentences_without_a_token_before_them_are_refused():
    with pytest.raises(InputError, match="in row 3 that begins at token 0 has no token before it"):
        label_windows(frame((1, "a", 1, 2), (3, "a", 0, 2)))
    with pytest.raises(InputError, match="label windows: 0 rows, lacking nothing"):
        label_windows(frame())


WORDS = (
    "is",
    "it",
    "?",
    "wait",
    ",",
    "no",
    ".",
    "so",
    "yes",
    "a",
    ":",
    "12",
    "<think>",
    "</think>",
)


def words() -> PreTrainedTokenizerFast:
    """A word a token, the white space before it not being part of it."""
    backend = Tokenizer(WordLevel({w: n for n, w in enumerate(("<unk>", *WORDS))}, "<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def asked(n: int) -> PromptSet:
    return PromptSet.from_records(
        [
            {"prompt_id": f"p{row}", "text": "is it ?"[3 * row :], "should_abstain": False}
            for row in range(n)
        ]
    )


def test_sentences_have_their_own_tokens_and_all_that_was_read_before():
    tokenizer = words()
    replies = ["wait , no . so yes .  so 12 a : 12", "<think> wait , no .\n so yes . a : yes"]
    found = chain_sentences(asked(2), replies, tokenizer, chain_end="a :")
    assert found["row"].tolist() == [0, 0, 0, 1, 1]
    assert found["sentence"].tolist() == [0, 1, 2, 0, 1]
    texts = ["wait , no .", "so yes .", "so 12", "<think> wait , no .", "so yes ."]
    assert found["text"].tolist() == texts
    assert found["before"].tolist() == [
        "is it ?",
        "is it ? wait , no .",
        "is it ? wait , no . so yes .",
        "it ?",
        "it ? <think> wait , no .\n",
    ]
    read = ("is it ? " + replies[0], "it ? " + replies[1])
    for row in found.itertuples():
        assert read[row.row].split()[row.start : row.stop] == row.text.split()
        assert row.before.split() == read[row.row].split()[: row.start]
    tagged = chain_sentences(asked(1), ["<think> so yes . </think> 12"], tokenizer)
    assert tagged[["text", "start", "stop"]].values.tolist() == [["so yes .", 4, 7]]


def test_chains_without_an_end_or_a_sentence_are_refused():
    tokenizer = words()
    for replies, message in (
        (["so yes . 12"], "prompt p0: position 'chain sentences' has no place: its reply lacks"),
        (["</think> 12"], "its reply has an empty chain of thought"),
        ([""], "its reply is empty"),
        ([], "chain sentences: 0 replies to 1 prompts"),
    ):
        with pytest.raises(InputError, match=message):
            chain_sentences(asked(1), replies, tokenizer)


def test_what_does_not_fit_is_refused(random_chains):
    rows, starts, windows, items = random_chains
    acts = held(rows, starts)
    with pytest.raises(InputError, match="3 items for 4 rows; expected one each"):
        found_in(acts, windows, items[:3])
    with pytest.raises(InputError, match="1 items and 20 splits; expected at least 2 and 1"):
        found_in(acts, windows, ["same"] * 4)
    with pytest.raises(InputError, match="4 items and 0 splits"):
        found_in(acts, windows, items, n_splits=0)
    same = held([np.ones((4, D))] * 3, [0] * 3)
    with pytest.raises(InputError, match=r"strategy 'a' at resid_post\.1: its mean is that of all"):
        found_in(same, frame((0, "a", 1, 2)), range(3))
    # Windows of one length that share the tokens out: the two means differ by rounding alone.
    even = [np.random.default_rng(row).standard_normal((9, D)) for row in range(4)]
    thirds = frame(*((row, "a", start, start + 3) for row in range(4) for start in (0, 3, 6)))
    with pytest.raises(InputError, match="there is no direction; choose another site"):
        found_in(held(even, [0] * 4), thirds, range(4))
    found = found_in(acts, windows, items)
    with pytest.raises(InputError, match=r"sources \['r', 'r'\]; expected one or more, all differ"):
        cosine_table([found, found])
    with pytest.raises(InputError, match=r"sources \[\]"):
        cosine_table([])
    reseeded = strategy_directions(acts, windows, items, source="p", seed=1)
    with pytest.raises(InputError, match="r and p share 4 items and split them otherwise"):
        cosine_table([found, reseeded])
    fewer = strategy_directions(acts, windows, items, source="p", seed=0, n_splits=5)
    with pytest.raises(InputError, match="20 and 5 splits; make both with the same"):
        cosine_table([found, fewer])
    only = Activations(SITES, ["think_mean"], [{"lengths": np.ones(1)}], "float32", {})
    with pytest.raises(InputError, match="activations at think_mean; capture 'all'"):
        found_in(only, windows, items)


def test_a_windows_score_is_its_mean_along_the_direction(random_chains):
    rows, starts, windows, items = random_chains
    acts = held(rows, starts)
    found = found_in(acts, windows, items)
    fresh = ["n0", "n1", "n2", "n3"]
    table = transfer_table([found], acts, windows.iloc[::-1], fresh, target="b", seed=0, n_boot=9)
    table = table.set_index(["site", "label"])
    for label in ("doubt", "deduce"):
        vector_D = found.directions[label, SITES[1]].vector_D.numpy()
        means = [rows[w.row][w.start : w.stop].mean(0) for w in windows.itertuples()]
        wanted = auroc(np.array(means) @ vector_D, (windows["label"] == label).to_numpy())
        assert 0.5 < wanted < 1
        assert table.loc[("resid_post.3", label), "estimate"] == pytest.approx(wanted)


def test_transfer_is_read_on_items_of_its_own(random_chains):
    rows, starts, windows, items = random_chains
    acts = held(rows, starts)
    found = found_in(acts, windows, items)
    with pytest.raises(InputError, match="1 items, such as 'i2', made the directions of r"):
        transfer_table([found], acts, windows, ["n", "m", "i2", "o"], target="b", seed=0)
    fresh = ["n0", "n1", "n2", "n3"]
    with pytest.raises(InputError, match="no label of the windows has a direction and others"):
        transfer_table([found], acts, frame((0, "other", 1, 2)), fresh, target="b", seed=0)
    wide = held([np.ones((5, D + 1))] * 4, [0] * 4)
    few = frame((0, "doubt", 1, 2), (1, "deduce", 1, 2))
    with pytest.raises(
        InputError, match=r"directions of width 6 at resid_post\.1, activations of 7"
    ):
        transfer_table([found], wide, few, fresh, target="b", seed=0)
