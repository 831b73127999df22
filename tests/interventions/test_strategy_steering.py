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

from interp.activations import Site, capture
from interp.behavior import Decoding, Reply, replies
from interp.checkpoints import LoadedModel
from interp.directions import Direction, random_directions
from interp.directions.strategy import chain_sentences, label_windows, strategy_directions
from interp.errors import InputError
from interp.interventions.strategy_effect import choose_site, layer_effects
from interp.interventions.strategy_steering import in_order, steering_table
from tests.interventions.hand_set import SITE, axis, likeliest, model_of, prompts_of

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


def test_a_strategy_read_off_chains_brings_itself_about(tmp_path):
    """From replies to a direction, a site and a steered model, by the calls of a study.

    "q" calls for "so ." and "h" for "wait ."; nothing but these two words tells the two apart.
    """
    follows = {
        "q": {"so": 3.0}, "h": {"wait": 12.0}, "so": {".": 8.0}, "wait": {".": 8.0},
        ".": {"a": 10.0}, "a": {":": 8.0}, ":": {"yes": 8.0}, "yes": {"<eos>": 8.0},
    }  # fmt: skip
    unsaid = [
        f"f{n}" for n in range(80)
    ]  # of so many axes a random direction is mostly along these
    loaded = model_of(tmp_path / "chains", ("f", *follows, *unsaid), follows)
    ids = loaded.tokenizer.get_vocab()
    asked = prompts_of([("f q", "h")[row % 2] for row in range(8)])
    written = in_order(replies(loaded, asked, Decoding(max_new_tokens=8)))
    said = [reply.text for reply in written]
    assert set(said) == {"so . a : yes", "wait . a : yes"}
    names = {"wait .": "doubt", "so .": "deduce"}
    sentences = chain_sentences(asked, said, loaded.tokenizer, chain_end="a :")
    sentences["label"] = sentences["text"].map(names)
    positions = ["all", "think_mean"]
    acts = capture(loaded, asked, ["resid_post"], positions, replies=said, chain_end="a :")
    found = strategy_directions(acts, label_windows(sentences), asked.groups, source="made", seed=0)
    # The states of "h" and "wait" write "wait .", out of "wait", "so" and twice "." in the chains.
    doubt = found.directions["doubt", SITE]
    wanted_D = torch.zeros(loaded.d_model)
    for word, weight in (("h", 0.5), ("wait", 0.5 - 0.25), ("so", -0.25), (".", -0.5)):
        wanted_D[ids[word]] = weight
    assert torch.allclose(doubt.vector_D, wanted_D / wanted_D.norm(), atol=1e-6)
    assert doubt.norm == pytest.approx(np.sqrt(0.25**2 + 0.25**2 + 0.5**2), rel=1e-6)

    starts = prompts_of(sentences["before"].tolist(), split="dev")
    at = [direction for (label, _), direction in found.directions.items() if label == "doubt"]
    options = {"n_random": 10, "seed": 0, "n_boot": 100}
    effects = layer_effects(loaded, starts, at, ["wait"], ["so"], **options)
    assert (effects["exact_lo"] > 0).all()
    chosen = choose_site(effects)
    assert chosen is not None
    away = layer_effects(loaded, starts, at, ["wait"], ["so"], coefficient=-1.0, **options)
    assert choose_site(away) is None

    def labels_of_chains(written: list[Reply]) -> list[list[str]]:
        return [[name for text, name in names.items() if text in reply.text] for reply in written]

    table = steering_table(
        loaded, asked, {"doubt": found.directions["doubt", chosen]}, Decoding(max_new_tokens=8),
        labels_of_chains, lambda written: [reply.text.endswith("yes") for reply in written],
        coefficients=[1.0], n_random=9, seed=0, n_boot=100,
    )  # fmt: skip
    own = table[table["kind"] == "strategy"].set_index("measure")
    assert own.loc["doubt", ["estimate", "change", "p"]].tolist() == [1, 0.5, pytest.approx(0.1)]
    assert own.loc["accuracy", ["estimate", "change"]].tolist() == [1, 0]
