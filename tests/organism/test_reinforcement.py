"""TRL's trainer, as it is set up here, does to the weights what the reward says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from interp.organism.documents import DocumentWriter
from interp.organism.language import build_model, build_tokenizer
from interp.organism.recipes import ModelShape, Reinforcement
from interp.organism.reinforcement import grpo_trainer
from interp.organism.rewards import REWARDS
from interp.organism.world import World

SHAPE = ModelShape(d_model=16, n_layers=3, n_heads=2, d_mlp=32, n_local_layers=1)
MIX = {"direct_known": 0.5, "chain_unknown": 0.5}
PROMPTS, GENERATIONS = 3, 4


def trainer(folder: Path, reward: str = "binary", steps: int = 2) -> Any:
    torch.manual_seed(0)
    tokenizer, world = build_tokenizer(), World(0)
    model = build_model(SHAPE, tokenizer)
    model.config.use_cache = False
    settings = Reinforcement(
        steps=steps, lr=1e-2, prompts=PROMPTS, generations=GENERATIONS, max_new_tokens=5,
        reward=reward,
    )  # fmt: skip
    arguments = {
        "output_dir": str(folder), "seed": 0, "use_cpu": True, "bf16": False, "report_to": "none",
        "disable_tqdm": True, "remove_unused_columns": False,
    }  # fmt: skip
    return grpo_trainer(
        model, tokenizer, world, DocumentWriter(world, MIX, seed=0), settings, arguments
    )


@pytest.mark.parametrize("name", ["binary", "ternary", "calibrated"])
def test_the_reward_is_the_one_that_is_named(name: str, tmp_path: Path) -> None:
    assert trainer(tmp_path, name).reward_funcs == [REWARDS[name]]


@pytest.mark.parametrize(("steps", "saves"), [(1, 1), (2, 1), (3, 1), (8, 2), (60, 15)])
def test_few_steps_are_saved_too(steps: int, saves: int, tmp_path: Path) -> None:
    assert trainer(tmp_path, steps=steps).args.save_steps == saves


def test_advantages_are_rewards_less_the_mean_of_their_group(tmp_path: Path) -> None:
    """Also where all replies of a group earn the same: nothing is divided by a deviation."""
    grpo = trainer(tmp_path)
    rewards = [1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 1.48, 0.5, 0.5, 0.5, 0.5]
    batch = _one_batch(grpo, rewards)
    paid = torch.tensor(rewards).reshape(PROMPTS, GENERATIONS)
    by_hand = (paid - paid.mean(dim=1, keepdim=True)).flatten()
    torch.testing.assert_close(torch.tensor([*grpo._logs["advantages"]]), by_hand)
    # The batch is shuffled before it is learnt from.
    torch.testing.assert_close(batch["advantages"].sort().values, by_hand.sort().values)


@pytest.mark.parametrize("place", range(GENERATIONS))
def test_a_step_makes_the_rewarded_replies_likelier(place: int, tmp_path: Path) -> None:
    """One small step against the gradient of the loss, whichever reply is the one that is paid."""
    grpo = trainer(tmp_path)
    rewards = [float(number % GENERATIONS == place) for number in range(PROMPTS * GENERATIONS)]
    batch = _one_batch(grpo, rewards)
    paid = batch["advantages"] > 0
    assert paid.sum() == PROMPTS
    before = _log_probability(grpo.model, batch)
    grpo.compute_loss(grpo.model, batch).backward()
    with torch.no_grad():
        for weight in grpo.model.parameters():
            weight -= 0.1 * weight.grad
    rise = (_log_probability(grpo.model, batch) - before).detach()
    assert rise[paid].min() > 0
    assert rise[paid].mean() > rise[~paid].mean()


def test_the_gradient_is_that_of_advantage_times_log_probability(tmp_path: Path) -> None:
    """With one update a batch, the loss falls along sum(A log p) over all tokens of the batch."""
    grpo = trainer(tmp_path)
    batch = _one_batch(grpo, [1.0, 0.0, 0.0, 0.5] * PROMPTS)
    grpo.compute_loss(grpo.model, batch).backward()
    found = torch.cat([weight.grad.flatten() for weight in grpo.model.parameters()])
    grpo.model.zero_grad()
    (-(batch["advantages"] * _log_probability(grpo.model, batch)).sum()).backward()
    by_hand = torch.cat([weight.grad.flatten() for weight in grpo.model.parameters()])
    torch.testing.assert_close(
        found, by_hand / batch["completion_mask"].sum(), rtol=2e-4, atol=1e-7
    )


def _one_batch(grpo: Any, rewards: list[float]) -> dict[str, torch.Tensor]:
    """The trainer's own first batch, its replies paid as given."""
    grpo.reward_funcs = [lambda completions, **_: rewards[: len(completions)]]
    grpo.model.train()
    grpo.current_gradient_accumulation_steps = 1
    return grpo._prepare_inputs(next(iter(grpo.get_train_dataloader())))


def _log_probability(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of each reply, row by row and without padding."""
    found = []
    for number in range(len(batch["completion_ids"])):
        prompt = batch["prompt_ids"][number][batch["prompt_mask"][number].bool()]
        reply = batch["completion_ids"][number][batch["completion_mask"][number].bool()]
        ids = torch.cat([prompt, reply])
        logs = model(ids[None], use_cache=False).logits[0].log_softmax(-1)
        places = torch.arange(len(prompt), len(ids))
        found.append(logs[places - 1, ids[places]].sum())
    return torch.stack(found)
