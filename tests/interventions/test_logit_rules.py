from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, WordLevel
from transformers import PreTrainedTokenizerFast

from interp.behavior import Decoding, replies
from interp.behavior.generating.generation import LogitRule
from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.interventions.logit_rules import (
    Bias,
    TokenSet,
    abstention_boost,
    switch_penalty,
    token_set,
)
from interp.prompts import PromptSet
from tests.checkpoints.tiny import WORDS, word_tokenizer, write_checkpoint

N_VOCAB = 20
SPACE = "\u0120"  # as byte-level tokenizers write it


def bpe_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes with merges for " Wait", "Wait" and " wait"; "wait" alone stays in two pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "i"), ("ai", "t"), ("W", "ait"), (SPACE, "Wait"), (SPACE, "w"),
              (SPACE + "w", "ait")]  # fmt: skip
    vocab = {piece: n for n, piece in enumerate([*alphabet, *(a + b for a, b in merges)])}
    backend = Tokenizer(BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def prefixing_tokenizer() -> PreTrainedTokenizerFast:
    """As sentencepiece does: a space before every text, so only a break is followed by none."""
    vocab = {"<unk>": 0, "\u2581": 1, "\u2581Wait": 2, "Wait": 3, "\n": 4, "\u2581\n": 5}
    backend = Tokenizer(WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split("\n", "isolated")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


@given(
    said=st.lists(st.integers(0, 5), max_size=12),
    beta=st.integers(1, 6),
    alpha=st.floats(0.1, 9),
    seed=st.integers(0, 99),
)
def test_the_log_odds_of_a_switch_fall_by_alpha_for_beta_tokens_and_no_longer(
    said: list[int], beta: int, alpha: float, seed: int
) -> None:
    """The age of a thought by counting: from the reply's start or the last switch token."""
    switch = (1, 4)
    rule = Bias(switch, -alpha, switch, beta)
    logits_BV = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, N_VOCAB)))
    age = 0
    for token in said:
        age = 0 if token in switch else age + 1

    def log_odds(logits_BV: torch.Tensor) -> float:
        return float(logits_BV.softmax(-1)[0, list(switch)].sum().logit())

    change = log_odds(rule.apply(logits_BV, [said])) - log_odds(logits_BV)
    assert change == pytest.approx(-alpha if age < beta else 0.0, abs=1e-6)
    others = [token for token in range(N_VOCAB) if token not in switch]
    assert torch.equal(rule.apply(logits_BV, [said])[:, others], logits_BV[:, others])


def test_a_rule_leaves_its_input_and_half_precision_alone() -> None:
    logits_BV = torch.full((2, N_VOCAB), 100.0, dtype=torch.bfloat16)
    rule = Bias((3,), 0.25, (1,), 2, from_start=False)
    out_BV = rule.apply(logits_BV, [[1, 5], [5, 5]])
    assert out_BV[:, 3].tolist() == [100.25, 100.0]
    assert logits_BV.unique().tolist() == [100.0]
    assert isinstance(rule, LogitRule)


def questions(n: int) -> PromptSet:
    rng = np.random.default_rng(0)
    return PromptSet.from_records(
        [
            {"prompt_id": f"p{k}", "text": " ".join(rng.choice(WORDS, rng.integers(1, 13)))}
            | {"should_abstain": False}
            for k in range(n)
        ]
    )


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return Checkpoint(write_checkpoint(tmp_path_factory.mktemp("llama")), "llama").load()


def said(loaded: LoadedModel, decoding: Decoding, **how) -> dict[tuple[str, int], tuple[int, ...]]:
    return {
        (reply.prompt_id, reply.sample): reply.tokens
        for _, _, batch in replies(loaded, questions(12), decoding, **how)
        for reply in batch
    }


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_rule_says_the_same_in_a_batch_of_1_and_of_many(loaded, temperature: float) -> None:
    decoding = Decoding(max_new_tokens=14, temperature=temperature, samples=2 if temperature else 1)
    free = said(loaded, decoding)
    spoken = np.concatenate([np.array(tokens) for tokens in free.values() if tokens])
    often = tuple(np.bincount(spoken).argsort()[-3:].tolist())
    rule = Bias(often, -6.0, often, 3)
    apart = said(loaded, decoding, rule=rule, token_budget=1)
    assert said(loaded, decoding, rule=rule, token_budget=10**6) == apart
    assert said(loaded, decoding, rule=rule, token_budget=90) == apart
    assert apart != free


