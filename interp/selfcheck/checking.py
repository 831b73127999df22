"""Checks a checkpoint before anybody computes with it: is it whole, and is it read exactly?

Everything is measured on the model at hand, through the code that studies use, so that an
architecture nobody tried yet either passes or says which assumption does not hold for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from interp.activations import Site
from interp.checkpoints import Checkpoint, LoadedModel, files
from interp.checkpoints.adapters import check_adapter
from interp.checkpoints.anatomy import KINDS, tap
from interp.checkpoints.loading import load_tokenizer
from interp.errors import InputError
from interp.prompts import encode
from interp.selfcheck import exactness, tokens
from interp.selfcheck.line import Line


def load(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: str = "float32",
    device_map: Any = None,
    attention: str | None = None,
    **found_by: Any,
) -> LoadedModel:
    """Finds a checkpoint, loads it and checks it: the way to a model for notebooks and scripts.

    Args:
        source: a folder, a Hugging Face id, or a PEFT adapter.
        device: as for `Checkpoint.load`; so are the next three.
        dtype: as for `Checkpoint.load`.
        device_map: as for `Checkpoint.load`.
        attention: as for `Checkpoint.load`.
        found_by: keywords of `Checkpoint.find`, such as `revision`.

    Raises:
        InputError: it cannot be found or loaded, or a line of the check does not hold.
    """
    checkpoint = Checkpoint.find(source, **found_by)
    options = {"device_map": device_map} if device_map is not None else {"device": device}
    loaded = checkpoint.load(dtype=dtype, attention=attention, **options)
    require(loaded)
    return loaded


def require(loaded: LoadedModel, kinds: Sequence[str] = KINDS) -> None:
    """Refuses a model that the check finds wanting.

    Args:
        loaded: the model; it is left as it was.
        kinds: of sites that are going to be used.

    Raises:
        InputError: names the line, and what was found.
    """
    for line in examine(loaded, kinds):
        if not line.passed:
            raise InputError(
                f"{loaded.checkpoint.name}: the check '{line.name}' failed: {line.result} "
                f"(`interp check {loaded.checkpoint.path}` shows all of it)"
            )


def check(checkpoint: Checkpoint, device: str = "cpu", dtype: str = "float32") -> Iterator[Line]:
    """All lines for a checkpoint on disk, each as soon as it is known; ends with one that fails.

    Args:
        checkpoint: the folder may be broken in any way.
        device: to run on.
        dtype: to compute in.
    """
    loaded: list[LoadedModel] = []
    steps: dict[str, Callable[[], object]] = {
        "folder": lambda: files.check_folder(checkpoint.path),
        "weights are whole": lambda: files.check_weights(
            checkpoint.path, allow_pickle=checkpoint.allow_pickle
        ),
        "tokenizer loads": lambda: load_tokenizer(
            checkpoint.tokenizer_folder, checkpoint.chat_template
        ),
    }
    if checkpoint.adapter is not None:
        adapter = checkpoint.adapter
        steps["adapter is whole"] = lambda: check_adapter(
            adapter, allow_pickle=checkpoint.allow_pickle
        )
    steps["config, weights and tokenizer agree"] = lambda: loaded.append(
        checkpoint.load(device=device, dtype=dtype)
    )
    for name, step in steps.items():
        try:
            step()
        except InputError as error:
            yield Line(name, False, str(error))
            return
        yield Line(name, True, "yes")
    yield from examine(loaded[0])


def examine(loaded: LoadedModel, kinds: Sequence[str] = KINDS) -> Iterator[Line]:
    """The lines that a model in memory can be checked for.

    Args:
        loaded: the model; it is left as it was.
        kinds: of sites that are going to be used, out of those that its blocks have.
    """
    there = [kind for kind in KINDS if tap(loaded.blocks[0], kind)]
    found = f"{loaded.n_layers} of {type(loaded.blocks[0]).__name__} with {', '.join(there)}"
    yield Line("decoder blocks", True, found)
    yield _finite(loaded)
    texts = tokens.texts_for(loaded)
    yield tokens.beginnings(loaded, texts)
    yield tokens.round_trip(loaded, texts)
    used = [kind for kind in there if kind in {*kinds, "resid_post"}]
    sites = [Site(kind, layer) for layer in range(loaded.n_layers) for kind in used]
    alone = [exactness.read(loaded, sites, encode([text], loaded.tokenizer)) for text in texts]
    yield exactness.hidden_states(loaded, texts, alone)
    if {"attn_out", "resid_mid", "mlp_out"} & set(used):
        yield exactness.sums(loaded, alone)
    yield exactness.padding(loaded, texts, alone, "right")
    yield exactness.padding(loaded, texts, alone, "left")
    yield exactness.early_stop(loaded, texts)
    yield exactness.zero_steering(loaded, texts)


def _finite(loaded: LoadedModel) -> Line:
    for name, parameter in loaded.model.named_parameters():
        if not bool(parameter.isfinite().all()):
            return Line("weights are finite", False, f"{name} holds NaN or infinite numbers")
    return Line("weights are finite", True, "yes")
