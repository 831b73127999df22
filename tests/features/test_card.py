from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sae_lens import SAE, JumpReLUSAE, JumpReLUSAEConfig
from safetensors.torch import load_file, save_file

from interp.errors import InputError
from interp.features.card import check_unchanged, note, quality, read_card, write_card
from interp.features.dictionary import load_dictionary

N, D, M = 100, 8, 40
WEIGHTS = "sae_weights.safetensors"


def rows(n=N, seed=0, mean=3.0):
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed)) + mean


class Mean:
    """Returns one vector for every row; no latent is ever active."""

    def __init__(self, mean_D):
        self.mean_D = mean_D

    def parameters(self):
        return iter([self.mean_D])

    def encode(self, acts_ND):
        return torch.zeros(len(acts_ND), M)

    def decode(self, codes_NM):
        return self.mean_D.expand(len(codes_NM), D)


class Linear(Mean):
    """Codes x + shift, decoded exactly or `share` of it."""

    def __init__(self, share=1.0):
        self.share, self.mean_D = share, rows().mean(0)

    def encode(self, acts_ND):
        return torch.cat([acts_ND - self.mean_D, torch.zeros(len(acts_ND), M - D)], 1)

    def decode(self, codes_NM):
        return self.share * codes_NM[:, :D] + self.mean_D


def jumprelu(seed=0):
    generator = torch.Generator().manual_seed(seed)
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=D, d_sae=M, apply_b_dec_to_input=False))
    with torch.no_grad():
        for part in (sae.W_enc, sae.W_dec, sae.b_enc, sae.b_dec):
            part.copy_(torch.randn(part.shape, generator=generator) / 2)
        sae.threshold.copy_(4 * torch.rand(M, generator=generator))
    return sae


def kept(folder, sae=None, card=None):
    """A saved dictionary with its card."""
    sae = sae or jumprelu()
    sae.save_model(folder)
    write_card(folder, card or {"seed": 1}, sae, rows())
    return sae


def test_the_mean_explains_nothing_and_has_no_latents():
    found = quality(Mean(rows().mean(0)), rows())
    assert found.fvu == pytest.approx(1, abs=1e-6)
    assert (found.l0, found.dead, found.rows) == (0, 1, N)


def test_a_constant_off_the_mean_is_worse_by_the_square_of_the_distance():
    acts_ND = rows()
    off_D = torch.arange(D) / 4
    found = quality(Mean(acts_ND.mean(0) + off_D), acts_ND)
    variance = acts_ND.double().var(0, correction=0).sum()
    assert found.fvu == pytest.approx(1 + float(off_D.square().sum() / variance), rel=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0, -1.0])
def test_a_share_of_the_deviations_leaves_the_square_of_the_rest(share):
    found = quality(Linear(share), rows())
    assert found.fvu == pytest.approx((1 - share) ** 2, abs=1e-9, rel=1e-5)
    assert (found.l0, found.dead) == (D, pytest.approx(1 - D / M))  # negative codes are active too


def measured_in_numpy(sae, acts_ND):
    p = {name: part.detach().double().numpy() for name, part in sae.named_parameters()}
    x_ND = acts_ND.double().numpy()
    pre_NM = x_ND @ p["W_enc"] + p["b_enc"]
    code_NM = np.where(pre_NM > p["threshold"], np.maximum(pre_NM, 0), 0)
    left = ((x_ND - code_NM @ p["W_dec"] - p["b_dec"]) ** 2).sum()
    spread = ((x_ND - x_ND.mean(0)) ** 2).sum()
    return left / spread, (code_NM > 0).sum(1).mean(), 1 - (code_NM > 0).any(0).mean()


@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 70))
def test_what_is_measured_is_what_numpy_finds_however_rows_are_cut(seed, n, batch):
    sae, acts_ND = jumprelu(seed), rows(n, seed)
    found = quality(sae, acts_ND, batch=batch)
    fvu, l0, dead = measured_in_numpy(sae, acts_ND)
    assert found.fvu == pytest.approx(fvu, rel=1e-5)
    assert (found.l0, found.dead) == (pytest.approx(l0), pytest.approx(dead, abs=1e-6))
    assert found.rows == n


@pytest.mark.parametrize("n", [0, 1, 7, 1000])
@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e6])
def test_rows_that_are_all_equal_are_refused(n, value):
    with pytest.raises(InputError, match=rf"dictionary: {n} rows without variance"):
        quality(jumprelu(), torch.full((n, D), value))


def test_a_card_is_read_as_it_was_written_and_added_to(tmp_path):
    kept(tmp_path, card={"seed": 1, "options": {"k": 3}, "l0": 0.1})
    assert read_card(tmp_path) == {"seed": 1, "options": {"k": 3}, "l0": 0.1}
    note(tmp_path, ce=0.9, l0=0.2)
    assert read_card(tmp_path) == {"seed": 1, "options": {"k": 3}, "l0": 0.2, "ce": 0.9}
    assert load_dictionary(tmp_path).about["ce"] == 0.9
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        note(tmp_path, ce=float("nan"))
    assert read_card(tmp_path)["ce"] == 0.9


