"""Applies edits at exactly the declared positions of one batch, whatever way it is run."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from interp.activations import Site
from interp.activations.sites import tap_of
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.interventions.edits import Edit, Patch


@contextmanager
def intervene(
    loaded: LoadedModel,
    edits: Sequence[Edit],
    mask_BT: Shaped[Tensor, "b t"],
    *,
    generated: bool = False,
) -> Iterator[Intervention]:
    """Edits the residual stream at the marked positions of every forward inside the context.

    The columns of the mask are the columns of the padded prompts. A forward may bring them all at
    once, in chunks, or again and again (generation without a cache): the number of columns already
    in the key-value cache says which ones it holds. Edits of one site apply in the order given;
    contexts may be nested, the outer one edits first. Edits are computed in at least float32 and
    rounded once to the model's dtype.

    Args:
        loaded: the model; it is left as it was, also after an exception.
        edits: what to write, each at its site.
        mask_BT: bool, True at the positions to edit, one row per row of the batch. Beams and
            `num_return_sequences=k` repeat each prompt k times in a row, so repeat the mask
            likewise: `mask_BT.repeat_interleave(k, 0)`.
        generated: whether to edit every column after the prompts as well. This is for left-padded
            prompts; right-padded, the first generated tokens of short rows are prompt columns.

    Yields:
        The intervention, whose `hits` say which positions were really written.

    Raises:
        InputError: an edit or the mask does not fit the model or the batch, a marked position is
            padding, or (on leaving) the forwards never reached a marked position.
    """
    intervention = Intervention(loaded, edits, mask_BT, generated)
    handles: list[RemovableHandle] = []
    try:
        for handle in intervention.install():
            handles.append(handle)
        yield intervention
    finally:
        for handle in handles:
            handle.remove()
    intervention.check_complete()


class Intervention:
    """The edits in force within an `intervene` context, and where they were written.

    Args:
        loaded: the model.
        edits: what is written, applied in this order.
        mask_BT: True at the prompt positions that are edited.
        generated: whether generated positions are edited too.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        edits: Sequence[Edit],
        mask_BT: Shaped[Tensor, "b t"],
        generated: bool,
    ) -> None:
        _check_mask(mask_BT)
        for edit in edits:
            _check_edit(edit, loaded, mask_BT, generated)
        self._loaded = loaded
        # Kept on the CPU: which positions a forward holds is then known without a device sync.
        self._mask_BT = mask_BT.cpu()
        self._generated = generated
        self._edits: dict[Site, list[Edit]] = {}
        for edit in edits:
            self._edits.setdefault(edit.site, []).append(edit)
        self._written: dict[Site, Tensor] = {}
        self._first_column = 0
        self._padding_checked = False

    @property
    def hits(self) -> Bool[Tensor, "b t"]:
        """True at the positions written so far, over prompt and edited generated columns."""
        hits_BT = torch.zeros_like(self._mask_BT)
        for written_BT in self._written.values():
            hits_BT = _widen(hits_BT, written_BT.shape[1]) | _widen(written_BT, hits_BT.shape[1])
        return hits_BT

    def install(self) -> Iterator[RemovableHandle]:
        """The hooks, registered one at a time, so that each can be removed if the next fails."""
        base = self._loaded.model.base_model
        signature = inspect.signature(base.forward)

        def enter_forward(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = signature.bind_partial(*args, **kwargs).arguments
            cache = given.get("past_key_values")
            # Counts columns even where a sliding window has dropped them from the cache.
            self._first_column = int(cache.get_seq_length()) if cache is not None else 0
            self._check_padding(given.get("attention_mask"))

        yield base.register_forward_pre_hook(enter_forward, with_kwargs=True)
        for site in self._edits:
            tap = tap_of(self._loaded, site)
            register = self._edit_input if tap.end == "input" else self._edit_output
            yield register(site, tap.module)

    def check_complete(self) -> None:
        """Refuses to end quietly when a marked position never came by.

        Raises:
            InputError: a marked position was never written.
        """
        for site, written_BT in self._written.items():
            missed_BT = self._mask_BT & ~written_BT[:, : self._mask_BT.shape[1]]
            if missed_BT.any():
                row, column = missed_BT.nonzero()[0].tolist()
                raise InputError(
                    f"intervene at {site}: row {row}, column {column} is marked and no forward "
                    "held it; the mask is over the columns of the padded prompts that are run."
                )

    def _edit_input(self, site: Site, module: nn.Module) -> RemovableHandle:
        def edit_input(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (self._edited(site, args[0]), *args[1:]), kwargs
            return args, kwargs | {"hidden_states": self._edited(site, kwargs["hidden_states"])}

        return module.register_forward_pre_hook(edit_input, with_kwargs=True)

    def _edit_output(self, site: Site, module: nn.Module) -> RemovableHandle:
        def edit_output(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
            # Modules return the activation alone or first in a tuple, by architecture.
            if isinstance(output, Tensor):
                return self._edited(site, output)
            return self._edited(site, output[0]), *output[1:]

        return module.register_forward_hook(edit_output)

    def _edited(self, site: Site, resid_BTD: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        window_BT = self._window(site, resid_BTD)
        row_N, column_N = window_BT.nonzero(as_tuple=True)
        if not len(row_N):
            return resid_BTD
        row_N, column_N = row_N.to(resid_BTD.device), column_N.to(resid_BTD.device)
        acts_ND = resid_BTD[row_N, column_N]
        acts_ND = acts_ND.to(torch.promote_types(acts_ND.dtype, torch.float32))
        for edit in self._edits[site]:
            acts_ND = edit.apply(acts_ND, row_N, column_N + self._first_column)
        edited_BTD = resid_BTD.clone()
        edited_BTD[row_N, column_N] = acts_ND.to(resid_BTD.dtype)
        return edited_BTD

    def _window(self, site: Site, resid_BTD: Tensor) -> Bool[Tensor, "b t"]:
        """The part of the mask that this forward holds, noted down as written."""
        n_rows, width = resid_BTD.shape[:2]
        if n_rows != len(self._mask_BT):
            raise InputError(
                f"intervene at {site}: a forward of {n_rows} rows under a mask of "
                f"{len(self._mask_BT)}; expected one mask row per row of the batch (with beams or "
                "num_return_sequences=k: mask.repeat_interleave(k, 0))."
            )
        start, stop = self._first_column, self._first_column + width
        window_BT = _widen(self._mask_BT[:, start:stop], width, fill=self._generated)
        written_BT = self._written.get(site, torch.zeros_like(self._mask_BT))
        if window_BT.any():
            written_BT = _widen(written_BT, stop if self._generated else 0).clone()
            written_BT[:, start:stop] |= window_BT[:, : written_BT.shape[1] - start]
        self._written[site] = written_BT
        return window_BT

    def _check_padding(self, attention_mask: Any) -> None:
        # Once is enough, and the comparison waits for the device. Generation may pass no mask
        # (nothing is padded) or one already expanded for the attention layers.
        if self._padding_checked:
            return
        self._padding_checked = True
        if not isinstance(attention_mask, Tensor) or attention_mask.ndim != 2:
            return
        real_BT = attention_mask.cpu().bool()
        if len(real_BT) != len(self._mask_BT):
            return  # the block's hook says so with the number of rows
        width = min(real_BT.shape[1], self._mask_BT.shape[1])
        on_padding_BT = self._mask_BT[:, :width] & ~real_BT[:, :width]
        if on_padding_BT.any():
            row, column = on_padding_BT.nonzero()[0].tolist()
            raise InputError(
                f"intervene: row {row}, column {column} is marked but padding; build the mask for "
                "the side this batch is padded on."
            )


def _widen(mask_BT: Tensor, width: int, *, fill: bool = False) -> Tensor:
    """The mask with columns of `fill` appended up to the width; unchanged if it is that wide."""
    return nn.functional.pad(mask_BT, (0, max(width - mask_BT.shape[1], 0)), value=fill)


def _check_mask(mask_BT: Tensor) -> None:
    if mask_BT.dtype != torch.bool or mask_BT.ndim != 2:
        raise InputError(
            f"intervene: a mask of {mask_BT.dtype} and shape {tuple(mask_BT.shape)}; expected "
            "torch.bool of shape (batch, padded prompt columns)."
        )


def _check_edit(edit: Edit, loaded: LoadedModel, mask_BT: Tensor, generated: bool) -> None:
    tap_of(loaded, edit.site)
    if edit.site.kind == "resid_mid":
        raise InputError(
            f"intervene at {edit.site}: this site can only be read, since what follows it reads a "
            "copy; add at attn_out of the same layer, which adds to resid_mid."
        )
    edit.check(loaded.d_model, *mask_BT.shape)
    if generated and isinstance(edit, Patch) and edit.values.ndim == 3:
        raise InputError(
            f"Patch at {edit.site}: one value per prompt column leaves none for generated columns; "
            "pass one value per row, or generated=False."
        )
