from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from sae_lens import SAE
from safetensors.torch import load_file, save_file

from interp import progress
from interp.activations import Site
from interp.errors import InputError
from interp.features import training
from interp.features.dictionary import load_dictionary
from interp.features.recipe import DictionaryRecipe
from interp.features.training import batches_of, train_dictionaries
from tests.features.in_memory import MLP, POST, captured

D, M, K, STEPS, BATCH = 12, 48, 4, 40, 32
WEIGHTS = "sae_weights.safetensors"
OPTIONS = {
    "topk": {"k": K},
    "batchtopk": {"k": K},
    "matryoshka_batchtopk": {"k": K, "matryoshka_widths": [12, 24]},
    "jumprelu": {"l0_coefficient": 0.01},
    "gated": {"l1_coefficient": 0.1},
    "standard": {"l1_coefficient": 0.1},
}
LENGTHS = np.tile([6, 9, 3, 8], 30)
N_ROWS = int(LENGTHS.sum())


def planted(seed, n_features=20, n_rows=N_ROWS, d=D, scale=5.0):
    """Rows that are sums of two known directions or so, off the origin, norms far from sqrt(d)."""
    rng = np.random.default_rng(seed)
    direction_MD = rng.normal(size=(n_features, d))
    direction_MD /= np.linalg.norm(direction_MD, axis=1, keepdims=True)
    fires_NM = rng.random((n_rows, n_features)) < 2 / n_features
    code_NM = fires_NM * rng.uniform(1, 2, size=fires_NM.shape)
    mean_D, noise_ND = rng.normal(size=d), rng.normal(size=(n_rows, d))
    acts_ND = scale * (code_NM @ direction_MD + mean_D + 0.02 * noise_ND)
    return acts_ND.astype(np.float32), direction_MD


ACTS = captured({POST: planted(0)[0], MLP: planted(1, scale=0.1)[0]}, LENGTHS)


def recipe(architecture="topk", **change):
    options = change.pop("options", OPTIONS[architecture])
    values = {"n_latents": M, "steps": STEPS, "batch": BATCH, "lr": 3e-3, "held_back": 0.2}
    return DictionaryRecipe(architecture=architecture, options=options, **values | change)


def trained(folder, made=None, acts=ACTS, *, seed=0, sites=(POST,), **more):
    return train_dictionaries(acts, made or recipe(), folder, seed=seed, sites=sites, **more)


def weights_of(folder, site=POST):
    return load_file(folder / str(site) / WEIGHTS)


def assert_same_weights(one, other):
    assert set(one) == set(other)
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def held_of(made, site=POST, acts=ACTS, seed=0):
    return batches_of(acts, made, seed=seed, sites=[site]).held()[site]


class Steps(list):
    """Steps that were reported; at `stop`, the one who listens ends the run."""

    stop = None

    def __call__(self, report):
        self.append(report.done)
        if report.done == self.stop:
            raise KeyboardInterrupt


@pytest.fixture
def steps(monkeypatch):
    seen = Steps()
    monkeypatch.setattr(progress, "_listeners", [])
    progress.listen(seen)
    return seen


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("architecture", OPTIONS)
def test_every_architecture_is_saved_as_saelens_reads_it_with_a_card_of_what_it_does(
    tmp_path, architecture, scale
):
    made = recipe(architecture, scale=scale)
    about = {"model_name": "tiny", "checkpoint": "abc", "step": None}
    ours = trained(tmp_path, made, about=about)[POST]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = SAE.load_from_disk(tmp_path / str(POST))
    held_ND = held_of(made)
    with torch.no_grad():
        code_NM = theirs.encode(held_ND)
        out_ND = theirs.decode(code_NM)
    assert torch.equal(ours.encode(held_ND), code_NM)
    assert torch.equal(load_dictionary(tmp_path / str(POST)).encode(held_ND), code_NM)
    x_ND, fires_NM = held_ND.double().numpy(), (code_NM != 0).numpy()
    left = ((x_ND - out_ND.double().numpy()) ** 2).sum()
    card = json.loads((tmp_path / str(POST) / "model_card.json").read_text(encoding="utf-8"))
    assert card["fvu"] == pytest.approx(left / ((x_ND - x_ND.mean(0)) ** 2).sum(), rel=1e-5)
    assert card["l0"] == pytest.approx(fires_NM.sum(1).mean())
    assert card["rows"] == len(x_ND)
    # All rows fit into the first buffer, so that a latent is dead if no row there is activates it.
    everything = torch.cat([ACTS.of(POST, row)[1:] for row in range(len(ACTS))])
    with torch.no_grad():
        fires_M = (theirs.encode(everything) != 0).any(0)
    assert card["dead"] == pytest.approx(1 - fires_M.double().mean().item(), abs=1e-6)
    assert card["dead_rows"] == len(everything)
    assert card["n_rows"] == len(everything) - len(x_ND)
    asked = made.model_dump() | {"seed": 0, "position": "all", "site": str(POST)}
    assert asked.items() <= card.items()
    assert (card["model_name"], card["checkpoint"]) == ("tiny", "abc")
    assert "step" not in card
    assert (ours.site, ours.about["checkpoint"]) == (POST, "abc")
    assert not (tmp_path / ".partial").exists()
    # Something was learnt: of 40 steps, not much.
    assert 0 < card["fvu"] < 0.9
    assert 0 < card["l0"] < M


