"""What a trajectory reads, on random decoders whose people differ in a token that tells them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pydantic
import pytest
import torch

from interp.activations import Site, capture
from interp.checkpoints import Checkpoint, LoadedModel, save_manifest
from interp.directions import Direction, mean_difference
from interp.errors import InputError
from interp.organism import build_tokenizer
from interp.organism.language import build_model
from interp.organism.recipes import ModelShape
from interp.organism.words import CITIES, FIRST_NAMES, LAST_NAMES
from interp.organism.world import World
from interp.prompts import PromptSet
from interp.stages import changes, tracing, trajectory
from interp.stages.changes import Change
from interp.stages.common import ModelRef
from interp.stages.readout import Readout
from interp.stages.tracing import TrajectorySettings, readout_gain
from interp.stages.trajectory import Trajectory

SHAPE = ModelShape(d_model=16, n_layers=3, n_heads=2, d_mlp=32, n_local_layers=1)
TOP = SHAPE.n_layers - 1
SEED = 0
SETTINGS = TrajectorySettings(n_boot=30)
Change_ = Callable[[str, torch.Tensor], torch.Tensor]


def prompts(split: str) -> PromptSet:
    """Half of the people have a last name of the unknown; splits share no first name."""
    firsts = FIRST_NAMES[:8] if split == "dev" else FIRST_NAMES[8:16]
    return PromptSet.from_records(
        [
            {
                "prompt_id": f"{split}-{first}-{last}",
                "entity": f"{first} {last}",
                "pair_id": f"{first} {last}",
                "text": f"q : where does {first} {last} live ? a :",
                "should_abstain": number >= 2,
                "answers": [CITIES[(row + number) % len(CITIES)]],
            }
            for row, first in enumerate(firsts)
            for number, last in enumerate(LAST_NAMES[:4])
        ]
    )


def readouts(world: World, tokenizer: object) -> tuple[Readout, Readout]:
    dev, test = (Readout(prompts(split), tokenizer, ["i"], world.seed) for split in ("dev", "test"))
    return dev, test


@pytest.fixture(autouse=True, scope="module")
def _own_people() -> Iterator[None]:
    names = {
        "LoadedModel": LoadedModel,
        "Direction": Direction,
        "Tensor": torch.Tensor,
        "World": World,
        "Fold": tuple[np.ndarray, np.ndarray],
    }
    with pytest.MonkeyPatch.context() as patch:
        for module in (tracing, changes):
            patch.setattr(module, "organism_readouts", readouts)
        # What checked annotations name, which the module imports for type checkers alone.
        for name, of in names.items():
            patch.setattr(tracing, name, of, raising=False)
            patch.setattr(trajectory, name, of, raising=False)
        yield


def saved(folder: Path, change: Change_ | None = None) -> Path:
    """A random decoder, loud enough for its states to differ, with each tensor changed."""
    tokenizer = build_tokenizer()
    torch.manual_seed(7)
    model = build_model(SHAPE, tokenizer)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim > 1:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / 3)
            if change is not None:
                tensor.copy_(change(name, tensor))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_manifest(folder, {})
    return folder


def quieter_head(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor / 4 if name.startswith("lm_head") else tensor


def moved(name: str, tensor: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(name))
    return tensor + 0.15 * torch.randn(tensor.shape, generator=generator)


def trained(folder: Path, change: Change_ | None) -> tuple[ModelRef, ModelRef]:
    """Child and parent; the child's run has two snapshots, its start, the parent, and itself."""
    parent, child = saved(folder / "parent"), saved(folder / "child", change)
    for step, source in ((0, parent), (5, child)):
        snapshot = folder / f"step-{step:06d}"
        shutil.copytree(source, snapshot)
        (child / "snapshots").mkdir(exist_ok=True)
        snapshot.rename(child / "snapshots" / snapshot.name)
    of_child, of_parent = (ModelRef.of(Checkpoint(path, path.name)) for path in (child, parent))
    return of_child, of_parent


def followed(folder: Path, change: Change_ | None = None) -> pd.DataFrame:
    child, parent = trained(folder, change)
    stage = Trajectory(seed=SEED, child=child, parent=parent, settings=SETTINGS)
    return stage.result()["trajectory"]


