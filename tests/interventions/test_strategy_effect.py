"""Effects of a strategy's direction on the words it should bring about, against forwards by hand.

Models are in float64, so that a difference of two forwards is a derivative; rotary positions and
root mean square norms compute in float32 all the same, which bounds how small a step can be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from interp.activations import Site
from interp.checkpoints import LoadedModel
from interp.directions import Direction, random_directions
from interp.errors import InputError
from interp.interventions import Patch, intervene
from interp.interventions.strategy_effect import choose_site, layer_effects
from interp.prompts import PromptSet, encode
from tests.interventions.conftest import Load
from tests.interventions.tiny import Batch, resid

TEXTS = ("w3 w4 w5 w6 w7 w8 w9", "w11 w12", "w13 w4 w15 w7", "w21 w22 w3 w8 w30", "w5", "w9 w9")
PHRASES, OTHERS = ("w25 w3", "w17"), ("w30", "w31 w3")
FIRST = [17, 25]  # ids are the numbers of the words
SITES = (Site("resid_post", 0), Site("resid_pre", 2), Site("resid_post", 2))
NORM, EPS = 3.0, 2e-3


def of(texts: tuple[str, ...] = TEXTS, split: str = "dev") -> PromptSet:
    return PromptSet.from_records(
        [
            {"prompt_id": str(n), "text": text, "should_abstain": False, "split": split}
            for n, text in enumerate(texts)
        ]
    )


def direction(site: Site, seed: int = 0, norm: float = NORM) -> Direction:
    (unit_D,) = random_directions(1, 16, 100 + seed)
    return Direction(unit_D, norm, site, "windows", "made", "strategy_difference: doubt")


@pytest.fixture
def exact(loaded: LoadedModel) -> LoadedModel:
    """Each architecture, in float64."""
    loaded.model.double()
    return loaded


def last_logits(
    loaded: LoadedModel, text: str, site: Site, change: Callable[[Tensor], Tensor]
) -> Tensor:
    """After one prompt alone, its last token changed at the site by a hook of the test's own."""
    batch = encode([text], loaded.tokenizer)

    def hook(_, __, output):
        resid_BTD = output if torch.is_tensor(output) else output[0]
        resid_BTD = resid_BTD.clone()
        resid_BTD[:, -1] = change(resid_BTD[:, -1])
        return resid_BTD if torch.is_tensor(output) else (resid_BTD, *output[1:])

    block = loaded.blocks[site.layer - (site.kind == "resid_pre")]
    handle = block.register_forward_hook(hook)
    with torch.no_grad():
        logits_V = loaded.model(**Batch(batch.input_ids_BT, batch.attention_mask_BT).inputs).logits
    handle.remove()
    return logits_V[0, -1]


def log_odds(logit_V: Tensor) -> float:
    p = float(logit_V.softmax(-1)[FIRST].sum())
    return math.log(p) - math.log1p(-p)


def odds_after_adding(loaded: LoadedModel, text: str, at: Direction, by: float) -> float:
    vector_D = by * at.vector_D.double()
    return log_odds(last_logits(loaded, text, at.site, lambda h: h + vector_D))


def effects(loaded: LoadedModel, directions, prompts: PromptSet | None = None, **options):
    defaults = {"seed": 0, "n_random": 4, "n_boot": 100}
    return layer_effects(
        loaded, prompts or of(), directions, PHRASES, OTHERS, **defaults | options
    ).set_index("site")


def test_first_order_effects_are_derivatives(exact: LoadedModel):
    directions = [direction(site, n) for n, site in enumerate(SITES)]
    table = effects(exact, directions)
    for at in directions:
        slopes = [
            (odds_after_adding(exact, text, at, EPS) - odds_after_adding(exact, text, at, -EPS))
            / (2 * EPS)
            for text in TEXTS
        ]
        found = table.loc[str(at.site)]
        assert found["first_order"] == pytest.approx(NORM * np.mean(slopes), rel=2e-3, abs=1e-3)
        assert max(map(abs, slopes)) > 0.01
        assert found["first_order_lo"] <= found["first_order"] <= found["first_order_hi"]
    assert table["layer"].tolist() == [0, 2, 2]
    assert table["n"].tolist() == [6, 6, 6]


def test_exact_effects_are_those_of_really_adding_the_vector(exact: LoadedModel):
    directions = [direction(site, n) for n, site in enumerate(SITES)]
    table = effects(exact, directions, coefficient=-0.7)
    for at in directions:
        changes = [
            odds_after_adding(exact, text, at, -0.7 * NORM) - odds_after_adding(exact, text, at, 0)
            for text in TEXTS
        ]
        assert table.loc[str(at.site), "exact"] == pytest.approx(np.mean(changes), abs=1e-4)
        assert max(map(abs, changes)) > 0.02


def test_exact_effects_are_those_of_patching_the_sum_in(load: Load):
    """The state is read, the vector put on top, and the sum written in another run."""
    loaded = load("llama")
    at = direction(SITES[2])
    changes = []
    for text in TEXTS:
        encoded = encode([text], loaded.tokenizer)
        batch = Batch(encoded.input_ids_BT, encoded.attention_mask_BT)
        act_D = resid(loaded, batch, at.site)[0, -1]
        mask_BT = torch.zeros_like(batch.ids_BT, dtype=torch.bool)
        mask_BT[0, -1] = True
        odds = []
        for by in (0.0, NORM):
            patch = Patch(at.site, (act_D + by * at.vector_D)[None])
            with torch.no_grad(), intervene(loaded, [patch], mask_BT):
                odds.append(log_odds(loaded.model(**batch.inputs).logits[0, -1].double()))
        changes.append(odds[1] - odds[0])
    found = effects(loaded, [at])["exact"].item()
    assert found == pytest.approx(np.mean(changes), abs=1e-4)


