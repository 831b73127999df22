"""Backends: the libraries through which a forward can be read, behind one protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol, runtime_checkable

from torch import Tensor

from interp import configs
from interp.activations.sites import Site
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import Encoded

BACKENDS = ("hooks", "transformer_lens", "nnsight")
"""PyTorch hooks on the unmodified model; TransformerLens' bridge; nnsight, also remote."""

Take = Callable[[Site, Tensor], None]
"""Is given each site's whole padded activation (b, t, d) as the forward reaches it."""


@runtime_checkable
class Backend(Protocol):
    """One model, ready to be read at the sites it was opened for."""

    def run(self, encoded: Encoded, take: Take) -> None:
        """One forward, which calls `take` once a site.

        No block above the deepest site runs, and no head. What `take` is given may be reused by
        the forward once it returns, so it copies what it wants to keep.
        """


def open_backend(
    name: str, loaded: LoadedModel, sites: Sequence[Site], *, remote: bool = False
) -> Backend:
    """The backend, which has made sure that it can do all that is asked.

    Args:
        name: one of `BACKENDS`.
        loaded: the model; no backend changes it.
        sites: of this model.
        remote: run on NDIF instead of here (nnsight only).

    Raises:
        InputError: no such backend, or something it cannot do; before any prompt is read.
    """
    if name not in BACKENDS:
        raise InputError(
            f"backend '{name}': unknown{configs.nearest(name, BACKENDS)}; there are "
            f"{', '.join(BACKENDS)}"
        )
    if remote and name != "nnsight":
        raise InputError(f"backend '{name}' runs here only; remote=True is for backend='nnsight'")
    module = import_module(f"interp.activations.backends.{name}_backend")
    opened: Backend = module.open_model(loaded, sites, **({"remote": True} if remote else {}))
    return opened
