"""Reads through hooks on the unmodified model: exactly, and no more than is asked.

A padded batch gives the same activations as each prompt alone, because no token sees padding and
every token keeps its own position; the forward ends at the deepest site that is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence

from interp.activations.backends import Take
from interp.activations.backends.watching import watching
from interp.activations.sites import Site, tap_of
from interp.checkpoints import LoadedModel
from interp.prompts import Encoded


def open_model(loaded: LoadedModel, sites: Sequence[Site]) -> HooksBackend:
    """The backend for sites that the model has."""
    return HooksBackend(loaded, sites)


class HooksBackend:
    """Forward hooks, which are there only while a batch runs."""

    def __init__(self, loaded: LoadedModel, sites: Sequence[Site]) -> None:
        self._loaded = loaded
        self._taps = {site: tap_of(loaded, site) for site in sites}

    def run(self, encoded: Encoded, take: Take) -> None:
        """One forward of the base model without its head, left at the deepest site."""
        inputs = {name: ids.to(self._loaded.device) for name, ids in encoded.inputs.items()}
        with watching(self._taps, take):
            self._loaded.model.base_model(**inputs, use_cache=False)
