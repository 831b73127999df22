"""Sites: where in the model an activation is read or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interp import configs
from interp.checkpoints import LoadedModel
from interp.checkpoints.anatomy import KINDS, Tap, tap
from interp.errors import InputError


@dataclass(frozen=True)
class Site:
    """A place in the model; `resid_post` of layer i is `resid_pre` of layer i + 1.

    Attributes:
        kind: `resid_pre`, `attn_out`, `resid_mid`, `mlp_out` or `resid_post`. The outputs are what
            is added to the residual stream, so that `resid_pre + attn_out = resid_mid` and
            `resid_mid + mlp_out = resid_post`, whatever norms an architecture puts in between.
        layer: of the block, from 0.

    Raises:
        InputError: no such kind, or a layer below 0.
    """

    kind: str
    layer: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"site '{self.kind}.{self.layer}': unknown kind '{self.kind}'"
                f"{configs.nearest(self.kind, KINDS)}; there are {', '.join(KINDS)}"
            )
        if self.layer < 0:
            raise InputError(f"site '{self.kind}.{self.layer}': layers count from 0")

    def __str__(self) -> str:
        return f"{self.kind}.{self.layer}"

    @property
    def depth(self) -> tuple[int, int]:
        """Sorts sites in the order in which a forward reaches them."""
        return self.layer, KINDS.index(self.kind)

    @classmethod
    def parse(cls, text: str) -> Site:
        """The site that `str` wrote, such as "resid_post.3".

        Raises:
            InputError: the text names no site.
        """
        kind, dot, layer = text.rpartition(".")
        if not dot or not layer.isdecimal():
            raise InputError(f"site '{text}': expected a kind and a layer, such as 'resid_post.3'")
        return cls(kind, int(layer))


def sites_of(
    loaded: LoadedModel, wanted: Sequence[Site | str], layers: Sequence[int] | None = None
) -> list[Site]:
    """Sites in full: a kind without a layer ("resid_post") means that kind at every layer given.

    Args:
        loaded: the model.
        wanted: sites, their names ("resid_post.3") or kinds.
        layers: of the kinds named without a layer; None is all layers of the model.

    Raises:
        InputError: no sites, one of them twice, or one that the model does not have.
    """
    sites: list[Site] = []
    for entry in wanted:
        if isinstance(entry, str) and "." not in entry:
            sites += [
                Site(entry, n) for n in (range(loaded.n_layers) if layers is None else layers)
            ]
        else:
            sites.append(Site.parse(entry) if isinstance(entry, str) else entry)
    if not sites:
        raise InputError("no sites; expected at least one, such as 'resid_post.3' or 'resid_post'")
    for site in sites:
        if sites.count(site) > 1:
            raise InputError(f"the site '{site}' is asked for twice")
        tap_of(loaded, site)
    return sites


def tap_of(loaded: LoadedModel, site: Site) -> Tap:
    """Where the site's activation passes in this model.

    Raises:
        InputError: the model has no such layer, or its blocks no such place; the message says
            what there is.
    """
    name = loaded.checkpoint.name
    if site.layer >= loaded.n_layers:
        raise InputError(f"{site}: {name} has layers 0 to {loaded.n_layers - 1}")
    block = loaded.blocks[site.layer]
    found = tap(block, site.kind)
    if found is None:
        there = ", ".join(kind for kind in KINDS if tap(block, kind))
        raise InputError(
            f"{site}: the blocks of {name} ({type(block).__name__}) have no such place; there are "
            f"{there}"
        )
    return found