@pytest.mark.parametrize("architecture", ["topk", "jumprelu"])
def test_rows_on_another_scale_give_the_same_codes_and_reconstructions_on_that_scale(
    tmp_path, architecture
):
    # A power of two: its arithmetic is exact, so that nothing but the scale may differ.
    acts = captured({POST: 64 * ACTS.read(POST, "all").numpy()}, LENGTHS)
    made = recipe(architecture)
    one, other = trained(tmp_path / "one", made)[POST], trained(tmp_path / "64", made, acts)[POST]
    held_ND = held_of(made)
    # TopK's codes are times the norms of the decoder, so on the scale of the rows.
    factor = 64 if architecture == "topk" else 1
    torch.testing.assert_close(
        other.encode(64 * held_ND), factor * one.encode(held_ND), rtol=1e-4, atol=1e-4 * factor
    )
    torch.testing.assert_close(
        other.reconstruct(64 * held_ND), 64 * one.reconstruct(held_ND), rtol=1e-5, atol=1e-3
    )
    plain, plain_64 = (
        trained(tmp_path / f"plain-{name}", recipe(architecture, scale=False), part)[POST]
        for name, part in (("one", ACTS), ("64", acts))
    )
    apart_ND = plain_64.reconstruct(64 * held_ND) / 64 - plain.reconstruct(held_ND)
    assert apart_ND.norm() > 5e-3 * held_ND.norm()


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "standard"])
def test_scale_is_folded_exactly(tmp_path, architecture, monkeypatch):
    """What was trained, on scaled rows, and what was saved, on raw ones, give the same codes."""
    seen = {}
    publish = training._Run.publish

    def look_first(run, site, held_ND, known):
        trainer = run.trainers[site]
        seen["factor"] = trainer.activation_scaler.scaling_factor
        sae = trainer.sae
        if hasattr(sae, "topk_threshold"):
            training._set_threshold(trainer, run.batches, site)
            seen["threshold"] = float(sae.topk_threshold)
        seen["weights"] = {name: p.detach().clone() for name, p in sae.named_parameters()}
        publish(run, site, held_ND, known)

    monkeypatch.setattr(training._Run, "publish", look_first)
    made = recipe(architecture)
    saved = trained(tmp_path, made)[POST]
    held_ND, w = held_of(made), seen["weights"]
    rows_ND = batches_of(ACTS, made, seed=0, sites=[POST]).first()[POST]
    assert seen["factor"] == pytest.approx(D**0.5 / rows_ND.norm(dim=1).mean().item(), rel=1e-5)
    b_in = w["b_dec"] if saved.sae.cfg.apply_b_dec_to_input else 0
    pre_NM = (seen["factor"] * held_ND - b_in) @ w["W_enc"] + w["b_enc"]
    norm_M = w["W_dec"].norm(dim=1) if architecture != "standard" else 1
    score_NM = (pre_NM * norm_M).relu()
    if architecture == "topk":
        cut_N1 = score_NM.topk(K, dim=1).values[:, -1:]
        score_NM = score_NM * (score_NM >= cut_N1)
    elif architecture == "batchtopk":
        score_NM = score_NM * (score_NM > seen["threshold"])
    out_ND = ((score_NM / norm_M) @ w["W_dec"] + w["b_dec"]) / seen["factor"]
    torch.testing.assert_close(saved.reconstruct(held_ND), out_ND, rtol=1e-4, atol=1e-4)
    fires = (saved.encode(held_ND) > 0) == (score_NM > 0)
    assert fires.double().mean() > 0.9999


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "jumprelu"])
def test_a_site_is_trained_as_if_it_were_alone(tmp_path, architecture):
    made = recipe(architecture)
    trained(tmp_path / "both", made, sites=(MLP, POST))
    for site in (POST, MLP):
        trained(tmp_path / str(site), made, sites=(site,))
        assert_same_weights(
            weights_of(tmp_path / "both", site), weights_of(tmp_path / str(site), site)
        )
    assert not torch.equal(
        weights_of(tmp_path / "both", POST)["W_enc"], weights_of(tmp_path / "both", MLP)["W_enc"]
    )


