"""Sites: where in the model an activation is read or written."""

from __future__ import annotations

from dataclasses import dataclass

from interp import configs
from interp.errors import InputError

KINDS = ("resid_pre", "resid_post")
"""The residual stream as a block gets it, and as it leaves the block."""


@dataclass(frozen=True)
class Site:
    """A place in the model; `resid_post` of layer i is `resid_pre` of layer i + 1.

    Attributes:
        kind: one of `KINDS`.
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
