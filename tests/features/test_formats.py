"""Dictionaries of every published format compute what their own libraries compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens import SAE, TopKSAE, TopKSAEConfig
from safetensors.torch import save_file
from torch import Tensor

from interp.activations import Site
from interp.checkpoints import Checkpoint
from interp.errors import InputError
from interp.features.dictionary import Dictionary, load_dictionary, load_release
from tests.checkpoints.tiny import D_MODEL, N_LAYERS, write_checkpoint

D, M, K, N = 12, 40, 5, 64


@pytest.fixture
def parts() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "encoder_MD": draw(M, D),
        "decoder_MD": torch.nn.functional.normalize(draw(M, D), dim=1),
        "b_enc": 0.3 * draw(M),
        "b_dec": 0.5 * draw(D),
        "threshold": draw(M).abs(),
        "x": draw(N, D),
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def topk(pre_NM: Tensor) -> Tensor:
    kept = torch.zeros_like(pre_NM)
    values, index = pre_NM.relu().topk(K, dim=1)
    return kept.scatter(1, index, values)


def gemma_scope(folder: Path, p: dict[str, Tensor]) -> Tensor:
    arrays = {
        "W_enc": p["encoder_MD"].T,
        "W_dec": p["decoder_MD"],
        "b_enc": p["b_enc"],
        "b_dec": p["b_dec"],
        "threshold": p["threshold"],
    }
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})
    pre_NM = p["x"] @ p["encoder_MD"].T + p["b_enc"]
    return (pre_NM.relu() * (pre_NM > p["threshold"])) @ p["decoder_MD"] + p["b_dec"]


def llama_scope(folder: Path, p: dict[str, Tensor]) -> Tensor:
    config = {
        "d_model": D,
        "d_sae": M,
        "jump_relu_threshold": 0.7,
        "dataset_average_activation_norm": {"in": 9.0, "out": 9.0},
    }
    write_json(folder / "hyperparams.json", config)
    (folder / "checkpoints").mkdir()
    save_file(
        {
            "encoder.weight": p["encoder_MD"],
            "decoder.weight": p["decoder_MD"].T.contiguous(),
            "encoder.bias": p["b_enc"],
            "decoder.bias": p["b_dec"],
        },
        folder / "checkpoints" / "final.safetensors",
    )
    scale = D**0.5 / 9.0
    pre_NM = scale * p["x"] @ p["encoder_MD"].T + p["b_enc"]
    scaled_ND = (pre_NM.relu() * (pre_NM > 0.7)) @ p["decoder_MD"] + p["b_dec"]
    return scaled_ND / scale


def sparsify(folder: Path, p: dict[str, Tensor]) -> Tensor:
    write_json(folder / "cfg.json", {"d_in": D, "num_latents": M, "k": K, "activation": "topk"})
    save_file(
        {
            "encoder.weight": p["encoder_MD"],
            "encoder.bias": p["b_enc"],
            "W_dec": p["decoder_MD"],
            "b_dec": p["b_dec"],
        },
        folder / "sae.safetensors",
    )
    pre_NM = (p["x"] - p["b_dec"]) @ p["encoder_MD"].T + p["b_enc"]
    return topk(pre_NM) @ p["decoder_MD"] + p["b_dec"]


def dictionary_learning(folder: Path, p: dict[str, Tensor], kind: str) -> Tensor:
    write_json(folder / "config.json", {"trainer": {"dict_class": kind, "k": K}, "buffer": {}})
    weights = {
        "encoder.weight": p["encoder_MD"],
        "encoder.bias": p["b_enc"],
        "decoder.weight": p["decoder_MD"].T,
        "b_dec": p["b_dec"],
        "threshold": torch.tensor(0.6),
        "k": torch.tensor(K),
    }
    if kind == "AutoEncoder":
        weights = {name: weights[name] for name in list(weights)[:3]} | {"bias": p["b_dec"]}
    if kind == "MatryoshkaBatchTopKSAE":
        weights = {
            "W_enc": p["encoder_MD"].T,
            "W_dec": p["decoder_MD"],
            "b_enc": p["b_enc"],
            "b_dec": p["b_dec"],
            "threshold": torch.tensor(0.6),
        }
    torch.save(weights, folder / "ae.pt")
    pre_NM = (p["x"] - p["b_dec"]) @ p["encoder_MD"].T + p["b_enc"]
    codes = {
        "AutoEncoder": pre_NM.relu(),
        "AutoEncoderTopK": topk(pre_NM),
        "BatchTopKSAE": pre_NM.relu() * (pre_NM > 0.6),
        "MatryoshkaBatchTopKSAE": pre_NM.relu() * (pre_NM > 0.6),
    }
    return codes[kind] @ p["decoder_MD"] + p["b_dec"]


@pytest.mark.parametrize("write", [gemma_scope, llama_scope, sparsify])
def test_a_published_format_reconstructs_as_its_library_does(tmp_path, parts, write) -> None:
    expected_ND = write(tmp_path, parts)
    found_ND = load_dictionary(tmp_path).reconstruct(parts["x"])
    torch.testing.assert_close(found_ND, expected_ND, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "kind", ["AutoEncoder", "AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"]
)
def test_dictionary_learning_reconstructs_as_it_does_itself(tmp_path, parts, kind) -> None:
    expected_ND = dictionary_learning(tmp_path, parts, kind)
    found_ND = load_dictionary(tmp_path).reconstruct(parts["x"])
    torch.testing.assert_close(found_ND, expected_ND, rtol=1e-5, atol=1e-5)


def saved(folder: Path) -> SAE:
    sae = TopKSAE(TopKSAEConfig(d_in=D, d_sae=M, k=K, dtype="float32", device="cpu"))
    sae.cfg.metadata.hook_name = "blocks.2.hook_mlp_out"
    sae.save_model(folder)
    return sae


def test_what_sae_lens_saved_is_read_back_with_its_site(tmp_path, parts) -> None:
    sae = saved(tmp_path)
    found = load_dictionary(tmp_path)
    assert found.site == Site("mlp_out", 2)
    assert found.n_latents == M
    torch.testing.assert_close(found.encode(parts["x"]), sae.encode(parts["x"]))
    torch.testing.assert_close(found.decoder_MD.norm(dim=1), torch.ones(M))
    assert load_dictionary(tmp_path, site=Site("resid_post", 1)).site == Site("resid_post", 1)
    with pytest.raises(InputError, match=rf"shape \({N}, {D - 1}\); expected \(n, {D}\)"):
        found.encode(parts["x"][:, 1:])


def test_a_folder_that_is_no_dictionary_says_what_was_expected(tmp_path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_dictionary(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match=r"sae_lens: cfg.json and .*; found notes\.txt"):
        load_dictionary(tmp_path)


def test_missing_keys_are_named_beside_those_found(tmp_path, parts) -> None:
    sparsify(tmp_path, parts)
    save_file({"encoder.weight": parts["encoder_MD"]}, tmp_path / "sae.safetensors")
    with pytest.raises(
        InputError, match=r"lack encoder\.bias, W_dec, b_dec; expected .*, found encoder\.weight$"
    ):
        load_dictionary(tmp_path)


def test_weights_that_cannot_be_a_dictionary_are_refused(tmp_path, parts) -> None:
    saved(tmp_path)
    weights = {
        "W_enc": parts["encoder_MD"].T.contiguous(),
        "W_dec": parts["decoder_MD"],
        "b_enc": parts["b_enc"],
        "b_dec": parts["b_dec"],
    }
    path = tmp_path / "sae_weights.safetensors"
    broken = {**weights, "b_enc": weights["b_enc"].index_fill(0, torch.tensor([3]), float("nan"))}
    save_file(broken, path)
    with pytest.raises(InputError, match="NaN or Inf in b_enc"):
        load_dictionary(tmp_path)
    save_file({**weights, "W_dec": torch.zeros(M, D)}, path)
    with pytest.raises(InputError, match="all latents are dead: W_dec is zero"):
        load_dictionary(tmp_path)
    save_file({**weights, "W_enc": torch.ones(D, M + 1)}, path)
    with pytest.raises(InputError, match=r"do not make a dictionary .*W_enc \(12, 41\)"):
        load_dictionary(tmp_path)
    save_file({name: weights[name] for name in ("W_enc", "W_dec", "b_dec")}, path)
    with pytest.raises(InputError, match=r"do not make a dictionary .*b_enc"):
        load_dictionary(tmp_path)
    path.write_bytes(b"\x10garbage")
    with pytest.raises(InputError, match=r"sae_weights\.safetensors: damaged"):
        load_dictionary(tmp_path)


def test_a_pickle_that_runs_code_is_not_read(tmp_path, parts) -> None:
    dictionary_learning(tmp_path, parts, "AutoEncoderTopK")
    torch.save({"encoder.weight": Path("/")}, tmp_path / "ae.pt")
    with pytest.raises(InputError, match="holds more than tensors, and is not read"):
        load_dictionary(tmp_path)
    write_json(tmp_path / "config.json", {"trainer": {"dict_class": "GatedAutoEncoder"}})
    torch.save({}, tmp_path / "ae.pt")
    with pytest.raises(InputError, match="dict_class 'GatedAutoEncoder'"):
        load_dictionary(tmp_path)


def test_a_dictionary_of_another_model_or_site_is_refused(tmp_path) -> None:
    loaded = Checkpoint(write_checkpoint(tmp_path / "model", "llama"), "model").load()
    other = Checkpoint(write_checkpoint(tmp_path / "other", "llama", seed=1), "other").load()
    sae = TopKSAE(TopKSAEConfig(d_in=D_MODEL, d_sae=M, k=K, dtype="float32", device="cpu"))
    about = {"checkpoint": loaded.checkpoint.fingerprint, "model_name": "model"}
    site = Site("resid_post", 2)
    mine = Dictionary(sae, site, "mine", about)
    mine.require(loaded, site)
    mine.require(other, site, another_model=True)
    with pytest.raises(InputError, match=r"mine: trained on another model \(model\) than other"):
        mine.require(other, site)
    with pytest.raises(InputError, match=r"a dictionary of resid_post\.2, not of resid_post\.1"):
        mine.require(loaded, Site("resid_post", 1))
    with pytest.raises(InputError, match=rf"resid_post\.9; model has {N_LAYERS} layers"):
        Dictionary(sae, Site("resid_post", 9), "mine", {}).require(loaded)
    narrow = TopKSAE(TopKSAEConfig(d_in=D, d_sae=M, k=K, dtype="float32", device="cpu"))
    with pytest.raises(InputError, match=f"activations of width {D}; model has {D_MODEL}"):
        Dictionary(narrow, None, "mine", {}).require(loaded)


def test_a_release_comes_with_its_site_and_neuronpedia_id(tmp_path, parts, monkeypatch) -> None:
    sae = saved(tmp_path)
    sae.cfg.metadata.neuronpedia_id = "some-model/3-res"
    asked = []

    def fetched(release, sae_id, device, dtype):
        asked.append((release, sae_id, device, dtype))
        return sae, {"architecture": sae.cfg.architecture()}, None

    monkeypatch.setattr(SAE, "from_pretrained_with_cfg_and_sparsity", fetched)
    dictionary = load_release("some-release", "layer_3")
    assert asked == [("some-release", "layer_3", "cpu", "float32")]
    assert dictionary.source == "some-release/layer_3"
    assert dictionary.about["neuronpedia_id"] == "some-model/3-res"
    assert dictionary.n_latents == sae.cfg.d_sae


def test_a_release_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"no-such-release layer_3: cannot be had"):
        load_release("no-such-release", "layer_3")