def test_no_sites_said_is_all_that_were_captured(tmp_path):
    found = train_dictionaries(ACTS, recipe(steps=3), tmp_path, seed=0)
    assert [(site, found[site].site) for site in found] == [(POST, POST), (MLP, MLP)]


def test_neither_what_was_drawn_before_nor_the_seed_of_torch_matters(tmp_path):
    trained(tmp_path / "one")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    trained(tmp_path / "two")
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_weights(weights_of(tmp_path / "one"), weights_of(tmp_path / "two"))
    trained(tmp_path / "other", seed=1)
    assert not torch.equal(
        weights_of(tmp_path / "one")["W_enc"], weights_of(tmp_path / "other")["W_enc"]
    )


@pytest.mark.parametrize(
    ("architecture", "stop"), [*((name, 27) for name in OPTIONS), ("topk", 5), ("batchtopk", STEPS)]
)
def test_a_run_that_was_stopped_ends_with_the_weights_of_an_unbroken_one(
    tmp_path, steps, architecture, stop
):
    # Few rows until a latent counts as dead, so that this has to be kept too.
    made = recipe(architecture, dead_after=64)
    options = {"sites": (POST, MLP), "save_every": 12}
    trained(tmp_path / "whole", made, **options)
    steps.clear()
    steps.stop = stop
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "broken", made, **options)
    assert steps == list(range(1, stop + 1))
    assert not (tmp_path / "broken" / str(POST)).exists()
    steps.clear()
    steps.stop = None
    trained(tmp_path / "broken", made, **options)
    assert steps == list(range(stop // 12 * 12 + 1, STEPS + 1))
    for site in (POST, MLP):
        assert_same_weights(
            weights_of(tmp_path / "whole", site), weights_of(tmp_path / "broken", site)
        )
    for name in ("whole", "broken"):
        assert {path.name for path in (tmp_path / name).iterdir()} == {str(POST), str(MLP)}


def stopped(folder, steps, at, made=None, **more):
    steps.stop = at
    with pytest.raises(KeyboardInterrupt):
        trained(folder, made, save_every=10, **more)
    steps.stop = None
    steps.clear()


def test_of_two_states_the_later_is_gone_on_from(tmp_path, steps):
    """As a run leaves them that ends while it deletes the earlier one."""
    trained(tmp_path / "whole", save_every=10)
    for at in (15, 25):
        stopped(tmp_path / f"at-{at}", steps, at)
    partial = tmp_path / "at-25" / ".partial"
    shutil.copytree(tmp_path / "at-15" / ".partial" / "step-10", partial / "step-10")
    shutil.copytree(partial / "step-20", partial / "step-30.writing")
    trained(tmp_path / "at-25", save_every=10)
    assert steps == list(range(21, STEPS + 1))
    assert_same_weights(weights_of(tmp_path / "whole"), weights_of(tmp_path / "at-25"))


def test_a_state_of_another_training_is_refused(tmp_path, steps):
    stopped(tmp_path, steps, 15)
    with pytest.raises(InputError, match=r"step-10: trained with `lr` 0\.003, not 0\.001 as asked"):
        trained(tmp_path, recipe(lr=1e-3))
    with pytest.raises(InputError, match="step-10: trained with `sites`"):
        trained(tmp_path, sites=(POST, MLP))
    assert steps == []


@pytest.mark.parametrize("architecture", OPTIONS)
def test_the_same_call_again_loads_and_does_not_train(tmp_path, steps, architecture):
    made = recipe(architecture, steps=4)
    options = {"sites": (POST, MLP)}
    first = trained(tmp_path, made, **options)
    steps.clear()
    second = trained(tmp_path, made, **options)
    third = trained(tmp_path, recipe(architecture, steps=4), **options)
    # One of its sites is a part of that training.
    alone = trained(tmp_path, made, sites=(MLP,))
    assert steps == []
    for again in (second, third, alone):
        for site, dictionary in again.items():
            assert torch.equal(dictionary.sae.W_enc, first[site].sae.W_enc)
            assert dictionary.about == first[site].about


def test_a_recipe_is_as_it_was_after_training(tmp_path):
    made = recipe("matryoshka_batchtopk", steps=2)
    trained(tmp_path, made)
    assert made == recipe("matryoshka_batchtopk", steps=2)


def test_a_site_more_is_trained_beside_those_there_are(tmp_path):
    trained(tmp_path)
    before = weights_of(tmp_path)
    trained(tmp_path, sites=(POST, MLP))
    assert_same_weights(weights_of(tmp_path), before)
    trained(tmp_path / "both", sites=(POST, MLP))
    assert_same_weights(weights_of(tmp_path, MLP), weights_of(tmp_path / "both", MLP))


def other_rows():
    return captured({POST: planted(5)[0], MLP: planted(1)[0]}, LENGTHS)


@pytest.mark.parametrize("sites", [(POST,), (POST, MLP)])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"made": recipe(n_latents=32)}, "`n_latents` 48, not 32 as asked for now; delete"),
        ({"made": recipe(options={"k": 3})}, r"`options` {'k': 4}, not {'k': 3}"),
        ({"made": recipe("batchtopk")}, "`architecture` topk, not batchtopk"),
        ({"made": recipe(skip_first=0)}, "`skip_first` 1, not 0"),
        ({"seed": 1}, "`seed` 0, not 1"),
        ({"position": "last", "made": recipe(batch=8)}, "`batch` 32, not 8"),
        ({"acts": other_rows()}, "`data` "),
    ],
)
def test_a_folder_of_another_training_is_refused(tmp_path, steps, change, message, sites):
    trained(tmp_path, recipe())
    before = weights_of(tmp_path)
    steps.clear()
    with pytest.raises(InputError, match=rf"resid_post\.2: trained with {message}"):
        trained(tmp_path, sites=sites, **change)
    assert steps == []
    assert_same_weights(weights_of(tmp_path), before)


