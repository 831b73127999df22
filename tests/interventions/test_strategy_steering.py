"""Frequencies of strategies under steering, on a model whose words are set by hand.

After a question the model says "so", and after "so" it ends. Adding the first axis makes it say
"wait" before, however weakly; adding it the other way round, on a question of the kind "h" that has
it "wait" by itself, makes it say "so".
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from interp.activations import Site
from interp.behavior import Decoding, Reply
from interp.checkpoints import LoadedModel
from interp.directions import Direction, random_directions
from interp.errors import InputError
from interp.interventions.strategy_steering import steering_table
from tests.interventions.hand_set import axis, likeliest, model_of, prompts_of

GREEDY = Decoding(max_new_tokens=6)
N = 12


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    follows = {
        "q": {"so": 6.0, "wait": 4.0},
        "h": {"so": 4.0, "wait": 6.0},
        "wait": {"so": 30.0},
        "so": {"<eos>": 30.0},
    }
    pushes = [{"wait": 4.0}, {"f": 0.5}]
    folder = tmp_path_factory.mktemp("steering") / "made"
    return model_of(folder, ("f", "q", "h", "so", "wait"), follows, pushes)


def labels_of(found: list[Reply]) -> list[list[str]]:
    """One label a word; "so" is deduction."""
    names = {"wait": "doubt", "so": "deduce"}
    return [[names[word] for word in reply.text.split() if word in names] for reply in found]


def correct_of(found: list[Reply]) -> list[bool]:
    return ["wait" not in reply.text for reply in found]


def questions():
    return prompts_of([("f q", "h")[row % 2] for row in range(N)])


def steered(loaded: LoadedModel, directions: dict[str, Direction], **options) -> pd.DataFrame:
    defaults = {"n_random": 3, "seed": 0, "n_boot": 200}
    return steering_table(
        loaded, questions(), directions, GREEDY, labels_of, correct_of, **defaults | options
    )


def test_a_strategy_goes_up_and_down_with_its_direction(loaded):
    table = steered(loaded, {"doubt": axis(loaded, 0), "deduce": axis(loaded, 1)})
    plain = table[table["kind"] == "none"].set_index("measure")
    assert plain["estimate"].to_dict() == {"doubt": 0.25, "deduce": 0.75, "accuracy": 0.5}
    assert plain["change"].eq(0).all()
    own = table[(table["kind"] == "strategy") & (table["steered"] == "doubt")]
    own = own.set_index(["coefficient", "measure"])
    assert own.loc[(1.0, "doubt"), "estimate"] == 0.5  # "wait so" after all questions
    assert own.loc[(-1.0, "doubt"), "estimate"] == 0  # "so" after all
    assert own.loc[(1.0, "doubt"), "change"] == pytest.approx(0.25)
    assert own.loc[(-1.0, "deduce"), "change"] == pytest.approx(0.25)
    assert own.loc[(-1.0, "accuracy"), "estimate"] == 1
    assert own.loc[(1.0, "accuracy"), "change"] == pytest.approx(-0.5)
    assert own["n"].eq(N).all()
    assert (own["change_lo"] <= own["change"]).all()
    assert own.loc[(1.0, "doubt"), "change_lo"] > 0
    idle = table[(table["kind"] == "strategy") & (table["steered"] == "deduce")]
    assert idle["change"].eq(0).all()


def test_random_directions_are_as_long_and_give_the_p(loaded):
    norm = 1.5
    table = steered(
        loaded, {"doubt": axis(loaded, 0, norm)}, n_random=6, coefficients=[1.0], seed=4
    )
    random = table[(table["kind"] == "random") & (table["measure"] == "accuracy")]
    wanted = []
    for random_D in random_directions(6, loaded.d_model, 4):
        first = [likeliest(loaded, word, norm * random_D) for word in ("q", "h")]
        wanted.append(np.mean([word != "wait" for word in first]))
    assert random["estimate"].tolist() == pytest.approx(wanted)
    assert random["lo"].isna().all()
    own = table[(table["kind"] == "strategy") & (table["measure"] == "accuracy")]
    reached = np.sum(np.abs(np.array(wanted) - 0.5) >= abs(own["change"].item()))
    assert own["p"].item() == pytest.approx((1 + reached) / 7)


def test_strategies_of_one_site_and_norm_share_their_random_directions(loaded, monkeypatch):
    calls = []

    def counted(found: list[Reply]) -> list[bool]:
        calls.append(len(found))
        return correct_of(found)

    directions = {"doubt": axis(loaded, 0), "deduce": axis(loaded, 1)}
    table = steering_table(
        loaded, questions(), directions, GREEDY, labels_of, counted, n_random=3, seed=0, n_boot=50
    )
    assert len(calls) == 1 + 2 * 2 + 2 * 3
    random = table[table["kind"] == "random"].set_index(["coefficient", "draw", "measure"])
    parts = [random[random["steered"] == name]["estimate"] for name in directions]
    pd.testing.assert_series_equal(*parts)


def test_replies_without_a_labelled_sentence_are_counted_and_left_out(loaded):
    def only_doubt(found: list[Reply]) -> list[list[str]]:
        return [[name for name in labels if name == "doubt"] for labels in labels_of(found)]

    table = steering_table(
        loaded, questions(), {"doubt": axis(loaded, 0)}, GREEDY, only_doubt, correct_of,
        coefficients=[-1.0, 1.0], n_random=0, seed=0, n_boot=50,
    ).set_index(["coefficient", "measure"])  # fmt: skip
    plain, up, down = (table.loc[(c, "doubt")] for c in (0.0, 1.0, -1.0))
    assert (plain["estimate"], plain["n_unlabelled"]) == (1, N // 2)
    assert (up["estimate"], up["n_unlabelled"], up["n"]) == (1, 0, N // 2)
    assert (down["n_unlabelled"], down["n"]) == (N, 0)
    assert down[["estimate", "lo", "change"]].isna().all()
    assert np.isnan(up["p"])


def test_samples_are_paired_with_their_own(loaded):
    table = steering_table(
        loaded, questions(), {"doubt": axis(loaded, 0)},
        Decoding(max_new_tokens=6, samples=2, temperature=0.01), labels_of, correct_of,
        coefficients=[1.0], n_random=1, seed=0, n_boot=50, token_budget=1,
    )  # fmt: skip
    own = table[table["kind"] == "strategy"].set_index("measure")
    assert own.loc["accuracy", "n"] == 2 * N
    assert own.loc["doubt", "change"] == pytest.approx(0.25)


def test_what_does_not_fit_is_refused(loaded):
    with pytest.raises(InputError, match=r"0 directions, coefficients \[-1.0, 1.0\]"):
        steered(loaded, {})
    with pytest.raises(
        InputError, match=r"1 directions, coefficients \[0.0\]; expected one or more"
    ):
        steered(loaded, {"doubt": axis(loaded, 0)}, coefficients=[0.0])
    with pytest.raises(InputError, match="11 lists of labels and 12 marks for 12 replies"):
        steering_table(
            loaded, questions(), {"doubt": axis(loaded, 0)}, GREEDY,
            lambda found: labels_of(found)[1:], correct_of, seed=0,
        )  # fmt: skip
    wide = Direction(torch.ones(3), 1.0, Site("resid_post", 0), "windows", "made", "made")
    with pytest.raises(InputError, match=r"a vector of shape \(3,\)"):
        steered(loaded, {"doubt": wide})
