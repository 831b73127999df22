"""A dictionary in the model's way: exact ones change nothing, empty ones are zeros."""

from __future__ import annotations

import pytest
import torch
from sae_lens import StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
from torch import Tensor

from interp.activations import Site, capture
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.features.dictionary import Dictionary
from interp.interventions import Add, ScaleLatents, Splice, intervene, load_for, splice
from interp.prompts import PromptSet, encode, render

SITE = Site("resid_post", 1)
TEXTS = ("who is w1 w2 ?", "w3 w4 w5 w6 w7 w8 is in w9", "q w1", "is w2 in w3 ? w4 w5")


@pytest.fixture
def prompts() -> PromptSet:
    return PromptSet.from_records(
        [
            {"prompt_id": str(n), "text": text, "should_abstain": False}
            for n, text in enumerate(TEXTS)
        ]
    )


def of(sae, site: Site | None = SITE) -> Dictionary:
    return Dictionary(sae, site, "made", {})


def exact(d: int, scale: float = 1.0) -> Dictionary:
    """Positive and negative parts of each coordinate: nothing is lost."""
    sae = StandardSAE(StandardSAEConfig(d_in=d, d_sae=2 * d, dtype="float32", device="cpu"))
    both_DM = torch.cat([torch.eye(d), -torch.eye(d)], dim=1)
    with torch.no_grad():
        sae.W_enc.copy_(both_DM)
        sae.W_dec.copy_(scale * both_DM.T)
        sae.b_enc.zero_()
        sae.b_dec.zero_()
    return of(sae)


def topk(d: int) -> Dictionary:
    torch.manual_seed(0)
    sae = TopKSAE(TopKSAEConfig(d_in=d, d_sae=4 * d, k=5, dtype="float32", device="cpu"))
    torch.nn.init.normal_(sae.b_dec)
    return of(sae)


def test_a_dictionary_that_loses_nothing_recovers_all_and_an_empty_one_none(loaded, prompts):
    whole = splice(loaded, prompts, exact(loaded.d_model))
    assert whole.spliced == pytest.approx(whole.clean, abs=1e-5)
    assert whole.recovered == pytest.approx(1, abs=1e-4)
    empty = splice(loaded, prompts, exact(loaded.d_model, scale=0.0))
    assert empty.spliced == pytest.approx(empty.zeroed, abs=1e-6)
    assert empty.recovered == pytest.approx(0, abs=1e-5)
    assert empty.identity_error < 1e-5


