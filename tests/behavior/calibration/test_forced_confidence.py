from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from interp.behavior import continuation_logprobs
from interp.behavior.calibration.confidence import span_confidence
from interp.behavior.calibration.forced_confidence import reply_confidence
from interp.behavior.calibration.reply_states import head_logits, reply_batches
from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet
from tests.behavior.conftest import prompt_set
from tests.checkpoints import tiny

NOISE = 2e-5
"""Padding and batching move float32 logits by less."""


def ids_of(loaded: LoadedModel, text: str) -> list[int]:
    return loaded.tokenizer(text, add_special_tokens=False).input_ids


@pytest.fixture
def said(prompts: PromptSet) -> tuple[list[str], list[tuple[int, int] | None]]:
    """Replies of 1 to 12 words, with spans at different places; the third has none."""
    generator = torch.Generator().manual_seed(3)
    replies, spans = [], []
    for row in range(len(prompts)):
        length = 1 + (5 * row) % 12
        words = torch.randint(25, (length,), generator=generator).tolist()
        replies.append(" ".join(f"w{word}" for word in words))
        start = row % length
        spans.append(None if row == 2 else (start, min(length, start + 1 + row % 3)))
    return replies, spans


def one_by_one(
    loaded: LoadedModel,
    prompts: PromptSet,
    replies: Sequence[str],
    spans: Sequence[tuple[int, int] | None],
) -> tuple[pd.DataFrame, list[float]]:
    """Unpadded full forwards; all logits at once."""
    frames, totals = [], []
    for text, reply, span in zip(prompts.frame["text"], replies, spans, strict=True):
        prompt, after = ids_of(loaded, text), ids_of(loaded, reply)
        with torch.no_grad():
            logits_TV = loaded.model(torch.tensor([prompt + after])).logits[0]
        logits_CV = logits_TV[len(prompt) - 1 : -1]
        inside_C = torch.zeros(len(after), dtype=torch.bool)
        if span is not None:
            inside_C[slice(*span)] = True
        token_C = torch.tensor(after)
        frames.append(span_confidence(logits_CV[None], token_C[None], inside_C[None]).frame())
        logprob_C = logits_CV.double().log_softmax(-1).gather(1, token_C[:, None])
        totals.append(float(logprob_C.sum()))
    return pd.concat(frames, ignore_index=True), totals


@pytest.mark.parametrize("token_budget", [15, 60, 8192])
def test_batched_equals_one_by_one(
    loaded: LoadedModel, prompts: PromptSet, said, token_budget: int
) -> None:
    replies, spans = said
    got = reply_confidence(loaded, prompts, replies, spans=spans, token_budget=token_budget)
    frame, totals = one_by_one(loaded, prompts, replies, spans)
    np.testing.assert_allclose(got[list(frame)], frame, atol=NOISE, rtol=NOISE)
    np.testing.assert_allclose(got["reply_logprob"], totals, atol=NOISE, rtol=NOISE)
    lengths = [len(reply.split()) for reply in replies]
    per_token = np.array(totals) / lengths
    np.testing.assert_allclose(got["reply_logprob_per_token"], per_token, atol=NOISE, rtol=NOISE)
    assert got["reply_tokens"].tolist() == lengths
    assert got["prompt_id"].tolist() == prompts.frame["prompt_id"].tolist()


def test_rows_without_a_span_are_missing_and_counted(
    loaded: LoadedModel, prompts: PromptSet, said
) -> None:
    replies, spans = said
    got = reply_confidence(loaded, prompts, replies, spans=spans)
    assert got["has_span"].tolist() == [span is not None for span in spans]
    place = ["span_start", "span_stop", "span_text"]
    confidences = got.columns[1 : got.columns.get_loc("span_start")]
    assert len(confidences) == 8
    assert got.loc[2, [*place, *confidences]].isna().all()
    assert got.drop(index=2)[[*place, *confidences]].notna().all(axis=None)
    for row, span in enumerate(spans):
        if span is not None:
            assert (got["span_start"][row], got["span_stop"][row]) == span
            words = replies[row].split()[slice(*span)]
            assert got["span_text"][row] == " ".join(words)
    assert got["reply_logprob"].notna().all()


