"""Activations with a known answer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def tensor(acts: np.ndarray) -> Tensor:
    """As captured: float32."""
    return torch.tensor(acts, dtype=torch.float32)


def linear(n: int, d: int, delta: float, seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """Unit normal noise, with the classes `delta` apart along a random direction."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 2 == 0)
    direction = rng.normal(size=d)
    direction /= np.linalg.norm(direction)
    return tensor(rng.normal(size=(n, d)) + delta * np.outer(labels, direction)), labels


def exclusive_or(n: int, d: int, gap: float, seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """Two hidden bits along random directions; the label is whether they differ."""
    rng = np.random.default_rng(seed)
    bits = rng.permutation(np.array([(0, 0), (0, 1), (1, 0), (1, 1)] * (n // 4)))
    noise = rng.normal(size=(len(bits), d))
    noise[:, :2] += gap * (2 * bits - 1)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return tensor(noise @ rotation), bits[:, 0] != bits[:, 1]
