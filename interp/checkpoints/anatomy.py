"""Where a decoder's activations can be read: its blocks, and the modules inside of a block.

Architectures name and order the same parts differently. What is found here is what the block adds
to the residual stream, so that on every architecture `resid_pre + attn_out = resid_mid` and
`resid_mid + mlp_out = resid_post`; the self-check measures both equations on the model at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from interp.errors import InputError

KINDS = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
"""The residual stream as a block gets it, what attention adds to it, the stream between attention
and MLP, what the MLP adds, and the stream as it leaves the block; in the order of a forward."""

_BLOCK_LISTS = ("layers", "h")
_ATTENTION = ("self_attn", "attention", "attn", "self_attention")
_MLP = ("mlp", "block_sparse_moe", "feed_forward")
# Norms between a part and the stream it is added to (Gemma 2 and 3, OLMo 2 and 3; GLM 4).
_AFTER_ATTENTION = ("post_self_attn_layernorm", "post_attention_layernorm")
_AFTER_MLP = ("post_mlp_layernorm", "post_feedforward_layernorm")
# Norms whose input is the stream between attention and MLP.
_BEFORE_MLP = ("pre_feedforward_layernorm", "post_attention_layernorm", "ln_2")


@dataclass(frozen=True)
class Tap:
    """The input or output of a module, where an activation of shape (b, t, d) passes by."""

    module: nn.Module
    end: Literal["input", "output"]

    def watch(self, see: Callable[[Tensor], None]) -> RemovableHandle:
        """Calls `see` with the activation in every forward, until the handle is removed."""
        if self.end == "input":

            def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                see(args[0] if args else kwargs["hidden_states"])

            return self.module.register_forward_pre_hook(before, with_kwargs=True)

        def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            see(stream(output))

        return self.module.register_forward_hook(after)


def stream(output: Any) -> Tensor:
    """The activation in a module's output: alone, or first in a tuple, by architecture."""
    return output if isinstance(output, Tensor) else output[0]


def block_list(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's blocks, under whatever name its architecture gives them.

    Raises:
        InputError: the architecture has no such list.
    """
    for name in _BLOCK_LISTS:
        blocks = getattr(model.base_model, name, None)
        if isinstance(blocks, nn.ModuleList):
            return blocks
    raise InputError(
        f"{type(model).__name__}: no list of decoder blocks ({' or '.join(_BLOCK_LISTS)}) in its "
        "base model, so its residual stream cannot be read"
    )


def tap(block: nn.Module, kind: str) -> Tap | None:
    """Where the activation of a kind (one of `KINDS`) passes; None if the block has no such place.

    A block that adds attention and MLP in parallel (GPT-NeoX) has no stream between the two.
    """
    return {
        "resid_pre": Tap(block, "input"),
        "attn_out": _attn_out(block),
        "resid_mid": _resid_mid(block),
        "mlp_out": _mlp_out(block),
        "resid_post": Tap(block, "output"),
    }[kind]


def _attn_out(block: nn.Module) -> Tap | None:
    normed = _child(block, _AFTER_ATTENTION) if _child(block, _AFTER_MLP) else None
    return _output(normed or _child(block, _ATTENTION))


def _mlp_out(block: nn.Module) -> Tap | None:
    return _output(_child(block, _AFTER_MLP) or _child(block, _MLP))


def _resid_mid(block: nn.Module) -> Tap | None:
    if getattr(block, "use_parallel_residual", False):
        return None
    if _child(block, _AFTER_MLP) and not _child(block, ("input_layernorm",)):
        between = _child(block, _MLP)  # norms only after attention and MLP (OLMo 2)
    else:
        between = _child(block, _BEFORE_MLP)
    return Tap(between, "input") if between else None


def _output(module: nn.Module | None) -> Tap | None:
    return Tap(module, "output") if module else None


def _child(block: nn.Module, names: tuple[str, ...]) -> nn.Module | None:
    children = dict(block.named_children())
    return next((children[name] for name in names if name in children), None)
