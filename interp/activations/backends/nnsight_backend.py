"""Reads through nnsight: here, or on NDIF's machines for models that fit on none at hand."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import nnsight
import torch

from interp.activations.backends import Take
from interp.activations.backends.twins import adapters, twin
from interp.activations.sites import Site, tap_of
from interp.checkpoints import Checkpoint, LoadedModel
from interp.checkpoints.anatomy import stream
from interp.errors import InputError
from interp.prompts import Encoded

# nnsight's model; and each site with its envoy (nnsight's view of a module), at which end of it.
Wrapped = tuple[Any, list[tuple[Site, Any, str]]]


def open_model(
    loaded: LoadedModel, sites: Sequence[Site], *, remote: bool = False
) -> LocalTrace | RemoteTrace:
    """The backend, over a twin of the model: nnsight takes over the modules it is given.

    Raises:
        InputError: remote, and there is no API key or the checkpoint is not one of the Hub.
    """
    return RemoteTrace(loaded, sites) if remote else LocalTrace(loaded, sites)


class LocalTrace:
    """Traces of the model in memory, bit for bit the activations that hooks see.

    Except where somebody else's hook changes a module's output: nnsight reads that output first.
    """

    def __init__(self, loaded: LoadedModel, sites: Sequence[Site]) -> None:
        self._device = loaded.device
        self._model, self._reads = _wrap(loaded, sites)

    def run(self, encoded: Encoded, take: Take) -> None:
        """One trace, stopped at the deepest site."""
        inputs = {name: ids.to(self._device) for name, ids in encoded.inputs.items()}
        with torch.inference_mode(), self._model.trace(**inputs, use_cache=False) as tracer:
            for site, envoy, end in self._reads:
                take(site, stream(envoy.input if end == "input" else envoy.output))
            tracer.stop()


class RemoteTrace:
    """Traces that run on NDIF, over the weights that the Hub has under the checkpoint's id.

    All that is read crosses the network, whole, so it is for few sites at a time. What is done to
    the model in memory (a graft) does not reach NDIF.

    Written after nnsight's documentation, and tried up to the request that it sends: the trace,
    packed, unpacked where this project cannot be imported, and run there, gives what hooks see.
    No NDIF server was asked.
    """

    def __init__(self, loaded: LoadedModel, sites: Sequence[Site]) -> None:
        repo_id, revision = _on_hub(loaded.checkpoint)
        _check_api_key()
        if adapters(loaded.model):
            raise InputError(
                f"backend 'nnsight', remote=True: {loaded.checkpoint.name} has an adapter in it, "
                "which NDIF's copy has not; run it here"
            )
        self._model, self._reads = _wrap(loaded, sites, revision=revision)
        self._model.repo_id = repo_id

    def run(self, encoded: Encoded, take: Take) -> None:
        """One job on NDIF, which is waited for.

        Raises:
            nnsight.intervention.backends.remote.RemoteError: NDIF refuses the job, or fails at it.
        """
        # The block travels as source with the variables it names: none may be of this project.
        reads = [(envoy, end) for _, envoy, end in self._reads]
        with self._model.trace(**encoded.inputs, use_cache=False, remote=True) as tracer:
            values = nnsight.save([])
            for envoy, end in reads:
                value = envoy.input if end == "input" else envoy.output
                values.append((value[0] if isinstance(value, tuple) else value).detach())
            tracer.stop()
        for (site, _, _), acts_BTD in zip(self._reads, values, strict=True):
            take(site, acts_BTD)


def _on_hub(checkpoint: Checkpoint) -> tuple[str, str | None]:
    """The Hub's id of a checkpoint in its cache, and the commit unless it is the main branch's.

    The cache keeps a commit in `models--<owner>--<name>/snapshots/<commit>`.
    """
    repository, commit = checkpoint.path.parent.parent, checkpoint.path.name
    kind, _, name = repository.name.partition("--")
    if kind != "models" or checkpoint.path.parent.name != "snapshots":
        raise InputError(
            f"backend 'nnsight', remote=True: {checkpoint.path} is a folder of this machine, but "
            "NDIF takes its weights from the Hugging Face Hub; name the checkpoint by its id there"
        )
    main = repository / "refs" / "main"
    is_main = main.is_file() and main.read_text(encoding="utf-8").strip() == commit
    return name.replace("--", "/"), None if is_main else commit


def _check_api_key() -> None:
    if not nnsight.CONFIG.API.APIKEY:
        raise InputError(
            "backend 'nnsight', remote=True: no API key of NDIF; set NDIF_API_KEY in the "
            "environment before the start, or call nnsight.CONFIG.set_default_api_key once"
        )


def _wrap(loaded: LoadedModel, sites: Sequence[Site], revision: str | None = None) -> Wrapped:
    """The model as nnsight has it; and each site, in the order of a forward, with its envoy."""
    inner = twin(loaded)
    paths = {module: path for path, module in inner.model.named_modules()}
    # A pipeline moves a model to the first GPU unless it is told where the model is.
    placed = {} if hasattr(inner.model, "hf_device_map") else {"device": inner.device}
    model = nnsight.TransformersModel(
        inner.model,
        task="text-generation",
        tokenizer=deepcopy(inner.tokenizer),
        revision=revision,
        **placed,
    )
    taps = [(site, tap_of(inner, site)) for site in sorted(sites, key=lambda site: site.depth)]
    return model, [(site, model.get(paths[tap.module]), tap.end) for site, tap in taps]
