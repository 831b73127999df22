"""Matching of dictionaries: brute force, simulation, and dictionaries made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sae_lens import SAE, StandardSAE, StandardSAEConfig
from sklearn.metrics.pairwise import cosine_similarity
from torch import Tensor

from interp.errors import InputError
from interp.features.latent_classes import Cutoffs, classify
from interp.features.matching import firing_ratio, match_decoders, scale_dictionaries


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def units(n: int) -> dict[str, np.ndarray]:
    return {"entity": np.arange(n)}


def test_a_shuffled_dictionary_is_matched_latent_by_latent():
    first_MD = normal(40, 16)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    second_MD = first_MD[order] * torch.linspace(0.1, 9, 40)[:, None]
    found = match_decoders(first_MD, second_MD)
    np.testing.assert_array_equal(order[found.index_M], np.arange(40))
    np.testing.assert_allclose(found.cosine_M, 1)
    assert found.mutual_M.all()


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_matches_are_those_of_the_full_table(chunk):
    first_MD, second_KD = normal(60, 5), normal(45, 5, seed=1)
    cosine_MK = cosine_similarity(first_MD.double(), second_KD.double())
    found = match_decoders(first_MD, second_KD, chunk=chunk)
    np.testing.assert_array_equal(found.index_M, cosine_MK.argmax(1))
    np.testing.assert_allclose(found.cosine_M, cosine_MK.max(1), atol=1e-12)
    mutual = [cosine_MK.argmax(0)[cosine_MK[m].argmax()] == m for m in range(60)]
    np.testing.assert_array_equal(found.mutual_M, mutual)
    assert 0 < sum(mutual) < 45


def test_opposite_directions_do_not_match_and_empty_latents_have_no_mate():
    found = match_decoders(torch.tensor([[1.0, 0], [0, 0]]), torch.tensor([[-1.0, 0], [0.6, 0.8]]))
    assert found.index_M[0] == 1
    np.testing.assert_allclose(found.cosine_M, [0.6, 0])
    assert found.mutual_M.tolist() == [True, False]


@pytest.mark.parametrize(("latents", "d"), [(1, 3), (30, 8), (500, 20)])
def test_one_unrelated_direction_in_twenty_passes_chance(latents, d):
    rng = np.random.default_rng(0)
    second = rng.normal(size=(200, latents, d))
    second /= np.linalg.norm(second, axis=2, keepdims=True)
    first = rng.normal(size=(200, 50, d))
    first /= np.linalg.norm(first, axis=2, keepdims=True)
    best = (first @ second.swapaxes(1, 2)).max(2).ravel()
    chance = match_decoders(torch.ones(1, d), torch.ones(latents, d)).chance
    assert (best > chance).mean() == pytest.approx(0.05, abs=0.02)


def test_chance_is_certain_on_a_line():
    assert match_decoders(torch.ones(1, 1), torch.ones(3, 1)).chance == 1


def test_matching_refuses():
    with pytest.raises(InputError, match=r"\(3, 4\) and \(3, 5\)"):
        match_decoders(torch.ones(3, 4), torch.ones(3, 5))
    with pytest.raises(InputError, match=r"\(3, 4\) and \(0, 4\)"):
        match_decoders(torch.ones(3, 4), torch.ones(0, 4))
    bad = torch.ones(3, 4)
    bad[2, 1] = float("nan")
    with pytest.raises(InputError, match="latent 2 of the second decoder"):
        match_decoders(torch.ones(3, 4), bad)


# Firing rates -----------------------------------------------------------------------------------


def test_ratios_are_of_counts_with_half_a_row_added():
    first_NM, second_NM = torch.zeros(2, 40, 4)
    first_NM[:20, 0], second_NM[:10, 0] = 0.3, 5
    first_NM[:8, 1] = 1  # falls silent
    second_NM[:8, 2] = 1  # wakes up
    table = firing_ratio(first_NM, second_NM, units(40), seed=0, n_boot=200)
    assert table["first_rate"].tolist() == pytest.approx([0.5, 0.2, 0, 0])
    assert table["second_rate"].tolist() == pytest.approx([0.25, 0, 0.2, 0])
    assert table["ratio"].tolist()[:3] == pytest.approx([10.5 / 20.5, 0.5 / 8.5, 8.5 / 0.5])
    assert ((table["lo"] < table["ratio"]) & (table["ratio"] < table["hi"])).tolist()[:3] == [
        True
    ] * 3
    assert table.loc[3, ["ratio", "lo", "hi"]].isna().all()


def test_the_other_way_round_the_ratio_and_its_limits_are_inverted():
    rng = np.random.default_rng(0)
    first_NM, second_NM = (rng.random((60, 2)) < rate for rate in (0.5, 0.3))
    one = firing_ratio(first_NM, second_NM, units(60), seed=0, n_boot=400)
    two = firing_ratio(second_NM, first_NM, units(60), seed=0, n_boot=400)
    np.testing.assert_allclose(two["ratio"], 1 / one["ratio"])
    np.testing.assert_allclose(two["lo"], 1 / one["hi"], rtol=0.02)


def test_intervals_hold_the_true_ratio_of_entities_whose_rows_go_together():
    rng, held = np.random.default_rng(0), []
    entity_N = np.repeat(np.arange(40), 3)
    for draw in range(100):
        # The two models agree about an entity, more or less; each of its rows says so again.
        known_E = rng.random(40)
        first, second = (np.repeat(known_E < rate, 3)[:, None] for rate in (0.6, 0.3))
        table = firing_ratio(first, second, {"entity": entity_N}, seed=draw, n_boot=300)
        held.append(table["lo"][0] <= 0.5 <= table["hi"][0])
    assert np.mean(held) >= 0.88


def test_firing_ratio_refuses():
    with pytest.raises(InputError, match=r"\(4, 2\) and \(4, 3\)"):
        firing_ratio(np.ones((4, 2)), np.ones((4, 3)), units(4), seed=0)
    with pytest.raises(InputError, match=r"\(4,\) and \(4,\)"):
        firing_ratio(np.ones(4), np.ones(4), units(4), seed=0)
    bad = np.ones((4, 2))
    bad[2, 0] = np.nan
    with pytest.raises(InputError, match="row 2 of the first"):
        firing_ratio(bad, np.ones((4, 2)), units(4), seed=0)
    with pytest.raises(InputError, match="5 units of the level 'entity' for 4 rows"):
        firing_ratio(np.ones((4, 2)), np.ones((4, 2)), units(5), seed=0)


# Two dictionaries as a crosscoder that shares nothing --------------------------------------------


def dictionary(directions_MD: Tensor, **config: object) -> SAE:
    """SAELens' own, that reads and writes these orthonormal directions."""
    latents, d = directions_MD.shape
    sae = StandardSAE(StandardSAEConfig(d_in=d, d_sae=latents, **config))
    sae.load_state_dict(
        {
            "W_enc": directions_MD.T.contiguous(),
            "b_enc": torch.full((latents,), -1e-3),  # above rounding
            "W_dec": directions_MD.clone(),
            "b_dec": torch.zeros(d),
        }
    )
    return sae