def test_losses_are_those_of_each_prompt_alone(loaded, prompts):
    dictionary = topk(loaded.d_model)
    found = splice(loaded, prompts, dictionary, token_budget=24)
    clean, spliced, n_tokens = 0.0, 0.0, 0
    for text in render(prompts, loaded.tokenizer):
        ids = encode([text], loaded.tokenizer).input_ids_BT
        everywhere = torch.ones_like(ids, dtype=torch.bool)
        with torch.no_grad():
            clean += float(loaded.model(ids, labels=ids).loss) * (ids.shape[1] - 1)
            with intervene(loaded, [Splice(SITE, dictionary)], everywhere):
                spliced += float(loaded.model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        n_tokens += ids.shape[1] - 1
    assert found.clean == pytest.approx(clean / n_tokens, rel=1e-5)
    assert found.spliced == pytest.approx(spliced / n_tokens, rel=1e-5)
    assert found.identity_error < 1e-5


def last_logits(loaded: LoadedModel, prompts: PromptSet, edits: list) -> Tensor:
    batch = encode(render(prompts, loaded.tokenizer), loaded.tokenizer, side="left")
    with torch.no_grad(), intervene(loaded, edits, batch.attention_mask_BT.bool()):
        return loaded.model(**batch.inputs).logits[:, -1]


def test_scaling_latents_changes_what_they_write_and_nothing_else(loaded, prompts):
    dictionary = topk(loaded.d_model)
    acts_ND = capture(loaded, prompts, [SITE], ["last_prompt"]).read(SITE, "last_prompt")
    codes_NM = dictionary.encode(acts_ND)
    latents = codes_NM.sum(0).topk(3).indices.tolist()
    edit = ScaleLatents(SITE, dictionary, latents, 0.25)
    rows = torch.arange(len(acts_ND))
    changed_ND = edit.apply(acts_ND, rows, rows) - acts_ND
    written_ND = codes_NM[:, latents] @ dictionary.sae.W_dec[latents].detach()
    torch.testing.assert_close(changed_ND, -0.75 * written_ND, rtol=1e-4, atol=1e-5)
    assert float(changed_ND.abs().max()) > 1e-3
    plain = last_logits(loaded, prompts, [])
    kept = last_logits(loaded, prompts, [ScaleLatents(SITE, dictionary, latents, 1.0)])
    torch.testing.assert_close(kept, plain)
    gone = last_logits(loaded, prompts, [ScaleLatents(SITE, dictionary, latents, 0.0)])
    assert float((gone - plain).abs().max()) > 1e-4


def test_what_does_not_fit_is_refused(load, prompts):
    loaded = load("llama")
    dictionary = topk(loaded.d_model)
    with pytest.raises(InputError, match=r"latents \[999\]; expected numbers from 0 to"):
        last_logits(loaded, prompts, [ScaleLatents(SITE, dictionary, [3, 999], 0.0)])
    with pytest.raises(InputError, match="latents none"):
        last_logits(loaded, prompts, [ScaleLatents(SITE, dictionary, [], 0.0)])
    with pytest.raises(InputError, match=r"a dictionary of resid_post\.1, not of resid_post\.0"):
        last_logits(loaded, prompts, [Splice(Site("resid_post", 0), dictionary)])
    with pytest.raises(
        InputError, match=f"activations of width 7; this model has {loaded.d_model}"
    ):
        last_logits(loaded, prompts, [Splice(SITE, topk(7))])
    with pytest.raises(InputError, match="does not say its site; give one"):
        splice(loaded, prompts, of(dictionary.sae, None))
    one = PromptSet.from_records([{"prompt_id": "a", "text": "q", "should_abstain": False}])
    with pytest.raises(InputError, match="every prompt is one token long"):
        splice(loaded, one, dictionary)


def test_scaling_and_adding_features_reach_every_generated_token(load, prompts):
    """Cached generation equals one that runs every prefix anew, with the same edits."""
    loaded = load("llama")
    dictionary = topk(loaded.d_model)
    edits = [
        ScaleLatents(SITE, dictionary, list(range(20)), 3.0),
        Add(SITE, dictionary.decoder_MD[7], 2.0),
    ]
    batch = encode(render(prompts, loaded.tokenizer), loaded.tokenizer, side="left")
    mask_BT = batch.attention_mask_BT.bool()
    settings = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    found = []
    for cached in (True, False):
        with torch.no_grad(), intervene(loaded, edits, mask_BT, generated=True):
            found.append(loaded.model.generate(**batch.inputs, use_cache=cached, **settings))
    assert torch.equal(*found)
    with torch.no_grad():
        plain = loaded.model.generate(**batch.inputs, **settings)
    assert not torch.equal(found[0], plain)


def test_loading_for_a_model_splices_and_refuses_what_does_not_fit(load, prompts, tmp_path):
    loaded = load("llama")
    dictionary = topk(loaded.d_model)
    dictionary.sae.cfg.metadata.hook_name = "blocks.1.hook_resid_post"
    dictionary.sae.save_model(tmp_path / "right")
    found, spliced = load_for(loaded, tmp_path / "right", prompts)
    assert found.site == SITE
    assert spliced == splice(loaded, prompts, dictionary)
    assert spliced.identity_error < 1e-5
    topk(7).sae.save_model(tmp_path / "wide")
    with pytest.raises(InputError, match="for activations of width 7"):
        load_for(loaded, tmp_path / "wide", prompts, site=SITE)
    topk(loaded.d_model).sae.save_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match="does not say its site"):
        load_for(loaded, tmp_path / "nowhere", prompts)


@pytest.mark.parametrize("kept", ["layer_norm", "none"])
def test_a_dictionary_that_keeps_the_inputs_scale_is_scaled_too(loaded, prompts, kept):
    config = StandardSAEConfig(
        d_in=loaded.d_model,
        d_sae=4 * loaded.d_model,
        dtype="float32",
        device="cpu",
        normalize_activations=kept,
    )
    torch.manual_seed(1)
    dictionary = of(StandardSAE(config))
    acts_ND = capture(loaded, prompts, [SITE], ["last_prompt"]).read(SITE, "last_prompt")
    rows = torch.arange(len(acts_ND))
    every = list(range(dictionary.n_latents))
    silent = ScaleLatents(SITE, dictionary, every, 0.0).apply(acts_ND, rows, rows)
    zeros_NM = torch.zeros(len(acts_ND), dictionary.n_latents)
    with torch.no_grad():
        dictionary.sae.encode(acts_ND)
        bias_ND = dictionary.sae.decode(zeros_NM)
    torch.testing.assert_close(silent, acts_ND - dictionary.reconstruct(acts_ND) + bias_ND)
