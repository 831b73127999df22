"""A source is found where it is, or its absence is one line that says what to do; never online."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file

from interp.checkpoints import Checkpoint, sources
from interp.errors import InputError
from tests.checkpoints.tiny import write_checkpoint

COMMITS = {"main": "a" * 40, "step-1": "b" * 40}


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """The Hub's cache on this machine, with two revisions of some-lab/tiny; the Hub is far away."""
    root = tmp_path / "hub"
    repository = root / "models--some-lab--tiny"
    (repository / "refs").mkdir(parents=True)
    for seed, (revision, commit) in enumerate(COMMITS.items()):
        (repository / "refs" / revision).write_text(commit)
        write_checkpoint(repository / "snapshots" / commit, seed=seed)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
    return root


def refusal(source: str | Path, **found_by: Any) -> str:
    with pytest.raises(InputError) as caught:
        Checkpoint.find(source, **found_by)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_itself(tmp_path, monkeypatch):
    folder = write_checkpoint(tmp_path / "mine")
    for source in (folder, str(folder)):
        assert Checkpoint.find(source) == Checkpoint(folder, "mine")
    monkeypatch.chdir(folder)
    assert Checkpoint.find(".").name == "mine"
    assert Checkpoint.find(folder, name="other").name == "other"
    assert "a folder has no revision ('v2')" in refusal(folder, revision="v2")


def test_an_id_is_read_from_the_cache_when_the_hub_is_far_away(hub):
    snapshots = hub / "models--some-lab--tiny" / "snapshots"
    found = Checkpoint.find("some-lab/tiny")
    assert found == Checkpoint(snapshots / COMMITS["main"], "tiny")
    older = Checkpoint.find("some-lab/tiny", revision="step-1")
    assert older == Checkpoint(snapshots / COMMITS["step-1"], "tiny@step-1")
    by_commit = Checkpoint.find("some-lab/tiny", revision=COMMITS["step-1"], name="same")
    assert by_commit.fingerprint == older.fingerprint != found.fingerprint
    assert found.load().n_layers == older.load().n_layers


def test_a_base_in_the_cache_is_called_by_its_model_not_by_its_commit(hub):
    folder = hub / "models--some-lab--tiny" / "snapshots" / COMMITS["main"]
    assert sources.name_of(folder) == "tiny"


def test_a_revision_that_is_not_in_the_cache_is_one_line(hub):
    message = refusal("some-lab/tiny", revision="step-2")
    assert message.startswith("'some-lab/tiny' at revision 'step-2': no such folder here")
    assert str(hub) in message
    assert (
        "`hf download some-lab/tiny --revision step-2 --local-dir <folder>`, and give that folder"
        in message
    )


@pytest.mark.parametrize("source", ["some-lab/missing", "missing"])
def test_an_id_that_is_nowhere_is_one_line(hub, source):
    assert f"where there is a network, `hf download {source} --local-dir" in refusal(source)


@pytest.mark.parametrize("source", ["/nowhere/at/all", "./missing", "~/missing/model", "a/b/c"])
def test_a_path_that_is_nowhere_is_not_asked_of_the_hub(source, monkeypatch):
    monkeypatch.setattr(sources, "snapshot_download", None)
    message = refusal(source)
    assert str(Path(source).expanduser()) in message
    assert "no such folder; expected one with config.json" in message
    assert "no such folder" in refusal(Path("some-lab/tiny"))


def hub_error(kind: type[errors.HfHubHTTPError]) -> errors.HfHubHTTPError:
    request = SimpleNamespace(url="https://huggingface.co", method="GET", headers={})
    response: Any = SimpleNamespace(request=request, headers={}, status_code=404, text="")
    return kind("404 Client Error.\n\nRequest ID: 1", response=response)


ANSWERS = {
    "gated": (
        lambda: hub_error(errors.GatedRepoError),
        "'some-lab/tiny' at revision 'v2': its owners give it only to those who accept their "
        "licence: do so at https://huggingface.co/some-lab/tiny, then `hf auth login`",
    ),
    "unknown": (
        lambda: hub_error(errors.RepositoryNotFoundError),
        "neither a folder here nor a model on the Hub; mind the spelling",
    ),
    "revision": (
        lambda: hub_error(errors.RevisionNotFoundError),
        "'some-lab/tiny': no revision 'v2'; https://huggingface.co/some-lab/tiny/tree/main lists",
    ),
    "server": (lambda: hub_error(errors.HfHubHTTPError), "(404 Client Error. Request ID: 1)"),
    "network": (lambda: errors.HTTPError("connection\nreset"), "(connection reset)"),
    "full disk": (lambda: OSError(28, "No space left on device"), "No space left on device"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_the_hub_answers_is_one_line_that_says_what_to_do(monkeypatch, answer):
    raised, expected = ANSWERS[answer]

    def download(*_: Any, **__: Any) -> str:
        raise raised()

    monkeypatch.setattr(sources, "snapshot_download", download)
    message = refusal("some-lab/tiny", revision="v2")
    assert expected in message
    assert "some-lab/tiny" in message


def test_only_what_is_needed_is_fetched(tmp_path, monkeypatch):
    """The stand-in for the Hub filters by the patterns as the Hub's client does."""
    published = write_checkpoint(tmp_path / "published", shard_size="8KB")
    extra = ["modeling_own.py", "pytorch_model.bin", "consolidated.safetensors", "README.md"]
    extra += ["optimizer.pt", "training_args.bin", "model.gguf", "original/params.json"]
    for name in [*extra, "chat_template.jinja"]:
        (published / name).parent.mkdir(exist_ok=True)
        (published / name).write_text("{}")
    fetched = []

    def download(repository: str, revision: str, allow_patterns: Any, ignore_patterns: Any) -> str:
        names = [path.relative_to(published).as_posix() for path in published.rglob("*.*")]
        wanted = huggingface_hub.utils.filter_repo_objects(
            names, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        )
        fetched[:] = sorted(wanted)
        folder = tmp_path / "fetched"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in fetched:
            shutil.copy(published / name, folder)
        return str(folder)

    monkeypatch.setattr(sources, "snapshot_download", download)
    needed = {path.name for path in published.glob("*.json")} | {"chat_template.jinja"}
    needed |= {path.name for path in published.glob("model-*.safetensors")}
    found = Checkpoint.find("some-lab/tiny")
    assert set(fetched) == needed
    assert found.fingerprint == Checkpoint(published, "x").fingerprint
    Checkpoint.find("some-lab/tiny", trust_remote_code=True)
    assert set(fetched) == {*needed, "modeling_own.py"}
    Checkpoint.find("some-lab/tiny", allow_pickle=True)
    assert set(fetched) == needed, "pickles beside safetensors are left alone"
    shards = sorted(published.glob("model-*.safetensors"))
    weights = {name: value for shard in shards for name, value in load_file(shard).items()}
    for path in [*shards, published / "model.safetensors.index.json"]:
        path.unlink()
    (published / "consolidated.safetensors").unlink()
    torch.save(weights, published / "pytorch_model.bin")
    found = Checkpoint.find("some-lab/tiny", allow_pickle=True)
    assert "pytorch_model.bin" in fetched
    assert "training_args.bin" not in fetched
    assert found.load().n_layers


def test_a_member_of_the_embedded_lineage_is_trained_not_fetched():
    message = refusal("organism:reason_sft")
    assert "`interp organism train reason_sft` makes it and prints its folder" in message
