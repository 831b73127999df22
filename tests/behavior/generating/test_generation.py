from __future__ import annotations

from contextlib import contextmanager, nullcontext

import pytest
import torch

from interp.behavior import generate
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet

END, N_NEW = 1, 14


def one_by_one(loaded: LoadedModel, text: str, ends=(END,), context=nullcontext) -> list[int]:
    """Greedy decoding without batch, padding or cache."""
    ids = loaded.tokenizer(text, add_special_tokens=False).input_ids
    n_prompt = len(ids)
    while len(ids) < n_prompt + N_NEW:
        with torch.no_grad(), context(n_prompt):
            token = int(loaded.model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if token in ends:
            break
        ids.append(token)
    return ids[n_prompt:]


@pytest.fixture
def enders(loaded: LoadedModel, prompts: PromptSet) -> tuple[int, ...]:
    """End tokens that some replies meet and some do not."""
    replies = [one_by_one(loaded, text) for text in prompts.frame["text"]]
    often = max(
        range(3, 32), key=lambda token: min(sum(token in r for r in replies), len(replies) - 2)
    )
    ended = [often in reply for reply in replies]
    assert any(ended)
    assert not all(ended)
    return (END, often)


@pytest.mark.parametrize("token_budget", [30, 100, 8192])
def test_batched_equals_one_by_one(
    loaded: LoadedModel,
    prompts: PromptSet,
    enders: tuple[int, ...],
    token_budget: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", list(enders))
    expected = [
        loaded.tokenizer.decode(one_by_one(loaded, text, enders), skip_special_tokens=True)
        for text in prompts.frame["text"]
    ]
    assert len(set(expected)) > 3
    got = generate(loaded, prompts, max_new_tokens=N_NEW, token_budget=token_budget)
    assert got == expected


def test_shipped_sampling_settings_are_not_applied(
    loaded: LoadedModel, prompts: PromptSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = generate(loaded, prompts, max_new_tokens=N_NEW)
    for name, value in (("repetition_penalty", 5.0), ("do_sample", True), ("temperature", 9.0)):
        monkeypatch.setattr(loaded.model.generation_config, name, value)
    assert generate(loaded, prompts, max_new_tokens=N_NEW) == before


def test_edits_are_in_force_for_the_whole_reply(loaded: LoadedModel, prompts: PromptSet) -> None:
    """A vector added to every token from the prompt's last on, as without batch and cache."""
    vector_D = 3 * torch.randn(loaded.d_model, generator=torch.Generator().manual_seed(2))

    @contextmanager
    def added(first: int):
        columns = 0

        def hook(_, __, output):
            nonlocal columns
            resid = (output if isinstance(output, torch.Tensor) else output[0]).clone()
            start, columns = columns, columns + resid.shape[1]
            resid[:, max(first - start, 0) :] += vector_D
            return resid if isinstance(output, torch.Tensor) else (resid, *output[1:])

        handle = loaded.blocks[0].register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    got = generate(
        loaded,
        prompts,
        max_new_tokens=N_NEW,
        token_budget=120,
        edits=lambda encoded, rows: added(encoded.input_ids_BT.shape[1] - 1),
    )
    expected = [
        loaded.tokenizer.decode(
            one_by_one(loaded, text, context=lambda n_prompt: added(n_prompt - 1)),
            skip_special_tokens=True,
        )
        for text in prompts.frame["text"]
    ]
    assert got == expected
    assert got != generate(loaded, prompts, max_new_tokens=N_NEW)


def test_no_new_tokens_is_refused(loaded: LoadedModel, prompts: PromptSet) -> None:
    with pytest.raises(InputError, match="max_new_tokens is 0"):
        generate(loaded, prompts, max_new_tokens=0)
