from __future__ import annotations

from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from interp.behavior import abstention_probability, abstention_score, continuation_logprobs
from interp.behavior.scores.teacher_forcing import target_tokens, token_ids
from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.encoding import tokenize
from tests.behavior.conftest import prompt_set
from tests.behavior.spaced import write_spaced

CONTINUATIONS = ["i do not know", "w3", "w5 w6", "<eos>"]


def ids_of(loaded: LoadedModel, text: str) -> list[int]:
    return loaded.tokenizer(text, add_special_tokens=False).input_ids


def one_by_one(loaded: LoadedModel, prompts: PromptSet, continuation: str) -> list[float]:
    """Unpadded, full forward, log-softmax over everything."""
    totals = []
    for text in prompts.frame["text"]:
        prompt, after = ids_of(loaded, text), ids_of(loaded, continuation)
        with torch.no_grad():
            logits_TV = loaded.model(torch.tensor([prompt + after])).logits[0]
        logprob_TV = logits_TV.log_softmax(-1)
        totals.append(
            sum(
                float(logprob_TV[len(prompt) - 1 + place, token])
                for place, token in enumerate(after)
            )
        )
    return totals


@pytest.mark.parametrize("token_budget", [15, 60, 8192])
def test_batched_equals_one_by_one(
    loaded: LoadedModel, prompts: PromptSet, token_budget: int
) -> None:
    got_NC = continuation_logprobs(loaded, prompts, CONTINUATIONS, token_budget=token_budget)
    expected_CN = [one_by_one(loaded, prompts, continuation) for continuation in CONTINUATIONS]
    torch.testing.assert_close(got_NC, torch.tensor(expected_CN).T, atol=2e-5, rtol=1e-5)


def test_first_words_share_all_probability(loaded: LoadedModel, prompts: PromptSet) -> None:
    words = list(loaded.tokenizer.get_vocab())
    total_N = continuation_logprobs(loaded, prompts, words).exp().sum(1)
    torch.testing.assert_close(total_N, torch.ones(len(prompts)), atol=1e-5, rtol=0)


def test_score_is_the_log_odds_of_the_summed_probability(
    loaded: LoadedModel, prompts: PromptSet
) -> None:
    phrases = ["w3", "i do not know", "w5 w6"]
    summed_N = continuation_logprobs(loaded, prompts, phrases).double().exp().sum(1).numpy()
    p_N = abstention_probability(loaded, prompts, phrases)
    np.testing.assert_allclose(p_N, summed_N, rtol=1e-9)
    np.testing.assert_allclose(
        abstention_score(loaded, prompts, phrases), np.log(p_N / (1 - p_N)), rtol=1e-6
    )


def test_scores_keep_their_order_where_probabilities_vanish(
    loaded: LoadedModel, prompts: PromptSet
) -> None:
    phrase = " ".join(["i do not know"] * 12)
    logprob_N = continuation_logprobs(loaded, prompts, [phrase])[:, 0].double().numpy()
    assert logprob_N.max() < -30
    np.testing.assert_allclose(abstention_score(loaded, prompts, [phrase]), logprob_N, rtol=1e-12)


def test_a_certain_phrase_scores_finite(loaded: LoadedModel, prompts: PromptSet) -> None:
    p_N = abstention_probability(loaded, prompts, list(loaded.tokenizer.get_vocab()))
    score_N = abstention_score(loaded, prompts, list(loaded.tokenizer.get_vocab()))
    assert (p_N < 1).all()
    assert np.isfinite(score_N).all()
    assert (score_N > 10).all()


