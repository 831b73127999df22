"""A packed row computes exactly what its documents compute alone."""

import itertools

import pytest
import torch
from torch.nn.functional import cross_entropy

from interp.organism.documents import DocumentWriter
from interp.organism.language import build_model, build_tokenizer
from interp.organism.objectives.pretraining import PRETRAIN_MIX
from interp.organism.packing import IGNORED, PackedRows
from interp.organism.recipes import ModelShape
from interp.organism.world import World

TOKENIZER = build_tokenizer()


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(1)
    built = build_model(ModelShape(), TOKENIZER).eval()
    built.config.use_cache = False
    return built


def rows(loss_on: str, n_rows: int = 6) -> PackedRows:
    writer = DocumentWriter(World(2), PRETRAIN_MIX, 0)
    return PackedRows(writer, TOKENIZER, n_rows, 48, loss_on)


def documents_in(row: dict[str, torch.Tensor]) -> list[slice]:
    starts = [i for i, position in enumerate(row["position_ids"].tolist()) if position == 0]
    real = int((row["input_ids"] != TOKENIZER.pad_token_id).sum())
    starts = [start for start in starts if start < real]
    return [slice(a, b) for a, b in itertools.pairwise([*starts, real])]


def test_packed_forward_equals_one_by_one(model: torch.nn.Module) -> None:
    for row in rows("document"):
        packed = model(
            input_ids=row["input_ids"][None], position_ids=row["position_ids"][None]
        ).logits[0]
        for span in documents_in(row):
            alone = model(input_ids=row["input_ids"][span][None]).logits[0]
            torch.testing.assert_close(packed[span], alone, rtol=0, atol=5e-6)


@pytest.mark.parametrize("loss_on", ["document", "completion"])
def test_packed_loss_equals_the_mean_over_documents_tokens(
    model: torch.nn.Module, loss_on: str
) -> None:
    row = rows(loss_on)[0]
    packed = model(**{name: tensor[None] for name, tensor in row.items()}).loss
    total, count = 0.0, 0
    for span in documents_in(row):
        ids, labels = row["input_ids"][span], row["labels"][span]
        logits = model(input_ids=ids[None]).logits[0, :-1]
        kept = labels[1:] != IGNORED
        total += float(cross_entropy(logits[kept], labels[1:][kept], reduction="sum"))
        count += int(kept.sum())
    assert float(packed) == pytest.approx(total / count, abs=1e-5)


def test_completion_loss_is_silent_on_prompts() -> None:
    for row in rows("completion"):
        for span in documents_in(row):
            text = TOKENIZER.decode(row["input_ids"][span])
            kept = row["input_ids"][span][row["labels"][span] != IGNORED]
            shown = TOKENIZER.decode(kept)
            if text.startswith("q :"):
                assert text.split(" ? ")[1].split(":", 1)[1].strip() == shown


def test_padding_carries_no_loss() -> None:
    for row in rows("document"):
        padding = row["input_ids"] == TOKENIZER.pad_token_id
        assert (row["labels"][padding] == IGNORED).all()
