"""First-order effects of latents on the log odds of abstaining, against forwards and closed forms.

Models and dictionaries are float64 here, so that a difference of two forwards is a derivative. Root
mean square norms and rotary positions compute in float32 all the same, which bounds how small a
step can be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from sae_lens import StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
from torch import Tensor

from interp.activations import Site
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.features.dictionary import Dictionary
from interp.interventions import Add, ScaleLatents, attribute, intervene
from interp.prompts import PromptSet, encode
from tests.interventions.conftest import Load
from tests.interventions.tiny import Batch, resid

SITE = Site("resid_post", 1)
TEXTS = ("w3 w4 w5 w6 w7 w8 w9", "w11 w12", "w13 w4 w15 w7", "w21 w22 w3 w8 w30")
LAST = {"last_prompt": (6, 1, 3, 4), "prompt_first": (0, 0, 0, 0)}
PHRASES = ("w25 w3", "w17", "w25 w9")
FIRST = [17, 25]  # ids are the numbers of the words
EPS = 2e-3


def exactly(loaded: LoadedModel) -> LoadedModel:
    loaded.model.double()
    return loaded


@pytest.fixture
def exact(loaded: LoadedModel) -> LoadedModel:
    """Each architecture, in float64."""
    return exactly(loaded)


def of(texts: Sequence[str]) -> PromptSet:
    return PromptSet.from_records(
        [
            {"prompt_id": str(n), "text": text, "should_abstain": True}
            for n, text in enumerate(texts)
        ]
    )


def relu(d: int, site: Site | None = SITE, seed: int = 0) -> Dictionary:
    """A ReLU dictionary whose latents write vectors of all lengths."""
    torch.manual_seed(seed)
    sae = StandardSAE(StandardSAEConfig(d_in=d, d_sae=12, dtype="float64", device="cpu"))
    with torch.no_grad():
        for weight in (sae.W_enc, sae.W_dec, sae.b_enc, sae.b_dec):
            weight.normal_()
        sae.W_dec.mul_(0.05)  # of the size of what a block writes
    return Dictionary(sae, site, "made", {})


def two_parts(d: int, site: Site) -> Dictionary:
    """Positive and negative parts of each coordinate: what all latents write is the activation."""
    dictionary = relu(d, site)
    sae = StandardSAE(StandardSAEConfig(d_in=d, d_sae=2 * d, dtype="float64", device="cpu"))
    both_DM = torch.cat([torch.eye(d), -torch.eye(d)], dim=1)
    with torch.no_grad():
        sae.W_enc.copy_(both_DM)
        sae.W_dec.copy_(both_DM.T)
        sae.b_enc.zero_()
        sae.b_dec.zero_()
    return Dictionary(sae, dictionary.site, "made", {})


def alone(loaded: LoadedModel, text: str) -> Batch:
    batch = encode([text], loaded.tokenizer)
    return Batch(batch.input_ids_BT, batch.attention_mask_BT)


def log_odds(loaded: LoadedModel, text: str, edits: Sequence = (), token: int = 0) -> float:
    """By probabilities, of one prompt alone, with edits at one of its tokens."""
    batch = alone(loaded, text)
    mask_BT = torch.zeros_like(batch.ids_BT, dtype=torch.bool)
    mask_BT[0, token] = bool(edits)
    with torch.no_grad(), intervene(loaded, edits, mask_BT):
        p = float(loaded.model(**batch.inputs).logits[0, -1].softmax(-1)[FIRST].sum())
    return math.log(p) - math.log1p(-p)


def codes_at(loaded: LoadedModel, dictionary: Dictionary, text: str, token: int) -> Tensor:
    """Codes by the formula, of activations read by a hook of the test's own."""
    act_D = resid(loaded, alone(loaded, text), dictionary.site)[0, token]
    sae = dictionary.sae
    return ((act_D - sae.b_dec) @ sae.W_enc + sae.b_enc).relu().detach()


@pytest.mark.parametrize("position", LAST)
def test_effects_are_derivatives_by_what_each_latent_writes(exact: LoadedModel, position: str):
    dictionary = relu(exact.d_model)
    found = attribute(exact, of(TEXTS), dictionary, PHRASES, position=position)
    assert found.effect_NM.shape == (len(TEXTS), 12)
    largest = 0.0
    for row, (text, token) in enumerate(zip(TEXTS, LAST[position], strict=True)):
        code_M = codes_at(exact, dictionary, text, token)
        effect_M = found.effect_NM[row]
        assert not effect_M[code_M == 0].any()
        for latent in effect_M.abs().topk(3).indices.tolist():
            written_D = code_M[latent] * dictionary.sae.W_dec[latent].detach()
            less, more = (
                log_odds(exact, text, [Add(SITE, written_D, by)], token) for by in (-EPS, EPS)
            )
            wanted = (more - less) / (2 * EPS)
            assert float(effect_M[latent]) == pytest.approx(wanted, rel=1e-3, abs=2e-4)
            largest = max(largest, abs(wanted))
    assert largest > 0.05


