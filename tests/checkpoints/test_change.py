"""How far training moved each block: nothing where nothing was changed, by name and by number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from interp.checkpoints import Checkpoint, change
from interp.checkpoints.change import BLOCK, PARTS, weight_changes
from interp.errors import InputError
from interp.interventions import graft
from tests.checkpoints.tiny import ARCHITECTURES, N_LAYERS, write_checkpoint


def pair_in(folder: Path, architecture: str = "llama") -> tuple[Checkpoint, Checkpoint]:
    return tuple(  # type: ignore[return-value]
        Checkpoint(write_checkpoint(folder / name, architecture, seed=seed), name)
        for seed, name in enumerate(("parent", "child"))
    )


def copied(source: Checkpoint, folder: Path, edit) -> Checkpoint:
    """The checkpoint again, its tensors as `edit` leaves them."""
    folder.mkdir()
    for path in source.path.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(source.path / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return Checkpoint(folder, folder.name)


def by_place(table: pd.DataFrame, column: str = "change") -> dict[tuple[int, str], float]:
    return {(row.layer, row.part): getattr(row, column) for row in table.itertuples()}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    return pair_in(tmp_path_factory.mktemp("llama"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_the_norms_of_the_loaded_models_modules(tmp_path: Path, architecture: str) -> None:
    parent, child = pair_in(tmp_path, architecture)
    table = weight_changes(parent, child)
    found = by_place(table)
    loaded = [checkpoint.load() for checkpoint in (parent, child)]
    for layer in range(N_LAYERS):
        was, now = (
            torch.cat([p.detach().double().flatten() for p in model.blocks[layer].parameters()])
            for model in loaded
        )
        assert found[layer, BLOCK] == pytest.approx(((now - was).norm() / was.norm()).item())
        assert {part for at, part in found if at == layer} <= {BLOCK, "attention", "mlp", "norms"}
    # Every number of the model is counted in one part, a tied head not again.
    whole = table[table["part"] != BLOCK]
    assert (whole["part"] == "head").any() != loaded[0].model.config.tie_word_embeddings
    assert whole["n_parameters"].sum() == sum(p.numel() for p in loaded[0].model.parameters())
    assert set(whole["part"]) <= set(PARTS) - {"other"}


@pytest.mark.parametrize("part", ["lower", "upper"])
@pytest.mark.parametrize("n_blocks", [1, 3])
def test_a_graft_is_zero_where_it_is_the_parent_and_the_childs_elsewhere(
    pair: tuple[Checkpoint, Checkpoint], tmp_path: Path, part: str, n_blocks: int
) -> None:
    parent, child = pair
    grafted = graft(parent.load(), child.load(), n_blocks, child_part=part)  # type: ignore[arg-type]
    grafted.model.save_pretrained(tmp_path)
    grafted.tokenizer.save_pretrained(tmp_path)
    of_graft = by_place(weight_changes(parent, Checkpoint(tmp_path, "graft")))
    of_child = by_place(weight_changes(parent, child))
    from_child = range(n_blocks) if part == "lower" else range(N_LAYERS - n_blocks, N_LAYERS)
    for (layer, name), moved in of_graft.items():
        taken = layer in from_child or layer == (-1 if part == "lower" else N_LAYERS)
        assert moved == (of_child[layer, name] if taken else 0.0)


def test_parts_are_told_apart_by_what_was_changed(
    pair: tuple[Checkpoint, Checkpoint], tmp_path: Path
) -> None:
    parent = pair[0]
    names = {
        "model.layers.2.self_attn.q_proj.weight": (2, "attention"),
        "model.layers.1.mlp.down_proj.weight": (1, "mlp"),
        "model.layers.3.input_layernorm.weight": (3, "norms"),
        "model.norm.weight": (N_LAYERS, "final_norm"),
        "lm_head.weight": (N_LAYERS, "head"),
        "model.embed_tokens.weight": (-1, "embedding"),
    }
    for name, place in names.items():

        def doubled(tensors: dict[str, torch.Tensor], name: str = name) -> None:
            tensors[name] *= 2

        child = copied(parent, tmp_path / name, doubled)
        table = weight_changes(parent, child)
        moved = {at: value for at, value in by_place(table, "difference").items() if value}
        assert set(moved) == {place} | ({(place[0], BLOCK)} if 0 <= place[0] < N_LAYERS else set())
        tensor = load_file(parent.path / "model.safetensors")[name]
        assert moved[place] == pytest.approx(tensor.norm().item())


def test_pieces_and_shards_change_nothing(
    pair: tuple[Checkpoint, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weight_changes(*pair)
    sharded = Checkpoint(write_checkpoint(tmp_path, shard_size="10KB", seed=1), "child")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    monkeypatch.setattr(change, "_AT_ONCE", 50)
    pd.testing.assert_frame_equal(weight_changes(pair[0], sharded), whole)


def test_no_more_is_held_than_a_piece_of_a_tensor(
    pair: tuple[Checkpoint, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    pieces = change._Stored.pieces

    def watched(self: change._Stored, shape: tuple[int, ...]) -> Iterator[torch.Tensor]:
        for piece in pieces(self, shape):
            read.append(piece.numel())
            yield piece

    monkeypatch.setattr(change, "_AT_ONCE", 64)
    monkeypatch.setattr(change._Stored, "pieces", watched)
    table = weight_changes(*pair)
    assert max(read) == 64
    assert sum(read) == 2 * table.loc[table["part"] != BLOCK, "n_parameters"].sum()


def test_a_tied_head_is_compared_with_an_untied_one(tmp_path: Path) -> None:
    parent = Checkpoint(write_checkpoint(tmp_path / "tied", "gpt2"), "parent")

    def untied(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()
        tensors["lm_head.weight"][0] += 1

    child = copied(parent, tmp_path / "untied", untied)
    found = by_place(weight_changes(parent, child), "difference")
    assert found[N_LAYERS, "head"] == pytest.approx(np.sqrt(16))
    assert sum(value for place, value in found.items() if place != (N_LAYERS, "head")) == 0


def test_rounding_to_a_coarser_dtype_is_told_from_training(
    pair: tuple[Checkpoint, Checkpoint], tmp_path: Path
) -> None:
    def rounded(tensors: dict[str, torch.Tensor]) -> None:
        for name in tensors:
            tensors[name] = tensors[name].bfloat16()

    table = weight_changes(pair[0], copied(pair[0], tmp_path / "rounded", rounded))
    assert (table["change"] == table["rounding"]).all()
    blocks = table[table["part"] == BLOCK]
    assert blocks["change"].between(0, 2**-8, inclusive="neither").all()
    assert (weight_changes(*pair)["rounding"] == 0).all()


def test_a_change_relative_to_nothing_is_nan(
    pair: tuple[Checkpoint, Checkpoint], tmp_path: Path
) -> None:
    def silent(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.norm.weight"] *= 0

    parent = copied(pair[0], tmp_path / "silent", silent)
    place = N_LAYERS, "final_norm"
    assert np.isnan(by_place(weight_changes(parent, pair[0]))[place])
    assert by_place(weight_changes(parent, parent))[place] == 0


def test_masks_that_old_checkpoints_carry_do_not_count(tmp_path: Path) -> None:
    parent = Checkpoint(write_checkpoint(tmp_path / "new", "gpt2"), "parent")

    def masked(tensors: dict[str, torch.Tensor]) -> None:
        tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, 4, 4, dtype=torch.bool)
        tensors["transformer.h.0.attn.rotary_emb.inv_freq"] = torch.ones(4)

    child = copied(parent, tmp_path / "old", masked)
    assert (weight_changes(parent, child)["change"] == 0).all()


def widened(tensors: dict[str, torch.Tensor]) -> None:
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = torch.cat([tensors[name], torch.ones(3, tensors[name].shape[1])])


def test_added_tokens_are_left_out_if_asked(
    pair: tuple[Checkpoint, Checkpoint], tmp_path: Path
) -> None:
    child = copied(pair[0], tmp_path / "wide", widened)
    with pytest.raises(
        InputError, match=r"lm_head.weight has the shapes .* shared_vocabulary=True"
    ):
        weight_changes(pair[0], child)
    assert (weight_changes(pair[0], child, shared_vocabulary=True)["change"] == 0).all()
    assert (weight_changes(child, pair[0], shared_vocabulary=True)["change"] == 0).all()


def dropped(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["model.layers.1.mlp.up_proj.weight"], tensors["model.layers.2.mlp.up_proj.weight"]


def narrowed(tensors: dict[str, torch.Tensor]) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name] = tensors[name][:, :3].contiguous()


def quantised(tensors: dict[str, torch.Tensor]) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name] = tensors[name].to(torch.int8)


def broken(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = torch.nan


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (dropped, "2 tensors are in one of the two only, the first is model.layers.1.mlp.up_proj"),
        (narrowed, r"up_proj.weight has the shapes \(32, 16\) and \(32, 3\); .* one architecture"),
        (quantised, "up_proj.weight is of torch.int8, so these weights are quantised"),
        (broken, "up_proj.weight holds a NaN or Inf"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    pair: tuple[Checkpoint, Checkpoint], tmp_path: Path, edit, said: str
) -> None:
    child = copied(pair[0], tmp_path / "child", edit)
    with pytest.raises(InputError, match=f"from parent to child: .*{said}"):
        weight_changes(pair[0], child)


def test_adapters_and_models_without_one_stack_of_blocks_are_refused(
    pair: tuple[Checkpoint, Checkpoint], tmp_path: Path
) -> None:
    adapted = replace(pair[1], adapter=tmp_path)
    with pytest.raises(InputError, match="child is an adapter over other weights; merge it"):
        weight_changes(pair[0], adapted)

    def two_towers(tensors: dict[str, torch.Tensor]) -> None:
        tensors["vision.layers.0.mlp.weight"] = torch.ones(2, 2)

    towers = copied(pair[0], tmp_path / "towers", two_towers)
    with pytest.raises(InputError, match=r"one stack of blocks .* model.layers, vision.layers"):
        weight_changes(towers, towers)

    def no_blocks(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if "layers" in name]:
            del tensors[name]

    bare = copied(pair[0], tmp_path / "bare", no_blocks)
    with pytest.raises(InputError, match="found none"):
        weight_changes(bare, bare)