@pytest.mark.parametrize("amount", [-1.5, 1.5])
def test_the_rate_of_switches_falls_by_the_stated_logit_while_a_thought_is_young(
    tmp_path: Path, amount: float
) -> None:
    """Every token is as likely as any other, so that the rate without a rule is known."""
    checkpoint = Checkpoint(write_checkpoint(tmp_path), "even").load()
    with torch.no_grad():
        checkpoint.model.get_output_embeddings().weight.zero_()
    n_vocab, switch, beta = checkpoint.model.config.vocab_size, tuple(range(10, 22)), 3
    decoding = Decoding(max_new_tokens=20, temperature=1.0, samples=40)
    young, old = [0, 0], [0, 0]
    written = replies(checkpoint, questions(12), decoding, rule=Bias(switch, amount, switch, beta))
    for _, _, batch in written:
        for reply in batch:
            age = 0
            for token in (*reply.tokens, *([2] if reply.ending == "end" else [])):
                counts = young if age < beta else old
                counts[0] += token in switch
                counts[1] += 1
                age = 0 if token in switch else age + 1
    free = len(switch) / n_vocab
    odds = free / (1 - free) * np.exp(amount)
    for (switches, n), p in ((young, odds / (1 + odds)), (old, free)):
        assert n > 300
        assert abs(switches / n - p) < 4 * np.sqrt(p * (1 - p) / n)
    assert abs(odds / (1 + odds) - free) > 8 * np.sqrt(0.25 / young[1])  # as far as can be told


def test_greedy_replies_are_those_of_the_rule_applied_by_hand(loaded: LoadedModel) -> None:
    """One prompt, no cache, and the penalty taken off in a loop of the test's own."""
    decoding = Decoding(max_new_tokens=12)
    often = int(np.bincount(np.concatenate(list(said(loaded, decoding).values()))).argmax())
    got = said(loaded, decoding, rule=Bias((often,), -4.0, (often,), 2))
    for prompt_id, text in zip(
        *(questions(12).frame[c] for c in ("prompt_id", "text")), strict=True
    ):
        ids, reply, age = loaded.tokenizer(text).input_ids, [], 0
        while len(reply) < 12:
            with torch.no_grad():
                logits_V = loaded.model(torch.tensor([ids + reply]), use_cache=False).logits[0, -1]
            logits_V[often] -= 4.0 * (age < 2)
            token = int(logits_V.argmax())
            if token == 2:
                break
            reply.append(token)
            age = 0 if token == often else age + 1
        assert got[prompt_id, 0] == tuple(reply)


def test_tokens_are_found_with_and_without_a_space() -> None:
    tokenizer = bpe_tokenizer()
    one = {tokenizer.convert_tokens_to_ids(t) for t in ("Wait", SPACE + "Wait", SPACE + "wait")}
    found = token_set(tokenizer, ["wait"])
    assert set(found.ids) == one
    assert set(found.split) == {"wait", "\nwait"}
    assert set(token_set(tokenizer, ["wait"], capitals=False).ids) == one - {
        tokenizer.convert_tokens_to_ids(t) for t in ("Wait", SPACE + "Wait")
    }
    begun = token_set(tokenizer, ["wait"], first=True)
    assert set(begun.ids) == one | {tokenizer.convert_tokens_to_ids("w")}
    with pytest.raises(InputError, match="'hmm' is no token of this tokenizer"):
        token_set(tokenizer, ["wait", "hmm"])
    assert tokenizer.convert_tokens_to_ids("h") in token_set(tokenizer, ["hmm"], first=True).ids


def test_behind_a_line_break_there_is_no_space_that_a_tokenizer_adds() -> None:
    assert token_set(prefixing_tokenizer(), ["Wait"]) == TokenSet((2, 3), {"Wait": (2, 3)}, ())


def test_the_usual_switch_words_are_those_the_tokenizer_has() -> None:
    tokenizer = word_tokenizer(("wait", "Alternatively"))
    expected = tuple(tokenizer.convert_tokens_to_ids(["wait", "Alternatively"]))
    rule = switch_penalty(tokenizer)
    assert (rule.ids, rule.after, rule.amount, rule.lasting) == (expected, expected, -3.0, 600)
    boost = abstention_boost(tokenizer, ["w3"], alpha=2.0, beta=5)
    assert boost == Bias((tokenizer.convert_tokens_to_ids("w3"),), 2.0, expected, 5)
    with pytest.raises(InputError, match="none of the usual ones"):
        switch_penalty(word_tokenizer())


def test_rules_that_cannot_be_are_refused() -> None:
    tokenizer = word_tokenizer(("wait",))
    with pytest.raises(InputError, match="'never' is no token"):
        token_set(tokenizer, ["never"])
    for words in ([], ["wait", " "], "wait"):
        with pytest.raises(InputError, match="expected some, none empty"):
            token_set(tokenizer, words)
    with pytest.raises(InputError, match="'unsure' is no token"):  # of a model that cannot say so
        abstention_boost(tokenizer, ["unsure"], alpha=1.0, beta=2)
    with pytest.raises(InputError, match="alpha is -1"):
        switch_penalty(tokenizer, alpha=-1.0)
    with pytest.raises(InputError, match="alpha is 0"):
        abstention_boost(tokenizer, ["w1"], alpha=0.0, beta=2)
    with pytest.raises(InputError, match="at least 1 token"):
        switch_penalty(tokenizer, beta=0)
    with pytest.raises(InputError, match="finite amount"):
        Bias((1,), float("inf"), (1,), 3)
    with pytest.raises(InputError, match="expected ids from 0"):
        Bias((), -1.0, (1,), 3)
    with pytest.raises(InputError, match="there are 20 logits"):
        Bias((99,), -1.0, (1,), 3).apply(torch.zeros(1, N_VOCAB), [[]])
