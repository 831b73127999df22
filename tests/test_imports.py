from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

import interp
from interp._lazy import attach
from interp.stats import Interval, tost

ROOT = Path(interp.__file__).parent.parent
HEAVY = ("torch", "transformers", "transformer_lens", "sae_lens", "nnsight")
LIGHT_MODULES = [
    "interp",
    "interp.cli",
    "interp.study",
    "interp.errors",
    "interp.settings",
    "interp.stats",
    "interp.tables",
    "interp.checkpoints.lineage",
    "interp.organism.objectives",
    "interp.organism.recipes",
]


def python(source: str, **variables: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def heavy_after(source: str) -> set[str]:
    loaded = python(f"{source}\nimport sys\nprint(*sys.modules)").split()
    return set(HEAVY) & set(loaded)


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_a_light_module_loads_no_model_library(module):
    assert heavy_after(f"import {module}") == set()


def test_the_measure_of_lightness_sees_a_heavy_import():
    assert "torch" in heavy_after("from interp import mean_difference")


@pytest.mark.parametrize("name", interp.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(interp, name)
    assert name in dir(interp)
    assert name == "__version__" or value.__doc__


def test_importing_interp_changes_no_random_state_and_starts_no_thread():
    assert (
        python(
            "import random, threading; state = random.getstate(); import interp; "
            "print(state == random.getstate(), threading.active_count())"
        )
        == "True 1"
    )


def test_a_room_hands_out_its_names_and_no_others():
    getter, lister, names = attach("interp", {"tost": "stats", "InputError": "errors"})
    assert getter("tost") is tost
    assert lister() == names == ["InputError", "tost"]
    with pytest.raises(AttributeError, match="'interp' has no attribute 'toast'"):
        getter("toast")
    with pytest.raises(ImportError, match="cannot import name 'capturing'"):
        from interp import capturing  # noqa: F401 - the import itself is the subject


# --- the run-time checks that tests/conftest.py turns on -----------------------------------------


def test_types_are_checked_in_tests():
    with pytest.raises(TypeCheckError, match="margin"):
        tost(Interval(0, 0, 0), "wide")
    assert tost(Interval(0, 0, 0), 1)  # an int is welcome where a float is asked for


def test_shapes_are_checked_in_rooms_that_load_late():
    from interp.directions import split_half_reliability

    with pytest.raises(TypeCheckError, match="acts_ND"):
        split_half_reliability(torch.ones(3), np.array([True, False, True]), n_splits=2, seed=0)
