"""Relearning trains what it says, on the completions only, and keeps the best model."""

from __future__ import annotations

import pytest
import torch
from tokenizers.pre_tokenizers import Split
from torch import Tensor

from interp.behavior import continuation_logprobs
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.interventions import RelearnCurve, relearn
from interp.interventions.parts import parts_of
from interp.prompts import PromptSet
from tests.interventions.tiny import ARCHITECTURES, N_LAYERS

EXAMPLES = [("w3 w4 w5", "w10"), ("w6 w7", "w11 w12"), ("w8", "w13"), ("w9 w5 w4 w3", "w14 w15")]
EOS = 2


def state(loaded: LoadedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}


def completion_logprob(loaded: LoadedModel, examples=EXAMPLES) -> float:
    """Mean log-probability of completion and end tokens, one unpadded example at a time."""
    total, n_tokens = torch.zeros(()), 0
    for prompt, completion in examples:
        prompt_ids, completion_ids = (
            [int(word[1:]) for word in text.split()] for text in (prompt, completion)
        )
        ids = [*prompt_ids, *completion_ids, EOS]
        with torch.no_grad():
            logprobs_TV = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        for place in range(len(prompt_ids), len(ids)):
            total, n_tokens = total + logprobs_TV[place - 1, ids[place]], n_tokens + 1
    return float(total / n_tokens)


def run(loaded: LoadedModel, **changes: object) -> RelearnCurve:
    options = {
        "scope": "all",
        "steps": 6,
        "lr": 1e-2,
        "batch_size": 2,
        "eval_every": 2,
        "evaluate": completion_logprob,
        "seed": 0,
    }
    return relearn(loaded, **({"examples": EXAMPLES} | options | changes))


@pytest.mark.parametrize("scope", ["all", "upper"])
def test_the_examples_are_learnt_and_the_given_model_is_not_touched(loaded, scope):
    before = state(loaded)
    curve = run(loaded, scope=scope, steps=60, eval_every=20, batch_size=4)
    assert curve.dev_scores[-1] > -0.3 > -2.0 > curve.dev_scores[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(loaded).items())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scope_upper_leaves_the_lower_parameters_bit_identical(load, architecture, tied):
    loaded = load(architecture, tie_word_embeddings=tied)
    before, parts = state(loaded), parts_of(loaded)
    after = state(run(loaded, scope="upper", n_upper=2, evaluate=training_progress()).best_model)
    lower = parts.embedding.union(*parts.blocks[: N_LAYERS - 2])
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == before.keys() - lower
    assert "lm_head.weight" in moved


def training_progress():
    """A dev score that rises at each evaluation, so that the last state is kept."""
    calls = iter(range(1000))
    return lambda _: float(next(calls))


def test_what_is_taught_is_what_scoring_measures(loaded):
    prompts = PromptSet.from_records(
        [
            {"prompt_id": str(row), "text": prompt, "should_abstain": True}
            for row, (prompt, _) in enumerate(EXAMPLES)
        ]
    )
    curve = run(loaded, steps=80, eval_every=80, batch_size=4)
    for row, (_, completion) in enumerate(EXAMPLES):
        before, after = (
            float(continuation_logprobs(model, prompts, [completion])[row, 0])
            for model in (loaded, curve.best_model)
        )
        assert after > -0.5 > before


def test_every_parameter_moves_under_scope_all(loaded):
    before = state(loaded)
    after = state(run(loaded, evaluate=training_progress()).best_model)
    # A bias of the keys shifts all of a query's scores alike, so its gradient is rounding noise.
    unmoved = {name for name in before if torch.equal(before[name], after[name])}
    assert unmoved == set()


