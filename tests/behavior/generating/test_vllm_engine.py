"""vLLM needs a GPU; here a stand-in of its interface, backed by one-by-one forwards, says the same
tokens as the Hugging Face path, so what is tested is everything but vLLM's own kernels."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from interp.behavior.generating import generation
from interp.behavior.generating.decoding import Decoding, Thinking
from interp.behavior.generating.vllm_engine import vllm_replies
from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from tests.behavior.generating.test_replies import all_replies, questions
from tests.checkpoints.tiny import write_checkpoint


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return Checkpoint(write_checkpoint(tmp_path_factory.mktemp("llama")), "llama").load()


@pytest.fixture(params=[True, False], ids=["end token returned", "end token left out"])
def vllm(request: pytest.FixtureRequest, loaded: LoadedModel, monkeypatch) -> ModuleType:
    """Greedy, token by token, without cache or padding."""

    class LLM:
        def __init__(self, model: str, **options) -> None:
            assert model == str(loaded.checkpoint.path)
            module.options = options

        def generate(self, prompts, settings):
            return [
                self._one(p["prompt_token_ids"], s) for p, s in zip(prompts, settings, strict=True)
            ]

        def _one(self, ids, settings):
            said: list[int] = []
            reason, why = "length", None
            most = min(settings.max_tokens, module.options.get("most", 99))
            while len(said) < most:
                with torch.no_grad():
                    logits = loaded.model(torch.tensor([[*ids, *said]]), use_cache=False).logits
                said.append(int(logits[0, -1].argmax()))
                text = loaded.tokenizer.decode(said)
                hit = [stop for stop in settings.stop or [] if stop in text]
                if said[-1] in settings.stop_token_ids:
                    reason = "stop"
                    said = said if request.param else said[:-1]
                    break
                if hit:
                    reason, why = "stop", hit[0]
                    break
            done = SimpleNamespace(token_ids=tuple(said), finish_reason=reason, stop_reason=why)
            return SimpleNamespace(outputs=[done])

    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(max_new_tokens=10),
        Decoding(max_new_tokens=10, stop=("w1",)),
        Decoding(max_new_tokens=12, thinking=Thinking(end="a :"), stop=("w2",)),
        Decoding(max_new_tokens=12, thinking=Thinking(end="a :", budget=4, force="a :")),
        Decoding(max_new_tokens=12, thinking=Thinking(end="a :", budget=0, force="a :")),
    ],
)
def test_the_same_tokens_give_the_same_replies(
    vllm: ModuleType, loaded: LoadedModel, decoding: Decoding, monkeypatch
) -> None:
    often = all_replies(loaded, questions(1), Decoding(max_new_tokens=8))[0].tokens[-1]
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", [often, 2])
    prompts = questions(12)
    expected = all_replies(loaded, prompts, decoding)
    assert len({reply.ending for reply in expected}) > 1
    assert vllm_replies(loaded, prompts, decoding, options={"max_model_len": 64}) == expected
    assert vllm.options == {
        "max_model_len": 64, "dtype": "float32", "trust_remote_code": False,
    }  # fmt: skip


def test_a_reply_that_the_engine_cuts_off_is_marked(vllm: ModuleType, loaded: LoadedModel) -> None:
    decoding = Decoding(max_new_tokens=10)
    cut = vllm_replies(loaded, questions(6), decoding, options={"most": 4})
    assert {reply.ending for reply in cut if len(reply.tokens) == 4} == {"length"}
    whole = all_replies(loaded, questions(6), decoding)
    assert [reply.tokens for reply in cut] == [reply.tokens[:4] for reply in whole]


def test_a_prompt_beyond_the_context_is_refused_beforehand(
    vllm: ModuleType, loaded: LoadedModel
) -> None:
    with pytest.raises(InputError, match="made for at most 64"):
        vllm_replies(loaded, questions(2), Decoding(max_new_tokens=64))
    assert not hasattr(vllm, "options")


def test_without_vllm_the_error_says_how_to_get_it(loaded: LoadedModel, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(InputError, match=r"pip install 'latent-abstention\[vllm\]'"):
        vllm_replies(loaded, questions(2), Decoding())


def test_end_tokens_are_those_of_tokenizer_and_config(loaded: LoadedModel) -> None:
    assert generation.end_tokens(loaded) == {2}
