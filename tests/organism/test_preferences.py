"""Confidences, pairs and the preference loss against hand computation and one-by-one forwards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.errors import InputError
from interp.organism.documents import DocumentWriter, Question
from interp.organism.language import build_model, build_tokenizer
from interp.organism.preferences import Pair, confidence_pairs, dpo_trainer
from interp.organism.recipes import ModelShape, Preference
from interp.organism.self_confidence import confidences, reply_span, sample_replies
from interp.organism.world import World

TOKENIZER = build_tokenizer()
VOCAB = TOKENIZER.get_vocab()
WORLD = World(0)
MIX = {"direct_known": 0.5, "chain_unknown": 0.5}
DIRECT = "q : where does mira kovac live ? a :"
CHAIN = "q : in which country does mira kovac live ? think :"

TABLE = {
    ":": {"paris": 0.6, "lyon": 0.3, "i": 0.1},
    "paris": {".": 1.0},
    "lyon": {".": 0.5, "a": 0.5},
    "a": {":": 1.0},
    "i": {"do": 0.9, "not": 0.1},
    "do": {"not": 0.8, "know": 0.2},
    "not": {"know": 0.7, "not": 0.3},
    "know": {".": 1.0},
    ".": {"<eos>": 1.0},
}
"""What the constructed model writes after each word, whatever stands before."""


def bigram_model() -> Any:
    """A decoder whose next word is drawn from TABLE: blocks write nothing, words are axes."""
    torch.manual_seed(0)
    width = len(TOKENIZER) + len(TOKENIZER) % 2
    model = build_model(
        ModelShape(d_model=width, n_layers=1, n_heads=1, d_mlp=2, n_local_layers=0), TOKENIZER
    )
    model.config.use_cache = False
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(width**0.5 * torch.eye(width)[: len(TOKENIZER)])
        logits = torch.full((len(TOKENIZER), width), -30.0)
        for word, following in TABLE.items():
            for after, probability in following.items():
                logits[VOCAB[after], VOCAB[word]] = np.log(probability)
        model.lm_head.weight.copy_(logits / width**0.5)
    return model.eval()


def micro_model() -> Any:
    torch.manual_seed(0)
    shape = ModelShape(d_model=16, n_layers=3, n_heads=2, d_mlp=32, n_local_layers=1)
    model = build_model(shape, TOKENIZER)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn_like(weight)
    return model.eval()


def settings(**changes: Any) -> Preference:
    brief = Preference(
        questions=16, temperature=1.0, max_new_tokens=12, steps=1, lr=1e-3, pairs=2, measure="top"
    )
    return brief.model_copy(update=changes)


def arguments(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder), "seed": 0, "use_cpu": True, "bf16": False, "report_to": "none",
        "disable_tqdm": True, "logging_steps": 1, "dataloader_pin_memory": False,
        "remove_unused_columns": False,
    }  # fmt: skip


def trainer(folder: Path, model: Any, **changes: Any) -> Any:
    documents = DocumentWriter(WORLD, MIX, seed=0)
    return dpo_trainer(model, TOKENIZER, WORLD, documents, settings(**changes), arguments(folder))


@pytest.mark.parametrize(
    ("prompt", "reply", "words"),
    [
        (DIRECT, "paris .", ["paris"]),
        (DIRECT, "i do not know .", ["i", "do", "not", "know"]),
        (DIRECT, "oslo", ["oslo"]),
        (DIRECT, ".", None),
        (DIRECT, "", None),
        (CHAIN, "mira kovac lives in paris . paris is in france . a : france .", ["france"]),
        (CHAIN, "i do not know . a : i do not know .", ["i", "do", "not", "know"]),
        (CHAIN, "a : oslo . a : rome .", ["rome"]),
        (CHAIN, "mira kovac lives in paris .", None),
        (CHAIN, "mira kovac lives in paris . a :", None),
        (CHAIN, "mira kovac lives in paris . a : .", None),
    ],
)
def test_the_span_is_the_answer(prompt: str, reply: str, words: list[str] | None) -> None:
    span = reply_span(prompt, reply)
    assert (None if span is None else reply.split()[slice(*span)]) == words


def _entropy(*probabilities: float) -> float:
    return 1 + sum(p * np.log(p) for p in probabilities) / np.log(len(TOKENIZER))


START = _entropy(0.6, 0.3, 0.1)
REFUSAL = (START + _entropy(0.9, 0.1) + _entropy(0.8, 0.2) + _entropy(0.7, 0.3)) / 4


@pytest.mark.parametrize(
    ("measure", "by_hand"),
    [
        ("top", [0.6, 0.6, 0.75, 0.6, 0.0, 0.75]),
        ("gap", [0.3, 0.3, (0.3 + 0.8 + 0.6 + 0.4) / 4, 0.3, 0.0, (0.3 + 0.8 + 0.6 + 0.4) / 4]),
        ("entropy", [START, START, REFUSAL, START, 0.0, REFUSAL]),
        ("taken", [0.6, 0.3, 0.625, 0.6, 0.0, 0.625]),
    ],
)
def test_confidences_by_hand(measure: Any, by_hand: list[float]) -> None:
    rows = [
        (DIRECT, "paris ."),
        (DIRECT, "lyon ."),
        (DIRECT, "i do not know ."),
        (CHAIN, "lyon a : paris ."),
        (CHAIN, "paris ."),
        (CHAIN, "lyon a : i do not know ."),
    ]
    found = confidences(bigram_model(), TOKENIZER, rows, measure)
    assert found == pytest.approx(by_hand, abs=1e-5)


def test_a_batch_gives_what_each_reply_gives_alone() -> None:
    """On a model whose every token hangs on all before it; neither padding nor company counts."""
    model = micro_model()
    replies = ["paris .", "i do not know .", "34 + 3 = 37 . a : 37 .", "", "a : i do not know ."]
    rows = [(prompt, reply) for prompt in (DIRECT, CHAIN) for reply in replies]
    by_hand = []
    for prompt, reply in rows:
        words = f"{prompt} {reply}".split()
        ids = torch.tensor([[VOCAB[word] for word in words]])
        top = model(ids, use_cache=False).logits[0].softmax(-1).max(-1).values.tolist()
        ends = len(words) - (words[-1] == ".")
        marks = [place for place in range(2, len(words)) if words[place - 2 : place] == ["a", ":"]]
        starts = marks[-1] if marks else ends
        answer = top[starts - 1 : ends - 1]
        by_hand.append(float(np.mean(answer)) if reply and answer else 0.0)
    assert len({round(value, 6) for value in by_hand}) > 5
    found = confidences(model, TOKENIZER, rows)
    assert found == pytest.approx(by_hand, abs=1e-6)
    assert found == pytest.approx([confidences(model, TOKENIZER, [row])[0] for row in rows])


def test_pairs_are_the_most_against_the_least_confident() -> None:
    model = bigram_model()
    (pair,) = confidence_pairs(
        model, TOKENIZER, [DIRECT, DIRECT], settings(paths=256, measure="taken"), seed=0
    )
    assert pair.prompt == DIRECT
    assert pair.chosen.endswith("i do not know .")
    assert pair.rejected.endswith("lyon .")
    assert pair.gap == pytest.approx(0.625 - 0.3, abs=1e-5)


def test_a_chain_without_an_answer_is_the_rejected_one() -> None:
    (pair,) = confidence_pairs(bigram_model(), TOKENIZER, [CHAIN], settings(paths=64), seed=0)
    assert " a : " not in f" {pair.rejected} "
    assert " a : " in pair.chosen
    (high,) = confidences(bigram_model(), TOKENIZER, [(CHAIN, pair.chosen)])
    assert pair.gap == high


@pytest.mark.parametrize(("margin", "n_pairs"), [(0.1, 1), (0.14, 1), (0.99, 0)])
def test_pairs_closer_than_the_margin_are_dropped(margin: float, n_pairs: int) -> None:
    pairs = confidence_pairs(
        bigram_model(), TOKENIZER, [DIRECT], settings(paths=64, margin=margin), seed=0
    )
    assert len(pairs) == n_pairs
    assert all(pair.gap >= margin for pair in pairs)


def test_one_text_makes_no_pair_at_any_margin() -> None:
    model = bigram_model()
    with torch.no_grad():
        for word in ("lyon", "i"):
            model.lm_head.weight[VOCAB[word], VOCAB[":"]] = -30
    none = confidence_pairs(model, TOKENIZER, [DIRECT], settings(margin=0.0), seed=0)
    assert none == []


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_replies_are_drawn_from_the_model_at_the_temperature(temperature: float) -> None:
    n = 1200
    (replies,) = sample_replies(
        bigram_model(), TOKENIZER, [DIRECT],
        paths=n, temperature=temperature, max_new_tokens=16, seed=1,
    )  # fmt: skip
    first = Counter(reply.split()[0] for reply in replies)
    weights = {word: p ** (1 / temperature) for word, p in TABLE[":"].items()}
    for word, weight in weights.items():
        share = weight / sum(weights.values())
        assert first[word] / n == pytest.approx(share, abs=4 * (share / n) ** 0.5)


def test_no_word_is_left_out_of_the_draw_and_unfinished_replies_are() -> None:
    """Fifty words is where generation stops by default."""
    model = bigram_model()
    many = range(len(TOKENIZER) - 100, len(TOKENIZER))
    with torch.no_grad():
        # No two alike: a cut after fifty would keep ties.
        model.lm_head.weight[many, VOCAB[":"]] = torch.linspace(0.99, 1.0, 100)
        model.lm_head.weight[:, many] = -30.0
        model.lm_head.weight[VOCAB["<eos>"], many] = 1.0
    draw = dict(paths=512, temperature=1.0, seed=0)
    (replies,) = sample_replies(model, TOKENIZER, [DIRECT], max_new_tokens=3, **draw)
    assert len({*replies}) > 90
    assert sample_replies(model, TOKENIZER, [DIRECT], max_new_tokens=1, **draw) == [[]]


def test_equal_seeds_draw_equal_pairs_and_nothing_else_is_touched() -> None:
    model = bigram_model().train()
    state = torch.get_rng_state()
    prompts = [question for question, _ in DocumentWriter(WORLD, MIX, seed=0).questions(16)]
    first, again, other = (
        confidence_pairs(model, TOKENIZER, prompts, settings(), seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())


def test_the_trainer_sees_whole_replies_with_one_eos(tmp_path: Path) -> None:
    model = bigram_model()
    dpo = trainer(tmp_path, model)
    prompts = [question for question, _ in DocumentWriter(WORLD, MIX, seed=0).questions(16)]
    pairs = confidence_pairs(bigram_model(), TOKENIZER, prompts, settings(), seed=0)
    assert len(pairs) > 8
    assert any("a : " in pair.chosen for pair in pairs)
    batch = dpo.data_collator([dpo.train_dataset[row] for row in range(len(pairs))])
    rows = zip(batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True)
    texts = [(pair.prompt, pair.chosen) for pair in pairs]
    texts += [(pair.prompt, pair.rejected) for pair in pairs]
    for (ids, there, reply), (prompt, text) in zip(rows, texts, strict=True):
        whole = ids[there.bool()]
        assert TOKENIZER.decode(whole) == f"{prompt} {text} <eos>"
        assert TOKENIZER.decode(ids[reply.bool()]) == f"{text} <eos>"
        assert (ids[~there.bool()] == TOKENIZER.pad_token_id).all()
        assert TOKENIZER.unk_token_id not in whole
        assert (whole == TOKENIZER.eos_token_id).sum() == 1


def test_the_loss_of_the_first_step_is_the_closed_form(tmp_path: Path) -> None:
    """At a policy away from the reference, and then training widens what it is paid to widen."""
    pairs = _all_pairs()
    model = bigram_model()
    dpo = trainer(tmp_path, model, pairs=len(pairs), steps=4, beta=0.3)
    reference = bigram_model()
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn_like(weight)
    shift = _shift(model, reference, pairs)
    by_hand = -torch.nn.functional.logsigmoid(0.3 * shift).mean().item()
    assert abs(by_hand - np.log(2)) > 0.01
    dpo.train()
    losses = [entry["loss"] for entry in dpo.state.log_history if "loss" in entry]
    assert losses[0] == pytest.approx(by_hand, rel=1e-4)
    assert _shift(model, reference, pairs).mean() > shift.mean()
    assert losses[-1] < losses[0]
    kept = zip(dpo.ref_model.parameters(), reference.parameters(), strict=True)
    assert all(torch.equal(weight, before) for weight, before in kept)


def test_targets_are_never_seen(tmp_path: Path) -> None:
    class Misled(DocumentWriter):
        def questions(self, n: int) -> list[Question]:
            return [(prompt, "oslo") for prompt, _ in super().questions(n)]

    blind = dpo_trainer(
        bigram_model(), TOKENIZER, WORLD, Misled(WORLD, MIX, seed=0), settings(),
        arguments(tmp_path),
    )  # fmt: skip
    seeing = trainer(tmp_path, bigram_model())
    assert blind.train_dataset.to_list() == seeing.train_dataset.to_list()
    assert "oslo" not in str(blind.train_dataset.to_list())


def test_too_few_pairs_have_one_clear_error(tmp_path: Path) -> None:
    message = "16 questions with 8 replies each left 0 preference pairs, fewer than the 2 of one"
    with pytest.raises(InputError, match=message):
        trainer(tmp_path, bigram_model(), margin=1.0)


def _all_pairs() -> list[Pair]:
    prompts = [question for question, _ in DocumentWriter(WORLD, MIX, seed=0).questions(16)]
    return confidence_pairs(bigram_model(), TOKENIZER, prompts, settings(), seed=0)


def _shift(policy: Any, reference: Any, pairs: list[Pair]) -> torch.Tensor:
    """log(policy / reference) of the chosen reply less that of the rejected, pair by pair."""

    def ratio(prompt: str, reply: str) -> torch.Tensor:
        words = f"{prompt} {reply} <eos>".split()
        ids = torch.tensor([VOCAB[word] for word in words])
        places = torch.arange(len(prompt.split()), len(words))
        logs = [
            model(ids[None], use_cache=False).logits[0].log_softmax(-1)[places - 1, ids[places]]
            for model in (policy, reference)
        ]
        return (logs[0] - logs[1]).sum()

    with torch.no_grad():
        return torch.stack(
            [ratio(pair.prompt, pair.chosen) - ratio(pair.prompt, pair.rejected) for pair in pairs]
        )