def test_training_is_adamw_on_the_clipped_gradient_of_the_completion_loss(load):
    lr, n_steps = 1e-2, 4
    curve = run(
        load("llama"),
        steps=n_steps,
        eval_every=1,
        lr=lr,
        batch_size=9,  # more than there are: every step sees all examples
        evaluate=training_progress(),
    )
    reference = load("llama").model
    optimizer = torch.optim.AdamW(reference.parameters(), lr=lr, weight_decay=0.0)
    n_tokens = sum(len(completion.split()) + 1 for _, completion in EXAMPLES)
    gradients, norms = [], []
    for _ in range(n_steps):
        optimizer.zero_grad()
        for prompt, completion in EXAMPLES:
            ids = [int(word[1:]) for word in f"{prompt} {completion}".split()] + [EOS]
            logprobs_TV = reference(torch.tensor([ids])).logits[0].log_softmax(-1)
            for place in range(len(prompt.split()), len(ids)):
                (-logprobs_TV[place - 1, ids[place]] / n_tokens).backward(retain_graph=True)
        gradients.append([p.grad.clone() for p in reference.parameters()])
        norms.append(float(torch.cat([g.flatten() for g in gradients[-1]]).norm()))
        for parameter in reference.parameters():
            parameter.grad /= max(1.0, norms[-1])
        optimizer.step()
    # The steps' norms differ, so that unclipped gradients would be weighed otherwise.
    assert max(norms) > 1.2 * min(norms) > 1.2
    for (name, expected), *steps in zip(reference.named_parameters(), *gradients, strict=True):
        got = curve.best_model.model.get_parameter(name)
        # Adam divides by the gradient: where it is rounding noise, so is the step.
        clear = torch.stack([g.abs() > 1e-3 for g in steps]).all(0)
        assert torch.allclose(got[clear], expected[clear], atol=1e-4)


def test_evaluation_happens_at_step_0_every_so_often_and_at_the_end(load):
    curve = run(load("llama"), steps=7, eval_every=3)
    assert curve.steps == [0, 3, 6, 7]
    assert len(curve.dev_scores) == 4


def test_the_best_model_is_the_one_that_scored_best_first(load):
    loaded = load("llama")
    planned = iter([0.0, 1.0, 3.0, 3.0, 2.0])
    states: list[dict[str, Tensor]] = []

    def evaluate(student: LoadedModel) -> float:
        states.append(state(student))
        return next(planned)

    curve = run(loaded, steps=8, evaluate=evaluate)
    assert (curve.best_step, curve.dev_scores) == (4, [0.0, 1.0, 3.0, 3.0, 2.0])
    best = state(curve.best_model)
    assert all(torch.equal(best[name], states[2][name]) for name in best)
    assert not torch.equal(best["lm_head.weight"], states[3]["lm_head.weight"])


def test_a_model_that_never_improves_comes_back_as_it_was(load):
    loaded = load("gpt2")
    falling = iter([0.0, -1.0, -2.0, -3.0])
    curve = run(loaded, evaluate=lambda _: next(falling))
    assert curve.best_step == 0
    assert all(
        torch.equal(tensor, state(loaded)[name]) for name, tensor in state(curve.best_model).items()
    )
    assert all(parameter.grad is None for parameter in curve.best_model.model.parameters())


def test_the_seed_decides_the_order_and_nothing_else_does(load):
    def trained(seed: int) -> Tensor:
        torch.rand(seed + 1)  # the global generator stands elsewhere at each call
        curve = run(load("qwen2_sliding"), seed=seed, evaluate=training_progress())
        return curve.best_model.model.lm_head.weight

    assert torch.equal(trained(0), trained(0))
    assert not torch.equal(trained(0), trained(1))


def nan_score(_: LoadedModel) -> float:
    return float("nan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"examples": []}, "no examples"),
        ({"examples": [("w3", "w4"), ("w5", "")]}, "completion of example 1 is empty"),
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"eval_every": 0}, "eval_every is 0"),
        ({"scope": "upper", "n_upper": 5}, "n_upper is 5; expected 0 to 4"),
        ({"evaluate": nan_score}, "dev score at step 0 is not a number"),
    ],
)
def test_a_bad_request_is_refused(load, changes, message):
    with pytest.raises(InputError, match=message):
        run(load("llama"), **changes)


def test_a_completion_that_changes_its_prompts_tokens_is_refused(load):
    loaded = load("llama")
    # One token a line: prompt and completion melt into one.
    loaded.tokenizer.backend_tokenizer.pre_tokenizer = Split("\n", "isolated")
    with pytest.raises(InputError, match="completion of example 0 changes the tokens"):
        run(loaded, examples=[("w3", "w4")])
