"""What one cell tells of a parent and its child, where its rows cannot tell anything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.activations import Activations, Site
from interp.probes import debiased_cka
from interp.prompts import PromptSet, targets_of
from interp.stages import pairing
from interp.stages.pairing import Pair, TransferSettings, transferred
from interp.stages.reading import Readings

SITE, POSITION = Site("resid_post", 0), "last_prompt"
CELL = SITE, POSITION
N_PEOPLE, EACH, WIDTH = 24, 3, 5
SETTINGS = TransferSettings(levels=("pair",), n_splits=3, n_boot=20, n_halvings=4, n_unrelated=4)
PROMPTS = PromptSet.from_records(
    [
        {
            "prompt_id": f"{person}-{number}",
            "entity": f"person {person}",
            "text": "who ?",
            "should_abstain": person % 2 == 0,
        }
        for number in range(EACH)
        for person in range(N_PEOPLE)
    ]
)
FIRST = slice(N_PEOPLE)
"""The first row of each person: rows come person by person, time after time."""


@pytest.fixture(autouse=True)
def _names_of_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """What checked annotations name, which the module imports for type checkers alone."""
    monkeypatch.setattr(pairing, "Site", Site, raising=False)
    monkeypatch.setattr(pairing, "Tensor", torch.Tensor, raising=False)


def readings(acts_ND: np.ndarray) -> Readings:
    shard = {str(SITE): acts_ND[None].astype(np.float32), "lengths": np.ones(len(acts_ND), int)}
    acts = Activations([SITE], [POSITION], [shard], "float32", {})
    return Readings(acts, (CELL,), np.arange(len(acts_ND)))


def told(parent_ND: np.ndarray, child_ND: np.ndarray) -> dict[str, float]:
    (target,) = targets_of(PROMPTS, ["should_abstain"])
    pair = Pair.of(target, PROMPTS, readings(parent_ND), readings(child_ND), SETTINGS, seed=0)
    return transferred(pair, CELL, {}).set_index("measure")["estimate"].to_dict()


def acts(seed: int) -> np.ndarray:
    """Activations that tell the classes apart, each row another."""
    acts_ND = np.random.default_rng(seed).normal(size=(EACH * N_PEOPLE, WIDTH))
    acts_ND[:, 0] += 4 * PROMPTS.labels
    return acts_ND.astype(np.float32)


def test_similarity_is_that_of_one_row_a_person() -> None:
    parent_ND, child_ND = acts(0), acts(1)
    values = told(parent_ND, child_ND)
    firsts = torch.from_numpy(parent_ND[FIRST]), torch.from_numpy(child_ND[FIRST])
    assert values["cka"] == pytest.approx(debiased_cka(*firsts))
    # The other rows of a person are not looked at.
    other_ND = child_ND.copy()
    other_ND[N_PEOPLE:] += 100
    assert told(parent_ND, other_ND)["cka"] == values["cka"]
    assert told(parent_ND, parent_ND)["cka"] == pytest.approx(1)


@pytest.mark.parametrize("alike", ["parent", "child", "both"])
def test_where_all_first_rows_are_alike_there_is_no_similarity(alike: str) -> None:
    """As at the end of a template, below the layer that sees the name; the rest is still told."""
    both = {"parent": acts(0), "child": acts(1)}
    for name in both if alike == "both" else [alike]:
        both[name][FIRST] = both[name][0]
    values = told(both["parent"], both["child"])
    assert np.isnan(values.pop("cka"))
    assert np.isfinite([*values.values()]).all()


def test_one_first_row_that_differs_is_enough_and_later_ones_are_not() -> None:
    parent_ND, child_ND = acts(0), acts(1)
    child_ND[FIRST] = child_ND[0]
    child_ND[N_PEOPLE - 1, 2] += 1
    assert np.isfinite(told(parent_ND, child_ND)["cka"])
    child_ND[N_PEOPLE - 1] = child_ND[0]
    child_ND[N_PEOPLE, 2] += 1  # the second row of a person
    assert np.isnan(told(parent_ND, child_ND)["cka"])