def test_scaling_a_latent_changes_the_log_odds_by_its_effect(exact: LoadedModel):
    torch.manual_seed(1)
    sae = TopKSAE(TopKSAEConfig(d_in=exact.d_model, d_sae=24, k=4, dtype="float64", device="cpu"))
    torch.nn.init.normal_(sae.b_dec)
    dictionary = Dictionary(sae, SITE, "made", {})
    found = attribute(exact, of(TEXTS), dictionary, PHRASES)
    for row, (text, token) in enumerate(zip(TEXTS, LAST["last_prompt"], strict=True)):
        fires = found.effect_NM[row].nonzero()[:, 0].tolist()
        assert 0 < len(fires) <= 4
        for latent in fires:
            weaker, stronger = (
                log_odds(exact, text, [ScaleLatents(SITE, dictionary, [latent], by)], token)
                for by in (1 - EPS, 1 + EPS)
            )
            wanted = (stronger - weaker) / (2 * EPS)
            assert float(found.effect_NM[row, latent]) == pytest.approx(wanted, rel=1e-3, abs=2e-4)


def test_log_odds_are_those_of_a_plain_forward(exact: LoadedModel):
    found = attribute(exact, of(TEXTS), relu(exact.d_model), PHRASES)
    wanted = [log_odds(exact, text) for text in TEXTS]
    assert found.logodds_N.tolist() == pytest.approx(wanted, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("position", LAST)
def test_prompts_alone_give_what_a_padded_batch_gives(exact: LoadedModel, position: str):
    dictionary, prompts = relu(exact.d_model), of(TEXTS)
    together = attribute(exact, prompts, dictionary, PHRASES, position=position)
    short = attribute(exact, prompts, dictionary, PHRASES, position=position, token_budget=8)
    for row, text in enumerate(TEXTS):
        one = attribute(exact, of([text]), dictionary, PHRASES, position=position)
        for found in (together, short):
            torch.testing.assert_close(found.effect_NM[row], one.effect_NM[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(found.logodds_N[row], one.logodds_N[0], rtol=1e-5, atol=1e-5)


def test_the_model_is_left_as_it_was(load: Load):
    loaded = exactly(load("llama"))
    before = log_odds(loaded, TEXTS[0])
    attribute(loaded, of(TEXTS), relu(loaded.d_model), PHRASES)
    assert log_odds(loaded, TEXTS[0]) == before
    assert all(weight.grad is None for weight in loaded.model.parameters())


@pytest.fixture
def linear(load: Load) -> tuple[LoadedModel, Site]:
    """Log odds of the word w17 that are linear in the last residual stream.

    There is no norm before the head, and the head reads all other words alike.
    """
    loaded = exactly(load("llama"))
    loaded.model.model.norm = torch.nn.Identity()
    with torch.no_grad():
        head_VD = loaded.model.lm_head.weight
        head_VD[torch.arange(len(head_VD)) != 17] = head_VD[3].clone()
    return loaded, Site("resid_post", loaded.n_layers - 1)


def test_where_the_rest_is_linear_effects_are_exact_and_add_up(linear: tuple[LoadedModel, Site]):
    loaded, site = linear
    dictionary = two_parts(loaded.d_model, site)
    found = attribute(loaded, of(TEXTS), dictionary, ["w17"])
    head_VD = loaded.model.lm_head.weight.detach()
    pull_M = (head_VD[17] - head_VD[3]) @ dictionary.sae.W_dec.detach().T
    for row, (text, token) in enumerate(zip(TEXTS, LAST["last_prompt"], strict=True)):
        code_M = codes_at(loaded, dictionary, text, token)
        torch.testing.assert_close(
            found.effect_NM[row], (code_M * pull_M).float(), rtol=1e-5, atol=1e-5
        )
        # With nothing written every word is as likely: one against all others.
        whole = float(found.logodds_N[row]) + math.log(len(head_VD) - 1)
        assert float(found.effect_NM[row].sum()) == pytest.approx(whole, rel=1e-4, abs=1e-4)


def test_where_the_rest_is_linear_an_effect_is_what_ablation_takes(
    linear: tuple[LoadedModel, Site],
):
    loaded, site = linear
    dictionary = relu(loaded.d_model, site)
    found = attribute(loaded, of(TEXTS), dictionary, ["w17"])
    pairs = list(zip(TEXTS, LAST["last_prompt"], strict=True))
    for latent in range(dictionary.n_latents):
        gone = [ScaleLatents(site, dictionary, [latent], 0.0)]
        odds = [odds_of_17(loaded, text, gone, token) for text, token in pairs]
        torch.testing.assert_close(
            found.effect_NM[:, latent], found.logodds_N - torch.tensor(odds), rtol=1e-4, atol=1e-4
        )
    assert float(found.effect_NM.abs().max()) > 0.1


def odds_of_17(loaded: LoadedModel, text: str, edits: Sequence, token: int) -> float:
    batch = alone(loaded, text)
    mask_BT = torch.zeros_like(batch.ids_BT, dtype=torch.bool)
    mask_BT[0, token] = True
    with torch.no_grad(), intervene(loaded, edits, mask_BT):
        logit_V = loaded.model(**batch.inputs).logits[0, -1]
    others_V = torch.cat([logit_V[:17], logit_V[18:]])
    return float(logit_V[17] - others_V.logsumexp(0))


def test_phrases_that_begin_alike_count_once(load: Load):
    loaded = exactly(load("llama"))
    dictionary = relu(loaded.d_model)
    once = attribute(loaded, of(TEXTS), dictionary, ["w25 w3", "w17"])
    thrice = attribute(loaded, of(TEXTS), dictionary, ["w17 w4", "w25", "w25 w8", "w17"])
    torch.testing.assert_close(once.effect_NM, thrice.effect_NM)
    torch.testing.assert_close(once.logodds_N, thrice.logodds_N)


def test_a_dictionary_without_a_site_takes_the_one_given(load: Load):
    loaded = exactly(load("llama"))
    told = attribute(loaded, of(TEXTS), relu(loaded.d_model, None), PHRASES, site=SITE)
    own = attribute(loaded, of(TEXTS), relu(loaded.d_model), PHRASES)
    assert torch.equal(told.effect_NM, own.effect_NM)


def test_what_does_not_fit_is_refused(load: Load):
    loaded = load("llama")
    prompts, dictionary = of(TEXTS), relu(loaded.d_model)
    with pytest.raises(InputError, match="'prompt_mean' reads several tokens; expected one"):
        attribute(loaded, prompts, dictionary, PHRASES, position="prompt_mean")
    with pytest.raises(InputError, match="made: expected a site and at least one phrase"):
        attribute(loaded, prompts, dictionary, [])
    with pytest.raises(InputError, match="made: expected a site and at least one phrase"):
        attribute(loaded, prompts, relu(loaded.d_model, None), PHRASES)
    with pytest.raises(InputError, match=f"width 7; .* has {loaded.d_model}"):
        attribute(loaded, prompts, relu(7), PHRASES)
    with pytest.raises(InputError, match=r"a dictionary of resid_post\.1, not of resid_post\.2"):
        attribute(loaded, prompts, dictionary, PHRASES, site=Site("resid_post", 2))
    with pytest.raises(InputError, match="'' has no token of its own after the prompt"):
        attribute(loaded, prompts, dictionary, ["w17", ""])


def test_decoder_norms_that_decoding_divides_by_do_not_count(load: Load):
    """Folding them into the encoder leaves the function, and so the effects, as they are."""
    loaded = exactly(load("llama"))
    d = loaded.d_model
    torch.manual_seed(3)
    config = TopKSAEConfig(
        d_in=d, d_sae=4 * d, k=6, dtype="float64", device="cpu", rescale_acts_by_decoder_norm=True
    )
    sae = TopKSAE(config)
    with torch.no_grad():
        sae.W_dec.mul_(torch.rand(4 * d, 1, dtype=torch.float64) * 3 + 0.5)
    prompts = of(TEXTS)
    plain = attribute(loaded, prompts, Dictionary(sae, SITE, "made", {}), PHRASES)
    sae.fold_W_dec_norm()
    folded = attribute(loaded, prompts, Dictionary(sae, SITE, "made", {}), PHRASES)
    assert float(plain.effect_NM.abs().max()) > 1e-6
    torch.testing.assert_close(plain.effect_NM, folded.effect_NM, rtol=1e-5, atol=1e-9)
