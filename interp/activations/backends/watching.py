"""Reading what passes taps, and leaving the forward when there is no more to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

import torch
from torch import Tensor

from interp.activations.backends import Take
from interp.activations.sites import Site
from interp.checkpoints.anatomy import Tap


@contextmanager
def watching(taps: Mapping[Site, Tap], take: Take) -> Iterator[None]:
    """A forward inside of it gives `take` what passes each tap, and ends at the deepest of them.

    The hooks are gone afterwards, however it ended.
    """
    deepest = max(taps, key=lambda site: site.depth)

    def watch(site: Site, tap: Tap) -> None:
        def see(acts_BTD: Tensor) -> None:
            take(site, acts_BTD)
            if site == deepest:
                raise _Reached

        hooks.callback(tap.watch(see).remove)

    with ExitStack() as hooks:
        for site, tap in taps.items():
            watch(site, tap)
        # An exception is the only way out of the middle of a model's forward.
        hooks.enter_context(suppress(_Reached))
        hooks.enter_context(torch.inference_mode())
        yield


class _Reached(Exception):
    """The deepest site was read."""
