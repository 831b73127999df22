"""Logit effects are an explicit product with the unembedding, and the slope of the model itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from torch import nn
from transformers import PreTrainedTokenizerFast

from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.features.logit_effects import direct_logits, logit_effects, spelled
from tests.checkpoints.tiny import ARCHITECTURES, D_MODEL, word_tokenizer, write_checkpoint

CENTRED = ("gpt2", "gpt_neox", "gpt_neox_sequential")


def tiny(tmp_path, architecture: str = "llama") -> LoadedModel:
    loaded = Checkpoint(write_checkpoint(tmp_path / "tiny", architecture), "tiny").load()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # initial norms have the weight 1 and the bias 0
        for parameter in norm_of(loaded).parameters():
            parameter.add_(torch.randn(D_MODEL, generator=generator) * 0.5)
    return loaded


def norm_of(loaded: LoadedModel) -> nn.Module:
    names = dict(loaded.model.base_model.named_children())
    return next(names[n] for n in ("norm", "ln_f", "final_layer_norm") if n in names)


def direction(seed: int = 2) -> torch.Tensor:
    return torch.randn(D_MODEL, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_the_explicit_product(tmp_path, architecture: str) -> None:
    loaded, along_D = tiny(tmp_path, architecture), direction()
    weight_D = norm_of(loaded).weight.detach()
    gain_D = 1 + weight_D if architecture == "gemma2" else weight_D
    read_D = along_D - along_D.mean() if architecture in CENTRED else along_D
    head_VD = loaded.model.get_output_embeddings().weight.detach()
    torch.testing.assert_close(
        direct_logits(loaded, along_D), head_VD @ (gain_D * read_D), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("architecture", ["llama", "olmo2", "gpt_neox", "gpt2"])
def test_they_are_the_slope_of_the_models_own_logits(tmp_path, architecture: str) -> None:
    """Along a direction that leaves the norm's scale as it is, up to that scale."""
    loaded = tiny(tmp_path, architecture)
    norm, head = norm_of(loaded), loaded.model.get_output_embeddings()
    state_D = direction(5)
    centred_D = state_D - state_D.mean() if architecture in CENTRED else state_D
    along_D = direction() - (direction() @ centred_D) / (centred_D @ centred_D) * centred_D
    _, slope_V = torch.func.jvp(lambda s: head(norm(s[None]))[0], (state_D,), (along_D,))
    scale = centred_D.square().mean().sqrt()
    torch.testing.assert_close(
        direct_logits(loaded, along_D), slope_V.detach() * scale, rtol=1e-3, atol=1e-4
    )


def test_a_norm_without_weight_and_an_odd_width() -> None:
    width, n_vocab = 7, 5
    model = nn.Module()
    model.base_model = nn.Module()
    model.base_model.norm = nn.LayerNorm(width, elementwise_affine=False)
    model.head = nn.Linear(width, n_vocab, bias=False)
    model.get_output_embeddings = lambda: model.head
    model.config = type("Config", (), {"hidden_size": width})()
    loaded = LoadedModel.__new__(LoadedModel)
    object.__setattr__(loaded, "model", model)
    along_D = torch.arange(width).float() ** 2
    expected = model.head.weight.detach() @ (along_D - along_D.mean())
    torch.testing.assert_close(direct_logits(loaded, along_D), expected, rtol=1e-4, atol=1e-4)


def test_both_ends_are_those_of_a_sort_centred_over_the_vocabulary(tmp_path) -> None:
    loaded = tiny(tmp_path)
    # Two rows more than there are tokens, as heads are padded; none of them may show.
    loaded.model.resize_token_embeddings(len(loaded.tokenizer) + 2)
    with torch.no_grad():
        loaded.model.get_output_embeddings().weight[-2:] = 100 * direction()
    logits = direct_logits(loaded, direction())[: len(loaded.tokenizer)].double()
    centred = {token: x for token, x in enumerate((logits - logits.mean()).tolist())}
    ranked = sorted(centred, key=lambda token: (-centred[token], token))
    found = logit_effects(loaded, direction(), 6)
    assert [effect.id for effect in found.top] == ranked[:6]
    assert [effect.id for effect in found.bottom] == ranked[::-1][:6]
    for effect in found.top + found.bottom:
        assert effect.logit == pytest.approx(centred[effect.id], rel=1e-4)
        assert effect.text.strip() == loaded.tokenizer.convert_ids_to_tokens(effect.id)
    everything = logit_effects(loaded, direction(), 10_000)
    assert [effect.id for effect in everything.top] == ranked
    assert sum(effect.logit for effect in everything.top) == pytest.approx(0, abs=1e-3)


def test_ties_go_to_the_lower_id(tmp_path) -> None:
    found = logit_effects(tiny(tmp_path), torch.zeros(D_MODEL), 3)
    assert (
        [effect.id for effect in found.top] == [effect.id for effect in found.bottom] == [0, 1, 2]
    )


def test_a_model_in_bfloat16_gives_the_same(tmp_path) -> None:
    loaded = tiny(tmp_path, "gpt_neox")
    expected = direct_logits(loaded, direction())
    half = direct_logits(replace(loaded, model=loaded.model.bfloat16()), direction())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected, rtol=0.02, atol=0.05)
    assert norm_of(loaded).weight.dtype == torch.bfloat16


def byte_tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def test_tokens_of_bytes_are_read_as_text() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer("a \n\té")["input_ids"]
    texts = spelled(tokenizer, ids)
    # Half a letter has no text: its two bytes stay as the tokenizer spells them.
    assert [texts[i] for i in ids] == ["a", " ", "\n", "\t", "Ã", "©"]


def test_a_space_that_decoders_take_off_the_front_is_kept() -> None:
    vocab = {"▁the": 0, "re": 1, "<0x0A>": 2, "▁": 3}
    backend = Tokenizer(BPE(vocab, [], byte_fallback=True))
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert spelled(tokenizer, [0, 1, 2, 3]) == {0: " the", 1: "re", 2: "\n", 3: " "}


def test_special_tokens_are_named() -> None:
    assert spelled(word_tokenizer(), [2, 2])[2].strip() == "<eos>"


def test_a_direction_of_another_width_is_refused(tmp_path) -> None:
    loaded = tiny(tmp_path)
    with pytest.raises(InputError, match=rf"shape \(3,\).* of tiny has {D_MODEL}"):
        logit_effects(loaded, torch.ones(3), 2)


def test_no_tokens_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="0 tokens asked for"):
        logit_effects(tiny(tmp_path), direction(), 0)


def test_a_norm_under_an_unknown_name_is_refused(tmp_path) -> None:
    loaded = tiny(tmp_path)
    loaded.model.base_model.last = loaded.model.base_model.norm
    del loaded.model.base_model.norm
    with pytest.raises(InputError, match="LlamaForCausalLM has no final norm under a known name"):
        logit_effects(loaded, direction(), 2)


def test_a_model_without_a_head_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny(tmp_path)
    monkeypatch.setattr(loaded.model, "get_output_embeddings", lambda: None)
    with pytest.raises(InputError, match=r"tiny \(LlamaForCausalLM\) has no head in memory"):
        logit_effects(loaded, direction(), 2)
