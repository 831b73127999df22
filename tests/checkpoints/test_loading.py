"""What is asked for by name when a checkpoint is loaded: template, pickles, code, placement."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import InputError
from tests.checkpoints.tiny import word_tokenizer, write_checkpoint

IDS = torch.tensor([[3, 9, 12, 7]])
MESSAGES = [{"role": "user", "content": "w3"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model")


def refusal(checkpoint: Checkpoint, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        checkpoint.load(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def logits(checkpoint: Checkpoint, **options: Any) -> Tensor:
    with torch.no_grad():
        return checkpoint.load(**options).model(IDS).logits


# --- chat template ------------------------------------------------------------------------------


def test_the_chat_template_is_its_own_none_or_the_file_given(folder, tmp_path):
    given = tmp_path / "given.jinja"
    given.write_text("{{ messages[0]['content'] }} ?")
    own, none, other = (
        Checkpoint(folder, "tiny", chat_template=template) for template in ("own", "none", given)
    )
    assert own.load().tokenizer.chat_template == word_tokenizer().chat_template
    assert none.load().tokenizer.chat_template is None
    tokenizer = other.load().tokenizer
    assert tokenizer.apply_chat_template(MESSAGES, tokenize=False) == "w3 ?"
    for what in ("fingerprint", "tokenizer_fingerprint"):
        assert len({getattr(checkpoint, what) for checkpoint in (own, none, other)}) == 3
    before = other.fingerprint
    given.write_text("{{ messages[0]['content'] }} !")
    assert other.fingerprint != before


def test_the_absence_of_a_template_shows_also_where_it_stands_in_the_tokenizer_config(folder):
    """Older checkpoints have no file of its own for it."""
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    edit_json(folder / "tokenizer_config.json", chat_template=template)
    own, none = (Checkpoint(folder, "x", chat_template=which) for which in ("own", "none"))
    assert own.load().tokenizer.chat_template == template
    assert none.load().tokenizer.chat_template is None
    assert own.fingerprint != none.fingerprint


def test_the_same_template_given_as_a_file_is_the_same_model(folder, tmp_path):
    given = shutil.copy(folder / "chat_template.jinja", tmp_path / "given.jinja")
    same = Checkpoint.find(folder, chat_template=str(given))
    assert same.chat_template == given
    assert same.fingerprint == Checkpoint(folder, "x").fingerprint


def test_a_template_that_is_not_there_is_refused(folder, tmp_path):
    missing = Checkpoint(folder, "tiny", chat_template=tmp_path / "missing.jinja")
    assert f"chat template {tmp_path / 'missing.jinja'}: no such file" in refusal(missing)
    with pytest.raises(InputError, match=r"missing.jinja: no such file"):
        _ = missing.fingerprint
    with pytest.raises(InputError, match="chat template 'nun': expected 'own', 'none' or a Path"):
        Checkpoint(folder, "tiny", chat_template="nun")


# --- pickles ------------------------------------------------------------------------------------


def pickled(folder: Path, n_shards: int = 1) -> Checkpoint:
    """The checkpoint with its weights as PyTorch's pickles, which may be read."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if n_shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
    else:
        names = {name: f"pytorch_model-{i % n_shards}.bin" for i, name in enumerate(state)}
        for shard in set(names.values()):
            torch.save({n: state[n] for n in state if names[n] == shard}, folder / shard)
        index = {"metadata": {"total_size": 0}, "weight_map": names}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return Checkpoint(folder, "tiny", allow_pickle=True)


@pytest.mark.parametrize("n_shards", [1, 2])
def test_pickled_weights_are_read_only_if_asked_for(folder, n_shards):
    expected = logits(Checkpoint(folder, "tiny"))
    checkpoint = pickled(folder, n_shards)
    assert torch.equal(logits(checkpoint), expected)
    message = refusal(Checkpoint(folder, "tiny"))
    assert "its weights are pickles (pytorch_model" in message
    assert "allow_pickle=True" in message
    before = checkpoint.fingerprint
    path = next(folder.glob("pytorch_model*.bin"))
    path.write_bytes(path.read_bytes() + b" ")
    assert checkpoint.fingerprint != before


class Harmful:
    """An object whose reading from a pickle writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def test_code_in_a_pickle_is_not_run_even_if_pickles_are_allowed(folder, tmp_path):
    checkpoint = pickled(folder)
    path = folder / "pytorch_model.bin"
    trace = tmp_path / "ran"
    torch.save({**torch.load(path), "extra": Harmful(trace)}, path)
    assert "holds something other than tensors" in refusal(checkpoint)
    assert not trace.exists()


@pytest.mark.parametrize("left", [0, 100, -100])
def test_truncated_pickles_are_refused(folder, left):
    checkpoint = pickled(folder)
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:left])
    message = refusal(checkpoint)
    assert str(path) in message
    assert "half-written or damaged" in message


def test_safetensors_are_read_where_both_are_there(folder):
    expected = logits(Checkpoint(folder, "tiny"))
    torch.save({"nonsense": torch.ones(1)}, folder / "pytorch_model.bin")
    allowed = Checkpoint(folder, "tiny", allow_pickle=True)
    assert torch.equal(logits(allowed), expected)
    assert allowed.fingerprint == Checkpoint(folder, "tiny").fingerprint


# --- the checkpoint's own code ------------------------------------------------------------------

DOUBLING = """
from transformers import LlamaConfig, LlamaForCausalLM

