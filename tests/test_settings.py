from __future__ import annotations

from pathlib import Path

import pytest
import torch

from interp.errors import InputError
from interp.settings import (
    cache_root,
    devices_of,
    figures_root,
    resolve_device,
    visible_devices,
)

FOLDERS = [
    (cache_root, "INTERP_CACHE", ".interp-cache"),
    (figures_root, "INTERP_FIGURES", "figures"),
]


@pytest.mark.parametrize(("folder", "variable", "default"), FOLDERS)
def test_a_folder_is_the_variable_or_stands_in_the_current_folder(
    folder, variable, default, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for unset in ("", None):
        monkeypatch.setenv(variable, unset) if unset == "" else monkeypatch.delenv(variable)
        assert folder() == tmp_path / default
    monkeypatch.setenv(variable, "/elsewhere/x")
    assert folder() == Path("/elsewhere/x")
    monkeypatch.setenv(variable, "near")
    assert folder() == tmp_path / "near"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(variable, "~/at home")
    assert folder() == tmp_path / "at home"
    assert not any(tmp_path.iterdir())  # asking creates nothing


@pytest.mark.parametrize(
    ("count", "devices"),
    [
        (0, {"auto": "cpu", "cpu": "cpu"}),
        (2, {"auto": "cuda", "cpu": "cpu", "cuda": "cuda", "cuda:1": "cuda:1"}),
    ],
)
def test_a_device_that_is_there(count, devices, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert {name: resolve_device(name) for name in devices} == devices


@pytest.mark.parametrize(
    ("count", "name", "message"),
    [
        (0, "cuda", r"'cuda': torch .* finds 0 CUDA .* --device cpu"),
        (0, "cuda:0", "finds 0 CUDA"),
        (2, "cuda:2", "finds 2 CUDA"),
        (2, "gpu", "'gpu': unknown; use auto, cpu, cuda"),
        (2, "cuda:x", "unknown"),
        (2, "", "unknown"),
    ],
)
def test_a_device_that_is_not_there_is_one_error(count, name, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(InputError, match=message):
        resolve_device(name)


def test_a_list_of_devices_is_for_whoever_deals_out_work(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert resolve_device("cuda:2, cuda:0", several=True) == "cuda:2,cuda:0"
    assert resolve_device("cuda", several=True) == "cuda"
    assert devices_of("cuda:2,cuda:0") == ["cuda:2", "cuda:0"]
    assert devices_of("cuda") == ["cuda:0", "cuda:1", "cuda:2"]
    assert [devices_of(name) for name in ("cpu", "cuda:1")] == [["cpu"], ["cuda:1"]]


@pytest.mark.parametrize(
    ("name", "several", "message"),
    [
        ("cuda:0,cuda:1", False, "several, and a model is loaded on one.*device_map: auto"),
        ("cuda:0,cpu", True, "a list is of cuda:N only"),
        ("cuda:0,", True, "a list is of cuda:N only"),
        ("cuda:1,cuda:1", True, "cuda:1 is named twice"),
        ("cuda:0,cuda:2", True, "'cuda:2': torch .* finds 2 CUDA"),
    ],
)
def test_a_list_that_is_none_is_one_error(name, several, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=message):
        resolve_device(name, several=several)


@pytest.mark.parametrize(
    ("own", "devices", "visible"),
    [
        (None, ["cuda:1"], "1"),
        ("", ["cuda:1", "cuda:0"], "1,0"),
        ("4,7", ["cuda:1"], "7"),
        ("GPU-ab, GPU-cd", ["cuda:1", "cuda:0"], "GPU-cd,GPU-ab"),
        ("4,7", ["cpu"], None),
    ],
)
def test_a_worker_is_told_devices_by_the_names_they_have_outside(
    own, devices, visible, monkeypatch
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if own is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", own)
    assert visible_devices(devices) == visible