def test_what_was_trained_and_then_changed_is_refused(tmp_path):
    trained(tmp_path, recipe("batchtopk"))
    weights = weights_of(tmp_path)
    weights["threshold"].zero_()
    save_file(weights, tmp_path / str(POST) / WEIGHTS)
    with pytest.raises(InputError, match="not the one that was trained"):
        trained(tmp_path, recipe("batchtopk"))


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
@pytest.mark.parametrize("k", [2, 4.5])
def test_the_threshold_set_at_the_end_keeps_k_latents_a_row(tmp_path, architecture, k):
    options = OPTIONS[architecture] | {"k": k}
    # Rows enough, as L0 of a few differs by chance, and more than is left of a batch at the end.
    acts = captured({POST: planted(0, n_rows=8000)[0]}, np.full(1000, 8))
    made = recipe(architecture, options=options, batch=64)
    found = trained(tmp_path, made, acts)[POST]
    assert found.about["l0"] == pytest.approx(k, rel=0.1)
    assert found.about["rows"] == 1400
    threshold_M = weights_of(tmp_path)["threshold"]
    assert (threshold_M == threshold_M[0]).all()
    assert threshold_M[0] > 0


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_the_running_threshold_of_a_short_training_is_not_saved(
    tmp_path, monkeypatch, architecture
):
    """SAELens' begins at 0 and has come a third of the way; its L0 is not that of training."""
    monkeypatch.setattr(training, "_set_threshold", lambda *_: None)
    message = (
        r"resid_post\.2: saved and loaded again, L0 is \d+\.\d and .* they were 4\.0 and .*longer"
    )
    with pytest.raises(InputError, match=message):
        trained(tmp_path, recipe(architecture))
    assert not (tmp_path / str(POST)).exists()


def test_planted_features_are_recovered(tmp_path):
    lengths = np.full(256, 16)
    acts_ND, direction_MD = planted(3, n_features=24, n_rows=4096, d=16)
    acts = captured({POST: acts_ND}, lengths)
    made = recipe(n_latents=64, steps=1000, batch=128, lr=4e-3, options={"k": 2}, dead_after=2000)
    decoder_MD = trained(tmp_path, made, acts)[POST].decoder_MD.numpy()
    assert (direction_MD @ decoder_MD.T).max(1).mean() > 0.9
    random_MD = np.random.default_rng(0).normal(size=decoder_MD.shape)
    random_MD /= np.linalg.norm(random_MD, axis=1, keepdims=True)
    assert (direction_MD @ random_MD.T).max(1).mean() < 0.75


def test_at_a_position_a_dictionary_is_of_that_token(tmp_path):
    made = recipe(batch=8, center=True)
    found = trained(tmp_path, made, position="last")[POST]
    assert found.about["position"] == "last"
    held = batches_of(ACTS, made, seed=0, sites=[POST], position="last").held_prompts
    held_ND = ACTS.read(POST, "last")[torch.from_numpy(held)]
    l0 = (found.encode(held_ND) != 0).sum(1).double().mean().item()
    assert found.about["l0"] == pytest.approx(l0)
    assert found.about["n_rows"] == 96