def test_edits_see_left_padded_prompts_as_the_first_columns(
    loaded: LoadedModel, prompts: PromptSet
) -> None:
    """Adding a vector at each prompt's last token equals doing so without batch or padding."""
    vector_D = 2 * torch.randn(loaded.d_model, generator=torch.Generator().manual_seed(2))
    seen: list[int] = []

    @contextmanager
    def added_at(column: int):
        def hook(_, __, output):
            resid = output if isinstance(output, torch.Tensor) else output[0]
            resid = resid.clone()
            resid[:, column] += vector_D
            return resid if isinstance(output, torch.Tensor) else (resid, *output[1:])

        handle = loaded.blocks[0].register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    def edits(encoded, rows):
        seen.extend(rows)
        lengths = [len(ids_of(loaded, prompts.frame["text"].iloc[row])) for row in rows]
        assert encoded.lengths_B.tolist() == lengths
        assert encoded.attention_mask_BT[:, -1].all()
        return added_at(encoded.input_ids_BT.shape[1] - 1)

    got_N = continuation_logprobs(loaded, prompts, ["i do not know"], edits=edits, token_budget=60)[
        :, 0
    ]
    assert sorted(seen) == list(range(len(prompts)))
    plain_N = continuation_logprobs(loaded, prompts, ["i do not know"])[:, 0]
    assert (got_N - plain_N).abs().min() > 1e-4
    for row, text in enumerate(prompts.frame["text"]):
        prompt, after = ids_of(loaded, text), ids_of(loaded, "i do not know")
        with torch.no_grad(), added_at(len(prompt) - 1):
            logprob_TV = loaded.model(torch.tensor([prompt + after])).logits[0].log_softmax(-1)
        expected = logprob_TV[range(len(prompt) - 1, len(prompt) + len(after) - 1), after].sum()
        assert float(got_N[row]) == pytest.approx(float(expected), abs=2e-5)


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ([], "no phrases"),
        (["i do not know", "i do"], "begins with 'i do'"),
        (["w3", "w3"], "counted twice"),
    ],
)
def test_phrases_that_cannot_be_summed_are_refused(
    loaded: LoadedModel, prompts: PromptSet, phrases: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        abstention_probability(loaded, prompts, phrases)


def test_a_continuation_without_tokens_is_refused(loaded: LoadedModel, prompts: PromptSet) -> None:
    with pytest.raises(InputError, match="prompt p0: the continuation ' ' has no tokens"):
        continuation_logprobs(loaded, prompts, [" "])


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    """A byte-level BPE in which a word and the space before it are one token."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<turn>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["a: paris paris paris a: paris <turn>paris"] * 20, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", additional_special_tokens=["<turn>"]
    )


@pytest.mark.parametrize(
    ("prompt", "joined"),
    [("where? a:", " paris"), ("where?\n", "paris"), ("where? <turn>", "paris")],
)
def test_a_space_goes_between_words_and_nowhere_else(
    byte_level: PreTrainedTokenizerFast, prompt: str, joined: str
) -> None:
    ids = token_ids([prompt], byte_level)
    target_1C = target_tokens(["p0"], [prompt], ids, "paris", byte_level)
    expected = byte_level(prompt + joined).input_ids[len(byte_level(prompt).input_ids) :]
    assert target_1C[0].tolist() == expected
    assert byte_level.decode(target_1C[0]) == joined


def test_a_continuation_that_changes_the_prompts_tokens_is_refused(
    byte_level: PreTrainedTokenizerFast,
) -> None:
    text = "where? a: "
    ids = token_ids([text], byte_level)
    with pytest.raises(InputError, match="prompt p0: followed by 'paris' its last tokens change"):
        target_tokens(["p0"], [text], ids, "paris", byte_level)


@pytest.fixture(scope="module")
def spaced(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return Checkpoint(write_spaced(tmp_path_factory.mktemp("spaced")), "spaced").load()


def test_phrases_are_disjoint_after_every_prompt_or_refused(spaced: LoadedModel) -> None:
    """Behind a line break "I" and " I" are apart; behind a colon both are the token " I"."""
    phrases = ["I", " I"]
    apart = prompt_set(["where is it?\n", "who is it?\n"])
    assert (abstention_probability(spaced, apart, phrases) > 0).all()
    mixed = prompt_set(["where is it?\n", "who is it?\n", "where is it? A:"])
    for call in (abstention_probability, abstention_score):
        with pytest.raises(InputError, match=r"after prompt p2 ' ?I' begins with ' ?I' in tokens"):
            call(spaced, mixed, phrases)


def test_prompts_are_tokenised_once_for_all_continuations(
    loaded: LoadedModel, prompts: PromptSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the joined texts: 12 prompts once, not once for each of four continuations."""
    plain = continuation_logprobs(loaded, prompts, CONTINUATIONS)
    seen: list[str] = []

    def counted(texts, tokenizer):
        seen.extend(texts)
        return tokenize(texts, tokenizer)

    monkeypatch.setattr("interp.behavior.scores.teacher_forcing.tokenize", counted)
    again = continuation_logprobs(loaded, prompts, CONTINUATIONS)
    bare = Counter(prompts.frame["text"])
    assert Counter(text for text in seen if text in bare) == bare
    assert len(seen) == len(prompts) * (1 + len(CONTINUATIONS))
    assert torch.equal(again, plain)
