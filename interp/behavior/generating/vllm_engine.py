"""Replies written by vLLM, an optional extra, for models and chains that are too long to wait for.

The prompts are rendered and tokenised here, and each reply's endings, chain and forced stop are
read by the same `Draft` as everywhere: vLLM only chooses tokens. Greedy replies differ from those
of `interp.behavior.replies` where its kernels round otherwise; sampled ones are other draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interp.activations.asking import check_lengths
from interp.behavior.generating.decoding import Decoding, Draft, Reply
from interp.behavior.generating.generation import end_tokens
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet, render
from interp.prompts.encoding import tokenize


def vllm_replies(
    loaded: LoadedModel,
    prompts: PromptSet,
    decoding: Decoding,
    *,
    options: Mapping[str, Any] | None = None,
) -> list[Reply]:
    """Replies to all prompts, a prompt's samples beside each other.

    Args:
        loaded: whose tokenizer and chat template render the prompts, and whose folder vLLM loads;
            it may stand on the "meta" device.
        prompts: rendered with the model's own chat template.
        decoding: how replies are drawn.
        options: of `vllm.LLM`, such as `tensor_parallel_size` or `max_model_len`; its dtype is by
            default that of `loaded`.

    Raises:
        InputError: a prompt that is longer than the context with its reply; vLLM is not installed;
            the checkpoint is an adapter over another one; or chains are to be extended, which needs
            the tokens one by one.
    """
    try:
        import vllm
    except ImportError as error:
        raise InputError(
            "vllm is not installed; pip install 'latent-abstention[vllm]', or use "
            "`interp.behavior.collect`"
        ) from error
    if loaded.checkpoint.adapter is not None:
        raise InputError(f"{loaded.checkpoint.name}: vLLM reads no adapter; merge it and save it")
    if decoding.thinking and decoding.thinking.extend:
        raise InputError("vLLM chooses tokens ahead and extends no chain; use the default engine")
    tokenizer, ends = loaded.tokenizer, end_tokens(loaded)
    ids = [row for chunk in tokenize(render(prompts, tokenizer), tokenizer) for row in chunk]
    check_lengths(ids, prompts, loaded, decoding.max_new_tokens)
    drafts = [
        Draft(prompt_id, sample, decoding, tokenizer, ends)
        for prompt_id in prompts.frame["prompt_id"]
        for sample in range(decoding.samples)
    ]
    prompt_ids = [row for row in ids for _ in range(decoding.samples)]
    as_loaded = {
        "dtype": str(next(loaded.model.parameters()).dtype).removeprefix("torch."),
        "trust_remote_code": loaded.checkpoint.trust_remote_code,
    }
    engine = vllm.LLM(model=str(loaded.checkpoint.path), **as_loaded | dict(options or {}))
    budget = decoding.thinking.budget if decoding.thinking else None
    for most in (budget or 0, decoding.max_new_tokens):
        for draft in drafts:
            while draft.ending is None and draft.forces:
                draft.take(min(ends))
        going = [n for n, draft in enumerate(drafts) if draft.ending is None]
        going = [n for n in going if len(drafts[n].tokens) < most]
        if not going:
            continue
        asked = [{"prompt_token_ids": prompt_ids[n] + drafts[n].tokens} for n in going]
        settings = [_settings(vllm, decoding, drafts[n], most, ends) for n in going]
        for n, output in zip(going, engine.generate(asked, settings), strict=True):
            _follow(drafts[n], output.outputs[0], ends)
    for draft in drafts:
        if draft.ending is None:
            draft.cut_off()  # by a limit of the engine's own, such as `max_model_len`
    return [draft.done() for draft in drafts]


def _settings(vllm: Any, decoding: Decoding, draft: Draft, most: int, ends: frozenset[int]) -> Any:
    return vllm.SamplingParams(
        max_tokens=most - len(draft.tokens),
        temperature=decoding.temperature,
        top_p=decoding.top_p,
        # Another one for what follows a forced stop, which would begin with the same draws.
        seed=draft.seed + len(draft.tokens),
        # Within a chain a stop string ends nothing; the draft finds those behind it.
        stop=None if decoding.thinking else list(decoding.stop),
        stop_token_ids=sorted(ends),
        include_stop_str_in_output=True,
        skip_special_tokens=False,
    )


def _follow(draft: Draft, output: Any, ends: frozenset[int]) -> None:
    """Takes vLLM's tokens, and the end token where it is not among them."""
    for token in output.token_ids:
        if draft.ending is None:
            draft.take(int(token))
    if (
        draft.ending is None
        and output.finish_reason == "stop"
        and output.stop_reason in (None, *ends)
    ):
        draft.take(min(ends))