def test_small_vectors_have_the_effect_that_the_gradient_says(exact: LoadedModel):
    at = direction(SITES[1])
    small = effects(exact, [at], coefficient=1e-2).iloc[0]
    assert small["exact"] == pytest.approx(small["first_order"], rel=0.05, abs=1e-4)
    large = effects(exact, [at], coefficient=1.0).iloc[0]
    assert large["first_order"] == pytest.approx(100 * small["first_order"], rel=1e-6)


def test_where_the_rest_is_linear_both_effects_are_the_heads_pull(load: Load):
    """No norm before the head, and the head reads all words alike but those of the strategy."""
    loaded = load("llama")
    loaded.model.double()
    loaded.model.model.norm = torch.nn.Identity()
    with torch.no_grad():
        head_VD = loaded.model.lm_head.weight
        head_VD[torch.arange(len(head_VD)) != 17] = head_VD[3].clone()
        head_VD[25] = head_VD[17].clone()
    at = direction(Site("resid_post", 3))
    row = effects(loaded, [at]).iloc[0]
    pull = NORM * float((head_VD[17] - head_VD[3]).detach() @ at.vector_D.double())
    assert row["first_order"] == pytest.approx(pull, rel=1e-4)
    assert row["exact"] == pytest.approx(pull, rel=1e-4)
    assert row["exact_lo"] == pytest.approx(row["exact_hi"], rel=1e-4)


def test_a_divergence_from_itself_has_no_gradient_and_the_log_odds_do(load: Load):
    """Why the target is not KL(p || p): its slope is 0 whatever the direction."""
    loaded = load("llama")
    loaded.model.double()
    at = direction(SITES[1])
    for text in TEXTS[:3]:
        p_V, *moved = (
            last_logits(
                loaded, text, at.site, lambda h, by=by: h + by * at.vector_D.double()
            ).softmax(-1)
            for by in (0.0, EPS, -EPS)
        )
        up, down = (float((p_V * (p_V / q_V).log()).sum()) for q_V in moved)
        assert abs(up - down) / (2 * EPS) < 1e-3
        odds = [odds_after_adding(loaded, text, at, by) for by in (EPS, -EPS)]
        assert abs(odds[0] - odds[1]) / (2 * EPS) > 5e-3


def test_random_directions_of_the_same_norm_are_the_null(load: Load):
    loaded = load("llama")
    loaded.model.double()
    at = direction(SITES[2])
    row = effects(loaded, [at], n_random=5, seed=7).iloc[0]
    sizes = []
    for random_D in random_directions(5, 16, 7):
        other = replace(at, vector_D=random_D)
        sizes.append(abs(effects(loaded, [other], n_random=0)["first_order"].item()))
    assert row["random_95"] == pytest.approx(np.quantile(sizes, 0.95), rel=1e-5)
    assert np.isnan(effects(loaded, [at], n_random=0)["random_95"].item())


def test_batches_make_no_difference(load: Load):
    loaded = load("gpt2")
    directions = [direction(site) for site in SITES]
    together, apart = (effects(loaded, directions, token_budget=n) for n in (8192, 1))
    pd.testing.assert_frame_equal(together, apart, rtol=1e-4, atol=1e-4)


def test_the_site_of_the_largest_exact_effect_is_chosen():
    table = pd.DataFrame(
        {
            "site": ["resid_post.1", "resid_post.2", "resid_post.3"],
            "first_order": [9.0, 1.0, -4.0],
            "exact": [0.5, 0.7, -3.0],
        }
    )
    assert choose_site(table) == Site("resid_post", 2)
    assert choose_site(table.assign(exact=-table["exact"].abs())) is None


def test_layers_are_chosen_on_dev_alone(load: Load):
    loaded = load("llama")
    with pytest.raises(InputError, match=r"prompts of the splits \['test'\]; layers are chosen on"):
        effects(loaded, [direction(SITES[0])], of(split="test"))
    mixed = PromptSet(of().frame.assign(split=["dev"] * 5 + ["train"]))
    with pytest.raises(InputError, match=r"the splits \['dev', 'train'\]"):
        effects(loaded, [direction(SITES[0])], mixed)


def test_what_does_not_fit_is_refused(load: Load):
    loaded, prompts = load("llama"), of()
    with pytest.raises(InputError, match=r"directions at \[\]; expected one at each site"):
        effects(loaded, [])
    with pytest.raises(InputError, match="expected one at each site"):
        effects(loaded, [direction(SITES[0]), direction(SITES[0], 1)])
    nothing: tuple[str, ...] = ()
    for phrases, others, message in (
        (PHRASES, ("w30", "w25 w9"), "of both: 'w25 w3' and 'w25 w9' begin alike; expected one"),
        (nothing, OTHERS, "0 and 2 tokens that begin the strategy and other sentences"),
        (PHRASES, nothing, "2 and 0 tokens that begin"),
        (("",), OTHERS, "'' has no token of its own after the prompt"),
    ):
        with pytest.raises(InputError, match=message):
            layer_effects(loaded, prompts, [direction(SITES[0])], phrases, others, seed=0)


def test_phrases_that_begin_alike_count_once(load: Load):
    loaded, prompts, at = load("llama"), of(), [direction(SITES[0])]
    once = layer_effects(loaded, prompts, at, PHRASES, OTHERS, seed=0, n_random=0)
    more = ("w25", "w25 w3", "w17 w4", "w17")
    twice = layer_effects(loaded, prompts, at, more, (*OTHERS, "w30 w4"), seed=0, n_random=0)
    pd.testing.assert_frame_equal(once, twice)