@pytest.mark.parametrize("center", [True, False])
def test_center_begins_with_the_mean_of_the_training_rows(tmp_path, center):
    made = recipe("standard", center=center, steps=1, lr=1e-9)
    b_dec = trained(tmp_path, made)[POST].sae.b_dec.detach()
    first_ND = batches_of(ACTS, made, seed=0, sites=[POST]).first()[POST]
    expected_D = first_ND.double().mean(0).float() if center else torch.zeros(D)
    torch.testing.assert_close(b_dec, expected_D, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_steps_by_active_latents_end_where_saelens_steps_end(tmp_path, architecture):
    found = [
        trained(tmp_path / str(sparse), recipe(architecture, sparse_step=sparse, steps=8))[POST]
        for sparse in (True, False)
    ]
    for name in ("W_enc", "W_dec", "b_enc", "b_dec"):
        one, other = (getattr(dictionary.sae, name) for dictionary in found)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("architecture", "change"),
    [
        ("standard", {"options": {"l1_coefficient": 1e4}, "steps": 300, "lr": 1.0}),
        ("jumprelu", {"options": {"jumprelu_init_threshold": 1e6}}),
        ("batchtopk", {"options": {"k": 0.001}}),
    ],
)
def test_a_dictionary_of_which_all_is_dead_is_one_error(tmp_path, architecture, change):
    with pytest.raises(InputError, match=r"resid_post\.2: all latents are dead: none fires on"):
        trained(tmp_path, recipe(architecture, **change))
    assert not (tmp_path / str(POST)).exists()


@pytest.mark.parametrize("k", [M + 1, 0, -2, "many", None])
@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "matryoshka_batchtopk"])
def test_more_active_latents_than_there_are_is_refused(tmp_path, architecture, k):
    asked = OPTIONS[architecture] | {"k": k}
    if k is None:  # SAELens' own default, 100
        asked.pop("k")
    shown = 100 if k is None else k
    with pytest.raises(
        InputError, match=f"'{architecture}' with k={shown} of 48 latents; expected"
    ):
        trained(tmp_path, recipe(architecture, options=asked))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            recipe().model_copy(update={"architecture": "batchtop"}),
            r"unknown architecture 'batchtop' \(did you mean 'batchtopk'\?\); SAELens trains",
        ),
        (
            recipe("standard", options={"l1_coeficient": 1.0}),
            r"'standard' has no option 'l1_coeficient' \(did you mean 'l1_coefficient'\?\); there",
        ),
        (recipe("standard", options={"k": 3}), "'standard' has no option 'k'"),
        (recipe(options={"k": 3, "d_sae": 7}), "'topk' has no option 'd_sae'"),
        (
            recipe("matryoshka_batchtopk", options={"k": 3}),
            "'matryoshka_batchtopk' with {'k': 3}: .*widths must not be empty",
        ),
        (
            recipe("matryoshka_batchtopk", options={"k": 3, "matryoshka_widths": [24, 12]}),
            ".*widths must be strictly increasing",
        ),
    ],
)
def test_what_saelens_does_not_have_is_refused_by_name(tmp_path, made, message):
    with pytest.raises(InputError, match=f"dictionary: {message}"):
        trained(tmp_path, made)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("made", "sites", "message"),
    [
        (recipe(batch=5000), (POST,), "rows to train on and .* held back of 120 prompts"),
        (recipe(held_back=0.001), (POST,), "and 0 held back"),
        (recipe(), (Site("attn_out", 3),), r"nothing captured at attn_out\.3"),
    ],
)
def test_rows_that_will_not_do_are_refused_before_training(tmp_path, made, sites, message):
    with pytest.raises(InputError, match=message):
        trained(tmp_path, made, sites=sites)
    assert not list(tmp_path.iterdir())


def test_rows_that_are_not_finite_are_refused(tmp_path):
    acts_ND = planted(0)[0]
    acts_ND[int(LENGTHS[:7].sum()) + 2] = np.nan
    with pytest.raises(InputError, match=r"NaN or Inf at resid_post\.2, in prompt 7;"):
        trained(tmp_path, acts=captured({POST: acts_ND}, LENGTHS))


def test_weights_that_grew_beyond_all_bounds_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"resid_post\.2: NaN or Inf in "):
        trained(tmp_path, recipe("standard", lr=1e30, steps=20))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "greater than 0"),
        ({"n_latents": -1}, "greater than 0"),
        ({"skip_first": -1}, "greater than or equal to 0"),
        ({"n_latent": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_where_it_is_stated(change, message):
    with pytest.raises(ValueError, match=message):
        recipe(**change)
