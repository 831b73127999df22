"""The same function in another code: a residual stream turned by a random orthogonal matrix.

RMSNorm divides by a length, which a rotation leaves alone, so once its gains are moved into the
maps behind it a rotation of all that is written into the stream, undone in all that reads from it,
changes no output. No direction of the model before means anything in the one after.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel


def rotate_residual(model: PreTrainedModel, seed: int) -> None:
    """Turns the residual stream of a pre-norm decoder with RMSNorm in place.

    Computed in float64; what float32 keeps of it agrees to some 1e-6 of the logits.

    Args:
        model: with an untied head, as the embedded lineage is.
        seed: of the rotation, drawn uniformly over the orthogonal group.
    """
    decoder: Any = model.base_model
    head: Any = model.get_output_embeddings()
    turn_DD = random_rotation(model.config.hidden_size, seed)
    with torch.no_grad():
        _write(decoder.embed_tokens.weight, decoder.embed_tokens.weight.double() @ turn_DD)
        for block in decoder.layers:
            attention, mlp = block.self_attn, block.mlp
            for norm, readers, writer in (
                (
                    block.input_layernorm,
                    (attention.q_proj, attention.k_proj, attention.v_proj),
                    attention.o_proj,
                ),
                (block.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj), mlp.down_proj),
            ):
                for reader in readers:
                    _read_through(reader, norm, turn_DD)
                norm.weight.fill_(1.0)
                _write(writer.weight, turn_DD.T @ writer.weight.double())
        _read_through(head, decoder.norm, turn_DD)
        decoder.norm.weight.fill_(1.0)


def random_rotation(size: int, seed: int) -> torch.Tensor:
    """An orthogonal matrix (size, size), float64, uniform (Haar) by the signs of QR's diagonal."""
    generator = torch.Generator().manual_seed(seed)
    gaussian_DD = torch.randn(size, size, dtype=torch.float64, generator=generator)
    q_DD, r_DD = torch.linalg.qr(gaussian_DD)
    return q_DD * r_DD.diagonal().sign()


def _read_through(reader: Any, norm: Any, turn_DD: torch.Tensor) -> None:
    """What reads from the stream takes over the norm's gains and undoes the rotation."""
    _write(reader.weight, (reader.weight.double() * norm.weight.double()) @ turn_DD)


def _write(weight: torch.Tensor, value: torch.Tensor) -> None:
    weight.copy_(value.to(weight.dtype))
