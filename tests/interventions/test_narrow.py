"""A model in bfloat16 does what it does in float32, within the noise floors of bench/README.md."""

from __future__ import annotations

import pytest
import torch

from interp.activations import Site, capture
from interp.behavior import abstention_score, generate
from interp.behavior.scores.scoring import measured_continuations
from interp.interventions import Ablate, Add, Patch, graft, intervene, relearn
from interp.interventions.masters import Masters
from interp.prompts import PromptSet, encode, render
from interp.selfcheck import require
from tests.interventions.tiny import vector

FLOOR = 5e-2
"""Of bfloat16, as a share of the largest number; what `interp check` allows."""
TEXTS = [
    f"w5 {' '.join(f'w{3 + (7 * row + n) % 30}' for n in range(row % 6 + 1))}" for row in range(12)
]
PROMPTS = PromptSet.from_records(
    [
        {"prompt_id": f"p{row}", "text": text, "should_abstain": bool(row % 2)}
        for row, text in enumerate(TEXTS)
    ]
)
SITES = [Site("resid_post", 3), Site("resid_pre", 1), Site("mlp_out", 2)]
ARCHITECTURES = ["llama", "qwen2_sliding", "gpt2"]


def pair(load, architecture="llama", seed=0):
    """The same weights in float32 and in bfloat16: rounded in both, so that only sums differ."""
    narrow = load(architecture, seed, dtype="bfloat16")
    wide = load(architecture, seed)
    with torch.no_grad():
        for ours, theirs in zip(wide.model.parameters(), narrow.model.parameters(), strict=True):
            ours.copy_(theirs)
    return wide, narrow


def apart(found, expected) -> float:
    return float((found.float() - expected).abs().max() / expected.abs().max())


def logits(loaded, edits=()) -> torch.Tensor:
    batch = encode(render(PROMPTS, loaded.tokenizer), loaded.tokenizer, side="left")
    mask_BT = torch.zeros_like(batch.attention_mask_BT, dtype=torch.bool)
    mask_BT[:, -1] = True
    with intervene(loaded, list(edits), mask_BT), torch.no_grad():
        return loaded.model(**batch.inputs).logits[:, -1].float()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_captured(load, architecture):
    wide, narrow = pair(load, architecture)
    require(narrow)
    for kept in (None, "float32"):
        acts = [
            capture(m, PROMPTS, SITES, ["last_prompt", "all"], dtype=kept) for m in (wide, narrow)
        ]
        for site in SITES:
            largest = acts[0].read(Site("resid_post", 3), "all").abs().max()
            found, expected = (a.read(site, "all") for a in reversed(acts))
            assert float((found - expected).abs().max() / largest) < FLOOR


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_scored_and_written(load, architecture):
    wide, narrow = pair(load, architecture)
    scale = float(logits(wide).abs().max())
    scores = [
        measured_continuations(m, PROMPTS, ["w7 w8", "w9"]).logprob_NC for m in (wide, narrow)
    ]
    # A log probability is a logit less a log-sum of logits, for each of two tokens.
    assert float((scores[0] - scores[1]).abs().max()) < 4 * FLOOR * scale
    # Greedy replies may part where two tokens are as likely; nowhere else.
    texts = [generate(m, PROMPTS, max_new_tokens=1) for m in (wide, narrow)]
    top_N2 = logits(wide).topk(2).values
    clear_N = ((top_N2[:, 0] - top_N2[:, 1]) > 2 * FLOOR * scale).tolist()
    assert sum(clear_N) >= 3
    assert [t for t, c in zip(texts[0], clear_N, strict=True) if c] == [
        t for t, c in zip(texts[1], clear_N, strict=True) if c
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "edit",
    [
        lambda site, like: Add(site, vector(), 2.0),
        lambda site, like: Add(site, vector().to(torch.bfloat16), 2.0),
        lambda site, like: Ablate(site, vector()),
        lambda site, like: Ablate(site, vector().double()),
        lambda site, like: Patch(site, like),
    ],
    ids=["add", "add_narrow", "ablate", "ablate_wide", "patch"],
)
def test_what_an_edit_does(load, architecture, edit):
    wide, narrow = pair(load, architecture)
    site = Site("resid_post", 1)
    like = capture(wide, PROMPTS, [site], ["last_prompt"]).read(site, "last_prompt").flip(0)
    edited = [edit(site, like)]
    expected = logits(wide, edited)
    assert apart(logits(narrow, edited), expected) < FLOOR
    assert apart(logits(wide), expected) > 2 * FLOOR  # it does something


def test_what_a_graft_does(load):
    (parent, narrow), (child, thin) = pair(load), pair(load, seed=1)
    for part in ("lower", "upper"):
        expected = logits(graft(parent, child, 2, child_part=part))
        assert apart(logits(graft(narrow, thin, 2, child_part=part)), expected) < FLOOR
        assert apart(logits(parent), expected) > 2 * FLOOR


EXAMPLES = [("w5 w6", "w9 w7"), ("w3 w4 w5", "w7"), ("w8", "w9 w9 w3")]


def relearned(loaded, lr: float, steps: int = 30):
    def score(model) -> float:
        return float(abstention_score(model, PROMPTS, ["w7 w8", "w9"]).mean())

    options = {"batch_size": 3, "eval_every": steps, "evaluate": score, "seed": 0}
    return relearn(loaded, EXAMPLES, scope="all", steps=steps, lr=lr, **options)


def test_what_relearning_does_in_steps_that_bfloat16_would_lose(load):
    """30 steps of 1e-4 on weights of size 0.3, whose neighbours lie 1e-3 to 2e-3 away."""
    wide, narrow = pair(load)
    expected, found = relearned(wide, 1e-4), relearned(narrow, 1e-4)
    learned = expected.dev_scores[-1] - expected.dev_scores[0]
    assert learned > 0
    assert found.dev_scores[-1] - found.dev_scores[0] == pytest.approx(learned, rel=0.25)
    assert next(found.best_model.model.parameters()).dtype == torch.bfloat16


def test_steps_too_small_for_the_dtype_add_up():
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    masters = Masters([weight])
    optimizer = torch.optim.SGD(masters.parameters, lr=1e-3)
    for _ in range(8):
        weight.grad = torch.ones_like(weight)
        masters.take_gradients()
        optimizer.step()
        masters.write_back()
    assert weight.item() == torch.tensor(1 - 8e-3).bfloat16().item() != 1
    masters.forget_gradients()
    assert weight.grad is None


def test_float32_is_trained_itself():
    weight = torch.nn.Parameter(torch.ones(2))
    assert Masters([weight]).parameters == [weight]
    assert Masters([weight]).parameters[0] is weight
