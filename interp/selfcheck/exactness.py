"""Are the activations that are read those of the model, whatever the batch they stand in?"""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import Tensor

from interp.activations import Site
from interp.activations.backends import open_backend
from interp.checkpoints import LoadedModel
from interp.checkpoints.anatomy import KINDS
from interp.interventions import Add, intervene
from interp.prompts import Encoded, encode
from interp.selfcheck.line import Line

BOUNDS = {torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Most that two ways to the same activation may differ, as a share of the largest activation there.

Float32 is the exactness this project promises; the others are a few times what rounding at every
block was measured to give (`bench/README.md`).
"""

Read = dict[Site, Tensor]
"""Whole activations (b, t, d) of a batch at each site."""


def read(loaded: LoadedModel, sites: list[Site], encoded: Encoded) -> Read:
    """What capture's own default backend reads."""
    taken: Read = {}
    backend = open_backend("hooks", loaded, sites)
    backend.run(encoded, lambda site, acts_BTD: taken.update({site: acts_BTD.float().cpu()}))
    return taken


def hidden_states(loaded: LoadedModel, texts: list[str], alone: list[Read]) -> Line:
    """The stream is what transformers calls hidden states; the last is behind the final norm."""
    name = "resid_post = hidden_states[i + 1]"
    hidden, behind = _hidden(loaded, encode(texts[:1], loaded.tokenizer).to(loaded.device))
    if len(hidden) != loaded.n_layers + 1:
        return Line(name, False, f"{len(hidden)} hidden states for {loaded.n_layers} blocks")
    posts = [alone[0][Site("resid_post", layer)] for layer in range(loaded.n_layers)]
    errors = [_apart(h, post, post) for h, post in zip(hidden[1:-1], posts[:-1], strict=True)]
    # The last one is the output of some module whose input is the last block's output.
    before_norm = {module: _apart(given, posts[-1], posts[-1]) for module, given in behind.items()}
    errors.append(min([*before_norm.values(), _apart(hidden[-1], posts[-1], posts[-1])]))
    return _measured(
        loaded,
        name,
        max(errors),
        f"at every layer; the last is behind '{next(iter(behind), 'nothing')}'",
        "the blocks found are not those whose outputs transformers calls hidden states",
    )


def sums(loaded: LoadedModel, alone: list[Read]) -> Line:
    """What attention and MLP are read to add is what the stream changes by."""
    error = 0.0
    for taken in alone:
        for layer in range(loaded.n_layers):
            pre, attn, mid, mlp, post = (taken.get(Site(kind, layer)) for kind in KINDS)
            if pre is None or attn is None or post is None:
                continue
            if mid is not None:
                error = max(error, _apart(pre + attn, mid, post))
            if mlp is not None:
                error = max(error, _apart(pre + attn + mlp, post, post))
    return _measured(
        loaded,
        "attention and MLP add up to the stream",
        error,
        "at every layer",
        "a norm, gate or multiplier stands between a part and the stream; do not read attn_out, "
        "resid_mid or mlp_out of this model",
    )


def padding(
    loaded: LoadedModel, texts: list[str], alone: list[Read], side: Literal["left", "right"]
) -> Line:
    """Every token of every prompt in a padded batch is as in a forward by itself."""
    encoded = encode(texts, loaded.tokenizer, side=side)
    error = 0.0
    for site, acts_BTD in read(loaded, list(alone[0]), encoded).items():
        for row, taken in enumerate(alone):
            real_T = encoded.attention_mask_BT[row].bool()
            scale = taken[Site("resid_post", site.layer)]
            error = max(error, _apart(acts_BTD[row, real_T], taken[site][0], scale))
    return _measured(
        loaded,
        f"padded {side} = alone",
        error,
        "every token, every site",
        f"padding on the {side} changes what the model computes; it does not honour its attention "
        "mask or its position ids",
    )


def early_stop(loaded: LoadedModel, texts: list[str]) -> Line:
    """No block above the deepest site runs."""
    layer = (loaded.n_layers - 1) // 2
    ran: list[int] = []
    with ExitStack() as hooks:
        for number, block in enumerate(loaded.blocks):
            handle = block.register_forward_pre_hook(lambda *_, number=number: ran.append(number))
            hooks.callback(handle.remove)
        read(loaded, [Site("resid_post", layer)], encode(texts, loaded.tokenizer))
    found = f"{len(ran)} of {loaded.n_layers} blocks run for layer {layer}"
    return Line("a forward ends at the deepest site", ran == list(range(layer + 1)), found)


def zero_steering(loaded: LoadedModel, texts: list[str]) -> Line:
    """Adding nothing to every block's output leaves the logits as they are, bit for bit."""
    encoded = encode(texts, loaded.tokenizer, side="left").to(loaded.device)
    inputs = {
        "input_ids": encoded.input_ids_BT,
        "attention_mask": encoded.attention_mask_BT,
        "position_ids": encoded.position_ids_BT,
    }
    nothing_D = torch.zeros(loaded.d_model)
    edits = [Add(Site("resid_post", layer), nothing_D, 1.0) for layer in range(loaded.n_layers)]
    with torch.inference_mode():
        before = loaded.model(**inputs).logits
        with intervene(loaded, edits, encoded.attention_mask_BT.bool()):
            after = loaded.model(**inputs).logits
    same = torch.equal(before, after)
    result = "logits are equal bit for bit" if same else "logits differ"
    error = 0.0 if same else _apart(after, before, before)
    return Line("steering by zero changes nothing", same, result, error, 0.0)


def _hidden(loaded: LoadedModel, encoded: Encoded) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Transformers' hidden states, and the inputs of the modules that put out the last of them."""
    seen: list[tuple[str, Tensor, Tensor]] = []

    def note(name: str, args: Any, output: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            seen.append((name, args[0], output))

    with ExitStack() as hooks, torch.inference_mode():
        for name, child in loaded.model.base_model.named_children():
            handle = child.register_forward_hook(
                lambda _, args, output, name=name: note(name, args, output)
            )
            hooks.callback(handle.remove)
        hidden = loaded.model.base_model(
            input_ids=encoded.input_ids_BT, output_hidden_states=True, use_cache=False
        ).hidden_states
    last = hidden[-1]
    behind = {
        name: given.float().cpu()
        for name, given, output in seen
        if output.shape == last.shape and torch.equal(output.to(last.device), last)
    }
    return tuple(state.float().cpu() for state in hidden), behind


def _apart(found: Tensor, expected: Tensor, scale: Tensor) -> float:
    """Largest difference as a share of the scale's largest number; NaN is as far as can be."""
    share = float((found - expected).abs().max() / scale.abs().max())
    return math.inf if math.isnan(share) else share


def _measured(loaded: LoadedModel, name: str, error: float, result: str, otherwise: str) -> Line:
    bound = BOUNDS[loaded.model.dtype]
    return Line(name, error <= bound, result if error <= bound else otherwise, error, bound)
