"""Training weights of a narrow dtype by way of float32 copies, in which small steps add up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Masters:
    """What an optimizer steps in the place of parameters: themselves if float32, else copies.

    A bfloat16 number of size 0.3 has its next neighbour 0.002 away. An optimizer's step of 5e-4
    would round to nothing, or to four times itself, so that a model in bfloat16 would relearn
    otherwise than the same model in float32. Mixed precision after Micikevicius et al., arXiv
    1710.03740, section 3.1; without loss scaling, which bfloat16's range makes unneeded.

    Args:
        trained: parameters of the model; each copy is on its parameter's device.
    """

    def __init__(self, trained: Sequence[nn.Parameter]) -> None:
        self._trained = list(trained)
        self.parameters = [
            parameter
            if parameter.dtype == torch.float32
            else nn.Parameter(parameter.detach().float())
            for parameter in trained
        ]

    def forget_gradients(self) -> None:
        """Of parameters and copies."""
        for parameter in (*self._trained, *self.parameters):
            parameter.grad = None

    def take_gradients(self) -> None:
        """Hands the parameters' gradients to the copies."""
        for master, parameter in zip(self.parameters, self._trained, strict=True):
            if master is not parameter and parameter.grad is not None:
                master.grad, parameter.grad = parameter.grad.float(), None

    @torch.no_grad()
    def write_back(self) -> None:
        """Rounds the copies into the parameters."""
        for master, parameter in zip(self.parameters, self._trained, strict=True):
            if master is not parameter:
                parameter.copy_(master)