def sparse_sums(directions_MD: Tensor, n: int = 1500, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    latents = len(directions_MD)
    values = (rng.random((n, latents)) < 0.2) * rng.uniform(0.5, 1.5, (n, latents))
    return torch.tensor(values, dtype=torch.float32) @ directions_MD


def test_a_latent_is_found_in_whatever_latents_the_other_dictionary_has_it():
    base_DD = torch.linalg.qr(normal(8, 8))[0]
    parent = sparse_sums(base_DD[:6])
    shuffled = base_DD[[5, 4, 2, 1, 0, 6]]  # direction 3 is missing, 6 is another
    rows_NCD = torch.stack(
        [parent, 10 * (parent - parent @ torch.outer(base_DD[3], base_DD[3]))], 1
    )
    table = classify(scale_dictionaries(dictionary(base_DD[:6]), dictionary(shuffled), rows_NCD))
    expected = ["shared"] * 6 + ["shared"] * 5 + ["silent"]
    expected[3] = "lost"
    assert table["class"].tolist() == expected
    assert table["owner"].tolist() == [0] * 6 + [1] * 6
    table = table[table["class"] == "shared"]
    assert (table["nu_reconstruction"] > 0.8).all()
    np.testing.assert_allclose(table["nu_error"], 0, atol=1e-3)


def test_its_ratios_are_the_published_formula():
    first_MD, second_MD = normal(12, 6), normal(9, 6, seed=1)
    rows_NCD = normal(200, 2, 6, seed=2) * torch.tensor([[[1.0], [3.0]]]) + 0.5
    coders = dictionary(first_MD), dictionary(second_MD)
    found = classify(scale_dictionaries(*coders, rows_NCD, batch=33), min_active=1)
    rows = rows_NCD.double()
    scale_C = ((rows - rows.mean(0)).square().mean((0, 2))).sqrt()
    own = (rows - rows.mean(0)) / scale_C[:, None]
    with torch.no_grad():
        codes = [coder.encode(rows_NCD[:, at]) for at, coder in enumerate(coders)]
        written = [coder.decode(code) for coder, code in zip(coders, codes, strict=True)]
    written_NCD = (torch.stack(written, 1).double() - rows.mean(0)) / scale_C[:, None]
    for latent in (0, 5, 11, 12, 16, 20):
        owner, at = divmod(latent, 12)
        value_N = codes[owner][:, at].double()
        direction_D = (first_MD, second_MD)[owner][at].double() / scale_C[owner]
        left = list((own - written_NCD).unbind(1))
        left[owner] = left[owner] + torch.outer(value_N, direction_D)
        for name, targets in (("reconstruction", written_NCD.unbind(1)), ("error", left)):
            # The shared denominator of the two factors falls out of their ratio.
            beta = [float(direction_D @ (target.T @ value_N)) for target in targets]
            expected = beta[1 - owner] / beta[owner]
            assert found[f"nu_{name}"][latent] == pytest.approx(expected, rel=1e-4)


def test_two_dictionaries_of_one_model_are_a_null_for_the_cutoffs():
    base_DD = torch.linalg.qr(normal(16, 16))[0]
    rows_ND = sparse_sums(base_DD) + 0.05 * normal(1500, 16, seed=3)
    rows_NCD = torch.stack([rows_ND, rows_ND], 1)
    same = scale_dictionaries(dictionary(base_DD), dictionary(base_DD.flip(0)), rows_NCD)
    assert Cutoffs.from_null([same], rate=0) == Cutoffs(null_rate=0)
    # A second seed has not found one of 16 latents. The model has it all the same: it is in what
    # that dictionary leaves over, and nothing is called lost.
    short = scale_dictionaries(dictionary(base_DD), dictionary(base_DD[1:]), rows_NCD)
    table = classify(short)
    assert table["class"].tolist() == ["shared"] * 31
    assert abs(table["nu_reconstruction"][0]) < 0.5  # by that alone it would be missing
    assert table["nu_error"][0] == pytest.approx(1, abs=0.05)
    assert Cutoffs.from_null([same, short]) == Cutoffs(null_rate=0)


def test_two_dictionaries_refuse():
    base_DD = torch.eye(4)
    rows_NCD = sparse_sums(base_DD, 50)[:, None].repeat(1, 2, 1)
    good = dictionary(base_DD)
    with pytest.raises(InputError, match=r"\(50, 3, 4\); two dictionaries"):
        scale_dictionaries(good, good, rows_NCD[:, [0, 0, 0]])
    with pytest.raises(InputError, match="a dictionary of width 5 for activations of width 4"):
        scale_dictionaries(good, dictionary(torch.eye(5)), rows_NCD)
    with pytest.raises(InputError, match="fold that into its weights"):
        scale_dictionaries(good, dictionary(base_DD, normalize_activations="layer_norm"), rows_NCD)
    dead = dictionary(base_DD)
    dead.b_enc.data -= 100
    with pytest.raises(InputError, match="none of 8 latents"):
        scale_dictionaries(dead, dead, rows_NCD)
