"""Edits of a residual stream: add a vector, take a direction out, put values in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from interp.activations import Site
from interp.errors import InputError


@runtime_checkable
class Edit(Protocol):
    """What is written at one site."""

    @property
    def site(self) -> Site:
        """Where."""

    def apply(
        self, acts_ND: Float[Tensor, "n d"], row_N: Int[Tensor, " n"], column_N: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        """The edited activations of the chosen positions.

        Args:
            acts_ND: activations at the chosen positions, a row each.
            row_N: row of the batch of each.
            column_N: column of each, counted over prompt and generated tokens.
        """

    def check(self, d_model: int, n_rows: int, n_columns: int) -> None:
        """Refuses an edit that does not fit the model or the batch.

        Args:
            d_model: width of the stream.
            n_rows: rows of the batch.
            n_columns: columns of its prompts.

        Raises:
            InputError: it does not fit.
        """


@dataclass(frozen=True, eq=False)
class Add:
    """Steering: `h + coefficient * vector_D`.

    Attributes:
        site: where it is added.
        vector_D: shape (d_model,), of any length.
        coefficient: in units of the vector's length.
    """

    site: Site
    vector_D: Float[Tensor, " d"]
    coefficient: float

    def apply(
        self, acts_ND: Float[Tensor, "n d"], row_N: Int[Tensor, " n"], column_N: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        """The edited activations of the chosen positions."""
        return acts_ND + self.coefficient * self.vector_D.to(acts_ND)

    def check(self, d_model: int, n_rows: int, n_columns: int) -> None:
        """Refuses a vector that does not fit the model."""
        _check_vector(self.vector_D, d_model, f"Add at {self.site}")


@dataclass(frozen=True, eq=False)
class Ablate:
    """Directional ablation: `h - (h . v) v` with v the unit vector along `direction_D`.

    Arditi et al., arXiv 2406.11717, equation 4, at one site; they apply it at every site.

    Attributes:
        site: where the component is removed.
        direction_D: shape (d_model,), of any length but zero.
    """

    site: Site
    direction_D: Float[Tensor, " d"]

    def apply(
        self, acts_ND: Float[Tensor, "n d"], row_N: Int[Tensor, " n"], column_N: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        """The edited activations of the chosen positions."""
        direction_D = self.direction_D.to(acts_ND)
        unit_D = direction_D / direction_D.norm()
        return acts_ND - (acts_ND @ unit_D)[:, None] * unit_D

    def check(self, d_model: int, n_rows: int, n_columns: int) -> None:
        """Refuses a direction that does not fit the model or has no length."""
        _check_vector(self.direction_D, d_model, f"Ablate at {self.site}")
        if not self.direction_D.any():
            raise InputError(f"Ablate at {self.site}: the direction is zero; pass one to remove.")


@dataclass(frozen=True, eq=False)
class Patch:
    """Activation patching: `h` becomes the given value, usually read from another model.

    Attributes:
        site: where the values are written.
        values: shape (batch, d_model), one value per row of the batch, written at each of that
            row's positions; or (batch, columns, d_model), one value per padded prompt column.
    """

    site: Site
    values: Float[Tensor, "b d"] | Float[Tensor, "b t d"]

    def apply(
        self, acts_ND: Float[Tensor, "n d"], row_N: Int[Tensor, " n"], column_N: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        """The edited activations of the chosen positions."""
        values = self.values.to(acts_ND)
        return values[row_N] if values.ndim == 2 else values[row_N, column_N]

    def check(self, d_model: int, n_rows: int, n_columns: int) -> None:
        """Refuses values that do not fit the model and the mask."""
        expected = [(n_rows, d_model), (n_rows, n_columns, d_model)]
        if tuple(self.values.shape) not in expected:
            raise InputError(
                f"Patch at {self.site}: values of shape {tuple(self.values.shape)}; expected "
                f"{expected[0]}, one per row of the mask, or {expected[1]}, one per column."
            )
        _check_finite(self.values, f"Patch at {self.site}")


def _check_vector(vector_D: Tensor, d_model: int, name: str) -> None:
    if tuple(vector_D.shape) != (d_model,):
        raise InputError(
            f"{name}: a vector of shape {tuple(vector_D.shape)}; expected ({d_model},), the width "
            "of this model."
        )
    _check_finite(vector_D, name)


def _check_finite(values: Tensor, name: str) -> None:
    if not values.isfinite().all():
        raise InputError(f"{name}: NaN or Inf in the values; compute them again.")