@pytest.mark.parametrize("architecture", ["gemma2", "qwen3_sliding", "gpt_neox", "gpt2"])
def test_a_few_logits_at_a_time_are_all_of_them(
    architecture: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where logits are capped behind the head (Gemma 2)."""
    folder = tiny.write_checkpoint(tmp_path, architecture)
    loaded = Checkpoint(folder, architecture).load()
    asked = prompt_set(["w1 w2", "who is w3 ?", "w4"])
    replies, spans = ["w5 w6 w7", "w8", "a : w9 w10"], [(1, 3), (0, 1), (2, 4)]
    frame, totals = one_by_one(loaded, asked, replies, spans)
    monkeypatch.setattr(
        "interp.behavior.calibration.forced_confidence._LOGITS", 100
    )  # 2 states at a time
    seen = []

    def shape(loaded, state_ED):
        logits_EV = head_logits(loaded, state_ED)
        seen.append(tuple(logits_EV.shape))
        return logits_EV

    monkeypatch.setattr("interp.behavior.calibration.forced_confidence.head_logits", shape)
    got = reply_confidence(loaded, asked, replies, spans=spans)
    np.testing.assert_allclose(got[list(frame)], frame, atol=NOISE, rtol=NOISE)
    np.testing.assert_allclose(got["reply_logprob"], totals, atol=NOISE, rtol=NOISE)
    assert sum(n for n, _ in seen) == 8
    assert max(n * v for n, v in seen) <= 100


def test_the_head_reads_replies_only_and_is_left_as_it_was(
    loaded: LoadedModel, prompts: PromptSet, said
) -> None:
    """Each place that predicts a token of a reply once, and one place a row in passing."""
    head = loaded.model.get_output_embeddings()
    before = dict(head._forward_pre_hooks)
    reads: list[torch.Size] = []
    forwards: list[torch.Size] = []
    handles = [
        head.register_forward_hook(lambda _, args, output: reads.append(output.shape[:2])),
        loaded.model.register_forward_pre_hook(
            lambda _, args, kwargs: forwards.append(kwargs["input_ids"].shape), with_kwargs=True
        ),
    ]
    got = reply_confidence(loaded, prompts, said[0], token_budget=60)
    for handle in handles:
        handle.remove()
    assert dict(head._forward_pre_hooks) == before
    assert sum(shape.numel() for shape in reads) == got["reply_tokens"].sum() + len(prompts)
    assert max(shape.numel() for shape in forwards) <= 60


def test_the_whole_reply_is_its_continuation(loaded: LoadedModel, prompts: PromptSet) -> None:
    got = reply_confidence(loaded, prompts, ["w5 w6"] * len(prompts))
    expected = continuation_logprobs(loaded, prompts, ["w5 w6"])[:, 0]
    np.testing.assert_allclose(got["reply_logprob"], expected, atol=NOISE)
    np.testing.assert_allclose(got["sequence_logprob"], expected, atol=NOISE)
    assert (got["span_start"] == 0).all()
    assert (got["span_stop"] == 2).all()


def test_token_ids_are_read_as_they_are(loaded: LoadedModel, prompts: PromptSet, said) -> None:
    replies, spans = said
    ids = [ids_of(loaded, reply) for reply in replies]
    texts = reply_confidence(loaded, prompts, replies, spans=spans)
    tokens = reply_confidence(loaded, prompts, [tuple(row) for row in ids], spans=spans)
    pd.testing.assert_frame_equal(texts, tokens)
    ended = reply_confidence(loaded, prompts, [[*row, 1] for row in ids], spans=spans)
    assert (ended["reply_tokens"] == texts["reply_tokens"] + 1).all()
    assert (ended["reply_logprob"] < texts["reply_logprob"]).all()


def test_answers_by_their_text(loaded: LoadedModel, prompts: PromptSet) -> None:
    answers = ["w7", None, "w9"] + ["w7 w8"] * (len(prompts) - 3)
    replies = ["i know w7 w8 do w7"] * len(prompts)
    got = reply_confidence(loaded, prompts, replies, answers=answers)
    spans = [(5, 6), None, None] + [(2, 4)] * (len(prompts) - 3)
    expected = reply_confidence(loaded, prompts, replies, spans=spans)
    pd.testing.assert_frame_equal(got, expected)
    behind = reply_confidence(loaded, prompts, replies, answers=answers, after="do")
    assert behind["has_span"].tolist() == [True] + [False] * (len(prompts) - 1)


@pytest.mark.parametrize("blank", ["", " \n"])
def test_a_blank_answer_is_none(loaded: LoadedModel, prompts: PromptSet, blank: str) -> None:
    answers = ["w7", blank, *["w8"] * (len(prompts) - 2)]
    replies = ["i know w7 w8"] * len(prompts)
    got = reply_confidence(loaded, prompts, replies, answers=answers)
    expected = reply_confidence(
        loaded, prompts, replies, answers=[answer.strip() or None for answer in answers]
    )
    pd.testing.assert_frame_equal(got, expected)
    assert got["has_span"].tolist() == [True, False] + [True] * (len(prompts) - 2)


def test_an_empty_reply_says_nothing(loaded: LoadedModel, prompts: PromptSet) -> None:
    replies: list[str | list[int]] = ["", [], *["w5"] * (len(prompts) - 2)]
    got = reply_confidence(loaded, prompts, replies)
    assert got["reply_logprob"][:2].tolist() == [0, 0]
    assert got["reply_logprob_per_token"][:2].isna().all()
    assert got["has_span"].tolist() == [False] * 2 + [True] * (len(prompts) - 2)
    rest = reply_confidence(loaded, prompts, ["w5"] * len(prompts))
    np.testing.assert_allclose(got["reply_logprob"][2:], rest["reply_logprob"][2:], atol=NOISE)
    nothing = reply_confidence(loaded, prompts, [""] * len(prompts))
    assert list(nothing) == list(got)
    assert not nothing["has_span"].any()


def test_edits_see_left_padded_prompts_as_the_first_columns(
    loaded: LoadedModel, prompts: PromptSet, said
) -> None:
    """Adding a vector at each prompt's last token equals doing so without batch or padding."""
    vector_D = 2 * torch.randn(loaded.d_model, generator=torch.Generator().manual_seed(2))

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
        assert encoded.attention_mask_BT[:, -1].all()
        return added_at(encoded.input_ids_BT.shape[1] - 1)

    replies, spans = said
    got = reply_confidence(loaded, prompts, replies, spans=spans, edits=edits, token_budget=60)
    for row, text in enumerate(prompts.frame["text"]):
        with added_at(len(ids_of(loaded, text)) - 1):
            frame, totals = one_by_one(
                loaded, prompt_set([text]), replies[row : row + 1], spans[row : row + 1]
            )
        np.testing.assert_allclose(got["reply_logprob"][row], totals[0], atol=NOISE, rtol=NOISE)
        np.testing.assert_allclose(
            got.loc[row, list(frame)].astype(float), frame.iloc[0], atol=NOISE, rtol=NOISE
        )
    plain = reply_confidence(loaded, prompts, replies, spans=spans)
    assert (got["reply_logprob"] - plain["reply_logprob"]).abs().min() > 1e-4


def test_batches_hold_every_reply_once_and_keep_to_the_budget() -> None:
    rng = np.random.default_rng(0)
    sizes = [(int(a), int(b)) for a, b in rng.integers((1, 0), (40, 60), (50, 2))]
    for budget in (1, 90, 400):
        batches = reply_batches(sizes, budget)
        rows = sorted(row for batch in batches for row in batch)
        assert rows == [row for row, (_, reply) in enumerate(sizes) if reply]
        for batch in batches:
            longest = [max(sizes[row][part] for row in batch) for part in (0, 1)]
            assert len(batch) == 1 or len(batch) * sum(longest) <= budget
    with pytest.raises(InputError, match="token budget: 0"):
        reply_batches(sizes, 0)


@pytest.mark.parametrize(
    ("replies", "options", "message"),
    [
        (["w1"], {}, "1 replies for 2 prompts"),
        (["w1", "w2"], {"spans": [None]}, "1 spans for 2 prompts"),
        (["w1", "w2"], {"answers": ["w1"]}, "1 answers for 2 prompts"),
        (["w1", "w2"], {"answers": [None] * 2, "spans": [None] * 2}, "give one of them"),
        (["w1", "w2"], {"after": "i"}, "after 'i' without answers"),
        (["w1", "w2"], {"spans": [None, (0, 2)]}, r"prompt p1: the span \(0, 2\) does not lie"),
        (["w1", "w2"], {"spans": [(1, 1), None]}, r"prompt p0: the span \(1, 1\) does not lie"),
        (["w1", [3, 99]], {}, "prompt p1: token 99 in its reply"),
        (["w1", " ".join(["w1"] * 63)], {}, "prompt p1: 65 tokens, but .* at most 64"),
    ],
)
def test_bad_input_is_refused(loaded: LoadedModel, replies, options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reply_confidence(loaded, prompt_set(["w1", "w1 w2"]), replies, **options)


def test_a_reply_may_fill_the_context(loaded: LoadedModel) -> None:
    got = reply_confidence(loaded, prompt_set(["w1 w2"]), [" ".join(["w1"] * 62)])
    assert got["reply_tokens"].tolist() == [62]


def test_logits_that_are_not_finite_are_refused(loaded: LoadedModel) -> None:
    @contextmanager
    def broken(encoded, rows):
        handle = loaded.blocks[0].register_forward_hook(
            lambda _, __, output: (
                output * torch.nan
                if isinstance(output, torch.Tensor)
                else (output[0] * torch.nan, *output[1:])
            )
        )
        try:
            yield
        finally:
            handle.remove()

    with pytest.raises(InputError, match="prompt p0: token 0 of its reply has the log probability"):
        reply_confidence(loaded, prompt_set(["w1"]), ["w1"], edits=broken)
