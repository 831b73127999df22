"""A stand-in for several devices on a machine that has only its CPU.

Tensors carry the name of a device, which `.device` says and `.to` changes, and any function that is
given tensors of two devices raises, as CUDA does. Numbers are computed on the CPU, so that results
can be compared with those of the model in one piece. Blocks are placed as accelerate places them: a
module's `forward` is replaced by one that brings its inputs to the module's device first, and the
model's own by one that brings its output back to where its input was.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree

from interp.checkpoints import LoadedModel

CPU = torch.device("cpu")
_DEVICE_OF = torch.Tensor.device.__get__
# Given tensors of another device on purpose: copies between devices.
_COPIES = {Tensor.copy_, Tensor.__setitem__, Tensor.__deepcopy__}
_INDEXING = {Tensor.__getitem__, Tensor.__setitem__}
_MOVES = {Tensor.to, Tensor.cpu, Tensor.cuda}


_WRITTEN: dict[int, torch.device] = {}
"""Of memory, by address: for parameters, which are made of tensors in a way that no mode sees."""


def device_of(tensor: Tensor) -> torch.device:
    there = CPU
    if isinstance(tensor, nn.Parameter):
        there = _WRITTEN.get(tensor.untyped_storage().data_ptr(), CPU)
    return getattr(tensor, "_stand_in", there)


def put(tensor: Tensor, device: torch.device | str) -> Tensor:
    tensor._stand_in = torch.device(device)
    _WRITTEN[tensor.untyped_storage().data_ptr()] = tensor._stand_in
    return tensor


class Devices(TorchFunctionMode):
    """In force, tensors of two devices do not meet."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func == _DEVICE_OF:
            return device_of(args[0])
        if func in _MOVES:
            return self._moved(func, args, kwargs)
        wanted = kwargs.pop("device", None)
        if wanted is not None and torch.device(wanted).type == "cpu":
            wanted = CPU
        tensors = [leaf for leaf in tree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        result = func(*args, **kwargs)
        device = self._common(func, args, tensors) if wanted is None else torch.device(wanted)
        for leaf in tree.tree_leaves(result):
            if isinstance(leaf, Tensor):
                put(leaf, device)
        return result

    def _moved(self, func, args, kwargs):
        tensor, *rest = args
        device = CPU if func is Tensor.cpu else kwargs.pop("device", None)
        kept = []
        for value in rest:
            if isinstance(value, Tensor):
                device, value = device_of(value), value.dtype
            elif isinstance(value, (torch.device, str)):
                device, value = torch.device(value), None
            kept += [] if value is None else [value]
        source = device_of(tensor)
        target = source if device is None else torch.device(device)
        result = Tensor.to(tensor, *kept, **kwargs) if kept or kwargs else tensor
        if target != source and result is tensor:
            result = tensor.clone() if tensor.requires_grad else tensor.detach().clone()
        return put(result, target)

    def _common(self, func: Any, args: Any, tensors: Iterable[Tensor]) -> torch.device:
        name = getattr(func, "__name__", "")
        # Copies; and what is called for many tensors at once, on CUDA once for each device.
        if func in _COPIES or name.startswith(("_foreach", "_fused")):
            return device_of(tree.tree_leaves(args)[0])
        if func in _INDEXING:  # indices may stand on the CPU
            index = [leaf for leaf in tree.tree_leaves(args[1:]) if isinstance(leaf, Tensor)]
            allowed = {CPU, device_of(args[0])}
            found = {device_of(leaf) for leaf in index}
            if not found <= allowed:
                raise RuntimeError(f"{func.__name__}: indices on {found}, tensor on {allowed}")
            return device_of(args[0])
        # A number on the CPU goes with anything.
        found = {device_of(leaf) for leaf in tensors if leaf.ndim or device_of(leaf) != CPU}
        if len(found) > 1:
            raise RuntimeError(f"{func}: tensors on {sorted(map(str, found))}")
        return next(iter(found), CPU)


def place(loaded: LoadedModel, cut: int) -> LoadedModel:
    """The embedding and the blocks below `cut` on cuda:0, all behind them on cuda:1."""
    model: Any = loaded.model
    lower = {id(block) for block in loaded.blocks[:cut]}
    base = model.base_model
    first = {"embed_tokens", "embed_in", "wte", "wpe", "drop", "rotary_emb"}
    for name, module in [*base.named_children(), ("head", model.get_output_embeddings())]:
        if isinstance(module, nn.ModuleList):
            for block in module:
                _align(block, "cuda:0" if id(block) in lower else "cuda:1")
        else:
            _align(module, "cuda:0" if name in first else "cuda:1")
    _return(model)
    return loaded


def _align(module: nn.Module, device: str) -> None:
    for tensor in (*module.parameters(), *module.buffers()):
        put(tensor, device)
    _replace(module, functools.partial(_on, device))


def _return(model: nn.Module) -> None:
    _replace(model, _back)


def _replace(module: nn.Module, forward: Any) -> None:
    """In accelerate's way, so that a deep copy of the module calls its own."""
    module._old_forward = module.forward
    module.forward = functools.update_wrapper(
        functools.partial(forward, module), module._old_forward
    )


def _on(device: str, module: Any, *args: Any, **kwargs: Any) -> Any:
    args, kwargs = tree.tree_map_only(Tensor, lambda t: t.to(device), (args, kwargs))
    return module._old_forward(*args, **kwargs)


def _back(module: Any, *args: Any, **kwargs: Any) -> Any:
    ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
    output = module._old_forward(*args, **kwargs)
    output.logits = output.logits.to(ids.device)
    return output


@contextmanager
def split(loaded: LoadedModel, cut: int = 2) -> Iterator[LoadedModel]:
    """The model in two pieces; everything inside of the block keeps devices apart."""
    place(loaded, cut)
    with Devices():
        yield loaded
