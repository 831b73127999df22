"""A checkpoint (weights, tokenizer and chat template in a folder), and one that is in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from interp.checkpoints import files
from interp.checkpoints.anatomy import block_list
from interp.checkpoints.loading import load_model, load_tokenizer


@dataclass(frozen=True)
class Checkpoint:
    """A Hugging Face folder with `config.json`, safetensors weights and a fast tokenizer.

    Attributes:
        path: the folder.
        name: what tables and figures call it.
    """

    path: Path
    name: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over config, weights, tokenizer and chat template.

        Raises:
            InputError: the folder is no checkpoint.
        """
        return files.identity(self.path)

    @property
    def tokenizer_fingerprint(self) -> str:
        """SHA-256 (hex) over tokenizer and chat template."""
        return files.tokenizer_identity(self.path)

    @property
    def manifest(self) -> dict[str, Any]:
        """What `save_manifest` wrote; empty for a checkpoint without one.

        Raises:
            InputError: it is damaged.
        """
        return files.read_manifest(self.path)

    def load(self, device: str = "cpu", dtype: str = "float32") -> LoadedModel:
        """Loads weights and tokenizer, and checks that they are whole and fit each other.

        No code from the folder is run: weights are safetensors, and architectures that
        transformers itself doesn't have are refused.

        Args:
            device: "auto", "cpu", "cuda" or "cuda:N".
            dtype: "float32", "bfloat16" or "float16".

        Raises:
            InputError: the folder is no checkpoint, its weights are missing, cut short, pickled,
                incomplete or not those of its manifest, or the tokenizer knows more tokens than
                the model.
        """
        files.check_folder(self.path)
        files.check_weights(self.path)
        tokenizer = load_tokenizer(self.path)
        return LoadedModel(load_model(self.path, tokenizer, device, dtype), tokenizer, self)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in memory, with the tokenizer it reads by.

    Attributes:
        model: the unmodified transformers model, in eval mode.
        tokenizer: fast, with the checkpoint's chat template.
        checkpoint: where it was loaded from.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    checkpoint: Checkpoint

    @property
    def blocks(self) -> list[nn.Module]:
        """The decoder blocks, from the lowest."""
        return list(block_list(self.model))

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks."""
        return len(block_list(self.model))

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device
