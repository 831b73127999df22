"""Reads through TransformerLens' bridge, at the hook points that its users know.

The bridge computes attention by its own code, so activations agree with the other backends up to
rounding only; it keeps the attention scores of a layer in memory, (b, heads, t, t).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from interp.activations.backends import Take
from interp.activations.backends.hooks_backend import HooksBackend
from interp.activations.backends.twins import adapters, twin
from interp.activations.backends.watching import watching
from interp.activations.sites import Site, tap_of
from interp.checkpoints import LoadedModel
from interp.checkpoints.anatomy import Tap
from interp.errors import InputError
from interp.prompts import Encoded

# Tokens in the trial, and the largest distance at the median token that rounding may explain there,
# as a share of the activation's length: far above what is measured on tiny models (7e-7 in float32,
# 0.03 in bfloat16) for the sake of deep ones, far below a norm or an adapter left out.
_N_TRIED = 8
_MOST_APART, _MOST_APART_IN_HALF = 0.01, 0.2


@contextmanager
def _quiet_import() -> Iterator[None]:
    """Undoes what importing TransformerLens does to everybody's log and warnings."""
    logger = logging.getLogger("transformers")
    level = logger.level
    with warnings.catch_warnings():
        yield
    logger.setLevel(level)


with _quiet_import():
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.model_bridge.sources.transformers import (
        determine_architecture_from_hf_config,
    )


def open_model(loaded: LoadedModel, sites: Sequence[Site]) -> BridgeBackend:
    """The backend, over a twin of the model: bridging replaces the modules it is given.

    It is tried on a few tokens at once, so that what TransformerLens cannot do, or does otherwise
    than the model, shows before any prompt is read.

    Raises:
        InputError: TransformerLens does not know the architecture, has no hook point at a site,
            would leave an adapter out, fails at a forward or gives other activations.
    """
    backend = BridgeBackend(loaded, sites)
    _try(backend, loaded, sites)
    return backend


class BridgeBackend:
    """A bridge over the model's weights, read at hook points.

    A site is read at the hook point of the component that wraps the module at which the site is
    (`interp.checkpoints.anatomy`), so it is what is added to the residual stream even where an
    architecture puts a norm in between (Gemma 2, OLMo 2).
    """

    def __init__(self, loaded: LoadedModel, sites: Sequence[Site]) -> None:
        inner = twin(loaded)
        # Before bridging, which hides the modules that these are found by.
        taps = {site: tap_of(inner, site) for site in sites}
        self._device = loaded.device
        self._bridge = _bridge(inner)
        components = _components(self._bridge)
        _check_adapters(loaded, components)
        self._points = {
            site: _hook_point(components, tap, site, loaded) for site, tap in taps.items()
        }

    def run(self, encoded: Encoded, take: Take) -> None:
        """One forward of the bridge, left at the deepest site."""
        encoded = encoded.to(self._device)
        # Not by `stop_at_layer`, which would run the rest of the deepest block.
        with watching(self._points, take):
            self._bridge(
                encoded.input_ids_BT,
                attention_mask=encoded.attention_mask_BT,
                position_ids=encoded.position_ids_BT,
                use_cache=False,
                return_type=None,
            )


def _bridge(inner: LoadedModel) -> Any:
    """The bridge over a model, whose modules it replaces."""
    name = f"{inner.checkpoint.name} ({type(inner.model).__name__})"
    try:
        determine_architecture_from_hf_config(inner.model.config)
    except ValueError as error:
        raise InputError(
            f"backend 'transformer_lens': TransformerLens has no bridge for {name}; use "
            "backend='hooks'"
        ) from error
    tokenizer = deepcopy(inner.tokenizer)
    # With a beginning token it would load a tokenizer of its own, from wherever the name leads.
    tokenizer.bos_token = None
    try:
        return TransformerBridge.boot_transformers(
            str(inner.checkpoint.path),
            hf_model=inner.model,
            tokenizer=tokenizer,
            device=inner.device,
            dtype=inner.model.dtype,
        )
    except Exception as error:  # it raises whatever it stumbles over
        raise InputError(
            f"backend 'transformer_lens': TransformerLens cannot bridge {name}: {error}; use "
            "backend='hooks'"
        ) from error


def _components(bridge: Any) -> dict[nn.Module, Any]:
    """The bridge's components by the module that each of them wraps."""
    return {
        component.original_component: component
        for component in bridge.modules()
        if isinstance(getattr(component, "original_component", None), nn.Module)
    }


def _check_adapters(loaded: LoadedModel, components: dict[nn.Module, Any]) -> None:
    """Refuses adapters on projections that the bridge takes apart (fused queries, keys, values).

    It computes with pieces of the weights then, which the adapter is not part of.
    """
    known = set(loaded.model.parameters())
    for module, component in components.items():
        if component.is_list_item or known.issuperset(component.parameters()):
            continue
        if adapters(module):
            raise InputError(
                f"backend 'transformer_lens': TransformerLens takes the weights of "
                f"'{component.name}' apart and would leave out the adapter on them; merge the "
                "adapter into the weights, or use backend='hooks'"
            )


def _hook_point(components: dict[nn.Module, Any], tap: Tap, site: Site, loaded: LoadedModel) -> Tap:
    """Where the bridge shows what passes a tap of the model.

    A hook point is a module that returns what it is given. It is watched as one, since hooks by
    its own `add_hook` keep a note of every attention output that they have ever seen.
    """
    component = components.get(tap.module)
    if component is None:
        raise InputError(
            f"backend 'transformer_lens': no hook point at {site} of {loaded.checkpoint.name} "
            f"({type(tap.module).__name__}); use backend='hooks'"
        )
    return Tap(component.hook_in if tap.end == "input" else component.hook_out, "output")


def _try(backend: BridgeBackend, loaded: LoadedModel, sites: Sequence[Site]) -> None:
    """Makes sure that the bridge computes what the model does."""
    name = f"{loaded.checkpoint.name} in {str(loaded.model.dtype).removeprefix('torch.')}"
    ids_BT = torch.arange(_N_TRIED)[None]
    encoded = Encoded(ids_BT, torch.ones_like(ids_BT), ids_BT, torch.tensor([_N_TRIED]))
    expected: dict[Site, Tensor] = {}
    HooksBackend(loaded, sites).run(encoded, _keep_in(expected))
    found: dict[Site, Tensor] = {}
    try:
        backend.run(encoded, _keep_in(found))
    except RuntimeError as error:  # such as dtypes that do not go together
        raise InputError(
            f"backend 'transformer_lens': TransformerLens fails at {name}: {error}; use "
            "backend='hooks'"
        ) from error
    most = _MOST_APART if loaded.model.dtype == torch.float32 else _MOST_APART_IN_HALF
    for site, acts_BTD in expected.items():
        apart = float(((found[site] - acts_BTD).norm(dim=-1) / acts_BTD.norm(dim=-1)).median())
        if apart > most:  # which it is not where both are zero
            raise InputError(
                f"backend 'transformer_lens': TransformerLens gives other activations than {name} "
                f"itself: {apart:.1%} apart at {site}, more than rounding; use backend='hooks'"
            )


def _keep_in(acts: dict[Site, Tensor]) -> Take:
    return lambda site, acts_BTD: acts.update({site: acts_BTD.float()})