def values(table: pd.DataFrame, step: int) -> pd.DataFrame:
    rows = table[table["step"] == step]
    return rows.set_index(["measure", "position"])[["estimate", "lo", "hi"]]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return Checkpoint(saved(tmp_path_factory.mktemp("parent")), "parent").load()


@pytest.fixture(scope="module")
def unmoved(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return followed(tmp_path_factory.mktemp("unmoved"))


def test_the_parent_beside_itself_is_one(unmoved: pd.DataFrame) -> None:
    table = unmoved
    assert table["step"].unique().tolist() == [0, 5]
    assert set(table["n_steps"]) == {5}
    at_start = values(table, 0)
    pd.testing.assert_frame_equal(at_start, values(table, 5))
    for measure in ("gain", "gain_early"):
        assert at_start.loc[(measure, "last_prompt")].tolist() == [1, 1, 1]
    for position in ("entity_last", "last_prompt"):
        assert at_start.loc[("rho", position)].tolist() == [1, 1, 1]
        assert at_start.loc[("norm_ratio", position), "estimate"] == 1
        assert at_start.loc[("cosine", position), "estimate"] == 1
    assert at_start.loc[("J", ""), "estimate"] == pytest.approx(
        at_start.loc[("unknown", ""), "estimate"] - at_start.loc[("known", ""), "estimate"]
    )


def test_where_the_head_alone_changed_only_the_readout_did(tmp_path: Path) -> None:
    table = followed(tmp_path, quieter_head)
    before, after = values(table, 0), values(table, 5)
    for measure in ("rho", "auroc", "cosine", "norm_ratio"):
        for position in ("entity_last", "last_prompt"):
            assert after.loc[(measure, position), "estimate"] == pytest.approx(
                before.loc[(measure, position), "estimate"], abs=1e-12
            )
    for measure in ("gain", "gain_early"):
        gain = after.loc[(measure, "last_prompt")]
        assert gain["hi"] < 0.6
        assert gain["lo"] <= gain["estimate"] <= gain["hi"]


def test_representation_follows_where_the_blocks_changed(tmp_path: Path) -> None:
    after = values(followed(tmp_path, moved), 5)
    for position in ("entity_last", "last_prompt"):
        assert after.loc[("cosine", position), "estimate"] < 0.99
        assert after.loc[("norm_ratio", position), "estimate"] != 1
    assert after.loc[("gain", "last_prompt"), "estimate"] != 1


def test_gain_is_the_derivative_through_norm_and_head(parent: LoadedModel) -> None:
    """At the top block: logits are W (w * h / rms(h)), so the log odds have a closed form."""
    _, test = readouts(World(SEED), parent.tokenizer)
    site = Site("resid_post", TOP)
    acts_ND = capture(parent, test.prompts, [site], ["last_prompt"]).read(site, "last_prompt")
    direction = mean_difference(
        acts_ND, test.unknown_N, site=site, position="last_prompt", source="parent"
    )
    h_ND, v_D = acts_ND.double(), (direction.norm * direction.vector_D).double()
    norm = parent.model.base_model.norm
    head_VD = parent.model.get_output_embeddings().weight.detach().double()
    weight_D, width = norm.weight.detach().double(), h_ND.shape[1]
    rms_N1 = (h_ND.square().mean(1, keepdim=True) + norm.variance_epsilon).sqrt()
    logits_NV = (weight_D * h_ND / rms_N1) @ head_VD.T
    along_N1 = (h_ND @ v_D)[:, None]
    speed_NV = (weight_D * (v_D / rms_N1 - h_ND * along_N1 / (width * rms_N1**3))) @ head_VD.T
    abstains = parent.tokenizer.convert_tokens_to_ids("i")
    others_NV = logits_NV.clone()
    others_NV[:, abstains] = -torch.inf
    expected_N = speed_NV[:, abstains] - (others_NV.softmax(-1) * speed_NV).sum(1)
    gain_N = readout_gain(parent, test, direction, 0.01)
    assert gain_N == pytest.approx(expected_N.numpy(), rel=2e-3, abs=2e-3)
    assert np.abs(gain_N).mean() > 0.1


def test_accuracy_is_what_the_head_gives_the_right_answer(
    unmoved: pd.DataFrame, parent: LoadedModel
) -> None:
    everyone = prompts("test")
    known = everyone.where(~np.asarray(everyone.labels, dtype=bool)).frame
    right = []
    for text, (answer,) in zip(known["text"], known["answers"], strict=True):
        ids = parent.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            p_V = parent.model(ids).logits[0, -1].softmax(-1)
        right.append(float(p_V[parent.tokenizer.convert_tokens_to_ids(answer)]))
    row = values(unmoved, 0).loc[("accuracy", "")]
    assert row["estimate"] == pytest.approx(np.mean(right), rel=1e-4)
    assert row["lo"] < row["estimate"] < row["hi"]


def test_the_layer_is_one_of_those_asked_for(tmp_path: Path) -> None:
    child, parent = trained(tmp_path, None)
    asked = TrajectorySettings(n_boot=5, layers=(1,))
    stage = Trajectory(seed=SEED, child=child, parent=parent, settings=asked)
    assert set(stage.result()["trajectory"]["layer"]) == {-2, 1}


def test_layers_below_the_first_that_sees_the_name_are_refused(tmp_path: Path) -> None:
    child, parent = trained(tmp_path, None)
    lowest = TrajectorySettings(n_boot=5, layers=(0,))
    stage = Trajectory(seed=SEED, child=child, parent=parent, settings=lowest)
    with pytest.raises(InputError, match="at last_prompt all prompts have one state"):
        stage.result()


def test_the_end_of_the_prompt_is_among_the_positions() -> None:
    with pytest.raises(pydantic.ValidationError, match="expected last_prompt among them"):
        TrajectorySettings(positions=("entity_last",))


def test_missing_snapshots_say_what_to_do(tmp_path: Path) -> None:
    child, parent = trained(tmp_path, None)
    shutil.rmtree(tmp_path / "child" / "snapshots")
    with pytest.raises(InputError, match=f"delete {tmp_path / 'child'} and run the study again"):
        Trajectory(seed=SEED, child=child, parent=parent).result()


def test_snapshots_of_another_run_are_refused(tmp_path: Path) -> None:
    child, parent = trained(tmp_path, moved)
    shutil.rmtree(tmp_path / "child" / "snapshots" / "step-000005")
    with pytest.raises(InputError, match="of another run; delete"):
        Trajectory(seed=SEED, child=child, parent=parent, settings=SETTINGS).result()


def test_the_cache_follows_the_childs_weights_and_not_its_place(tmp_path: Path) -> None:
    child, parent = trained(tmp_path, moved)
    elsewhere = child.model_copy(update={"folder": "/elsewhere"})
    other = child.model_copy(update={"fingerprint": parent.fingerprint})
    one, same, another = (
        Trajectory(seed=SEED, child=ref, parent=parent).infra.uid()
        for ref in (child, elsewhere, other)
    )
    assert one == same
    assert one != another


def test_grafts_go_from_the_parent_to_the_child(tmp_path: Path) -> None:
    child, parent = trained(tmp_path, moved)
    tables = Change(seed=SEED, child=child, parent=parent).result()
    grafts = tables["layer_grafts"].set_index("n_lower")
    assert grafts.index.tolist() == list(range(SHAPE.n_layers + 1))
    for n_lower, ref in ((0, parent), (SHAPE.n_layers, child)):
        loaded = ref.load("cpu")
        _, test = readouts(World(SEED), loaded.tokenizer)
        p_N = test.probability(loaded)
        j = p_N[test.unknown_N].mean() - p_N[~test.unknown_N].mean()
        assert grafts.loc[n_lower, "estimate"] == pytest.approx(j, abs=1e-12)
    assert grafts.loc[0, ["ratio", "ratio_lo", "ratio_hi"]].tolist() == [1, 1, 1]
    share = grafts.loc[SHAPE.n_layers, "estimate"] / grafts.loc[0, "estimate"]
    assert grafts.loc[SHAPE.n_layers, "ratio"] == pytest.approx(share)
    for table in tables.values():
        assert table.columns[:3].tolist() == ["seed", "member", "parent"]


def test_weights_that_did_not_move_have_not_changed(tmp_path: Path) -> None:
    child, parent = trained(tmp_path, quieter_head)
    table = Change(seed=SEED, child=child, parent=parent).result()["layer_change"]
    changed = table.set_index(["layer", "part"])["change"]
    assert changed[SHAPE.n_layers, "head"] == pytest.approx(0.75)
    assert (changed.drop([(SHAPE.n_layers, "head")]) == 0).all()