class DoublingConfig(LlamaConfig):
    model_type = "doubling"

class DoublingForCausalLM(LlamaForCausalLM):
    config_class = DoublingConfig

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = 2 * output.logits
        return output
"""


@pytest.fixture
def own_code(folder) -> Path:
    (folder / "modeling_doubling.py").write_text(DOUBLING)
    auto_map = {
        "AutoConfig": "modeling_doubling.DoublingConfig",
        "AutoModelForCausalLM": "modeling_doubling.DoublingForCausalLM",
    }
    edit_json(folder / "config.json", model_type="doubling", auto_map=auto_map)
    return folder


def test_the_checkpoints_own_code_is_run_only_if_asked_for(own_code, tmp_path):
    expected = 2 * logits(Checkpoint(write_checkpoint(tmp_path / "llama"), "llama"))
    trusted = Checkpoint(own_code, "tiny", trust_remote_code=True)
    assert torch.equal(logits(trusted), expected)
    message = refusal(Checkpoint(own_code, "tiny"))
    assert "no causal language model of type 'doubling'" in message
    assert "(modeling_doubling.DoublingForCausalLM) is not run unless asked for" in message
    assert "say trust_remote_code=True" in message
    before = trusted.fingerprint
    (own_code / "modeling_doubling.py").write_text(DOUBLING.replace("2 *", "3 *"))
    assert trusted.fingerprint != before


def test_code_that_is_refused_is_not_run(own_code):
    (own_code / "modeling_doubling.py").write_text("raise SystemExit('ran')")
    assert "is not run unless asked for" in refusal(Checkpoint(own_code, "tiny"))


def test_code_that_fails_is_one_clear_error(own_code):
    (own_code / "modeling_doubling.py").write_text("1 / 0")
    trusted = Checkpoint(own_code, "tiny", trust_remote_code=True)
    assert "does not load: division by zero" in refusal(trusted)


def test_code_that_is_elsewhere_on_the_hub_is_refused(own_code):
    auto_map = {"AutoModelForCausalLM": "some-lab/code--modeling.Own"}
    edit_json(own_code / "config.json", auto_map=auto_map)
    trusted = Checkpoint(own_code, "tiny", trust_remote_code=True)
    assert "its code is not in it but in 'some-lab/code' on the Hub" in refusal(trusted)


@pytest.mark.parametrize("kind", ["unheard_of", "t5", None])
def test_an_architecture_that_nobody_has_is_refused(folder, kind):
    edit_json(folder / "config.json", model_type=kind)
    message = refusal(Checkpoint(folder, "tiny"))
    assert f"no causal language model of type {kind!r}; check `model_type`" in message


# --- attention and placement --------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_as_asked(folder, attention):
    loaded = Checkpoint(folder, "tiny").load(attention=attention)
    assert loaded.model.config._attn_implementation == attention


def test_attention_that_is_not_to_be_had_is_refused(folder, tmp_path):
    checkpoint = Checkpoint(folder, "tiny")
    assert "attention 'flash': expected one of eager, sdpa, flash_attention_2" in refusal(
        checkpoint, attention="flash"
    )
    assert "computes in bfloat16 or float16 only" in refusal(
        checkpoint, attention="flash_attention_2"
    )
    gemma2 = Checkpoint(write_checkpoint(tmp_path / "gemma2", "gemma2"), "gemma2")
    assert "does not load with attn_implementation='sdpa': Gemma2" in refusal(
        gemma2, attention="sdpa"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it may be installed")
def test_flash_attention_without_a_gpu_is_refused(folder):
    message = refusal(Checkpoint(folder, "x"), attention="flash_attention_2", dtype="bfloat16")
    assert "does not load with attn_implementation='flash_attention_2'" in message


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}, {"model": "cpu", "lm_head": "disk"}])
def test_a_device_map_changes_where_not_what(folder, device_map):
    checkpoint = Checkpoint(folder, "tiny")
    loaded = checkpoint.load(device_map=device_map)
    assert loaded.device == next(loaded.model.get_input_embeddings().parameters()).device
    with torch.no_grad():
        found = loaded.model(IDS.to(loaded.device)).logits.cpu()
    torch.testing.assert_close(found, logits(checkpoint))
    assert not loaded.model.training


def test_a_device_map_that_cannot_be_is_refused(folder):
    checkpoint = Checkpoint(folder, "tiny")
    assert "device 'cuda' and device_map 'auto' exclude each other" in refusal(
        checkpoint, device="cuda", device_map="auto"
    )
    assert "does not load with device_map='nonsense'" in refusal(checkpoint, device_map="nonsense")
    offloaded = {"model": "disk", "lm_head": "cpu"}
    assert "offloads the input embedding" in refusal(checkpoint, device_map=offloaded)


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