def test_where_there_is_no_card_it_is_empty(tmp_path):
    assert read_card(tmp_path) == {}


@pytest.mark.parametrize("text", ["", '{"seed": 1', "[1, 2]", "3"])
def test_a_damaged_card_is_refused(tmp_path, text):
    (tmp_path / "model_card.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"model_card\.json: damaged: .*; train again"):
        read_card(tmp_path)


def change(folder, **changes):
    """Changes tensors of the weights file, as a copy gone wrong or another version of it would."""
    weights = load_file(folder / WEIGHTS)
    for name, changed in changes.items():
        weights[name] = changed(weights[name]).contiguous()
    save_file(weights, folder / WEIGHTS)


def l0_of(folder):
    with torch.no_grad():
        return float((SAE.load_from_disk(folder).encode(rows()[:32]) != 0).sum(1).float().mean())


def test_what_is_unchanged_loads_in_both_precisions(tmp_path):
    sae = kept(tmp_path)
    for dtype in ("float32", "float64", "bfloat16"):
        loaded = load_dictionary(tmp_path, dtype=dtype)
        assert loaded.sae.W_dec.dtype == getattr(torch, dtype)
        assert loaded.about["seed"] == 1
    torch.testing.assert_close(
        load_dictionary(tmp_path).encode(rows()), sae.encode(rows()).detach()
    )


def test_a_threshold_that_was_lost_is_refused_with_l0_then_and_now(tmp_path):
    kept(tmp_path)
    before = l0_of(tmp_path)
    change(tmp_path, threshold=torch.zeros_like)
    after = l0_of(tmp_path)
    assert after > before + 1
    message = rf"not the one that was trained: on 32 kept rows L0 is {after:.1f}, was {before:.1f},"
    with pytest.raises(InputError, match=message):
        load_dictionary(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"W_dec": lambda part: part.flip(0)},
        {"W_dec": lambda part: part * 1.02},
        {"W_dec": lambda part: part * 1e38},
        {"b_dec": lambda part: part + 1},
        {"W_enc": lambda part: -part},
        {"b_enc": lambda part: part - 1},
        {"W_enc": lambda part: part[:, :-2], "W_dec": lambda part: part[:-2]},
    ],
)
def test_weights_that_changed_are_refused(tmp_path, changes):
    kept(tmp_path)
    change(tmp_path, **changes)
    with pytest.raises(InputError, match=str(tmp_path)):
        load_dictionary(tmp_path)


def test_latents_that_fire_where_none_did_are_refused_though_they_write_nothing(tmp_path):
    sae = jumprelu()
    with torch.no_grad():
        sae.W_dec[:5], sae.b_enc[:5] = 0, -100
    kept(tmp_path, sae)
    change(tmp_path, b_enc=lambda part: torch.cat([-part[:5], sae.b_enc[5:].detach()]))
    with pytest.raises(InputError, match=r"reconstruction differs by 0\.0%"):
        load_dictionary(tmp_path)


def test_what_is_encoded_in_another_way_is_refused(tmp_path):
    """The same weights; only the config says that the bias is taken off the input."""
    kept(tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text(encoding="utf-8"))
    text = json.dumps(config | {"apply_b_dec_to_input": True})
    (tmp_path / "cfg.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="not the one that was trained"):
        load_dictionary(tmp_path)


def test_rounding_is_not_a_change(tmp_path):
    kept(tmp_path)
    change(tmp_path, W_enc=lambda part: part * (1 + 1e-6), W_dec=lambda part: part * (1 - 1e-6))
    load_dictionary(tmp_path)


@pytest.mark.parametrize("damage", ["another width", "cut off", "a part missing"])
def test_kept_rows_that_do_not_fit_are_refused(tmp_path, damage):
    kept(tmp_path)
    path = tmp_path / "check.safetensors"
    held = load_file(path)
    if damage == "another width":
        save_file(held | {"acts": held["acts"][:, 1:].contiguous()}, path)
    elif damage == "cut off":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        save_file({"acts": held["acts"]}, path)
    with pytest.raises(InputError, match=r"the rows kept in check\.safetensors cannot be encoded"):
        check_unchanged(tmp_path, jumprelu())


def test_a_dictionary_without_kept_rows_loads_whatever_is_in_it(tmp_path):
    jumprelu().save_model(tmp_path)
    expected = l0_of(tmp_path)
    change(tmp_path, threshold=torch.zeros_like)
    loaded = load_dictionary(tmp_path)
    assert float((loaded.encode(rows()[:32]) != 0).sum(1).float().mean()) > expected
    assert "seed" not in loaded.about
