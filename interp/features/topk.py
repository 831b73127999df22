"""TopK and BatchTopK training steps that cost what their active latents cost.

Subclasses of SAELens' own, for its `SAETrainer`: the same configs, losses, files and parameters.
"""

from __future__ import annotations

from typing import Any

import torch
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from interp.errors import InputError
from interp.features.sparse_step import Entries, SparseAutoencode, batch_top_k, top_k


class SparseTopKTrainingSAE(TopKTrainingSAE):
    """SAELens' TopK (Gao et al. 2024, arXiv 2406.04093), its training step by active latents.

    Hook points are not called within a step; encoding and decoding outside of it are SAELens'.

    Raises:
        InputError: another dtype than float32 and float64, or activations normalised row by row.
    """

    def __init__(self, cfg: TopKTrainingSAEConfig, use_error_term: bool = False) -> None:
        super().__init__(cfg, use_error_term)
        if self.dtype not in (torch.float32, torch.float64):
            raise InputError(f"sparse step: dtype {cfg.dtype}; expected float32 or float64")
        if cfg.normalize_activations in ("constant_norm_rescale", "layer_norm"):
            raise InputError(
                f"sparse step: normalize_activations={cfg.normalize_activations}; expected none, "
                "expected_average_only_in or covariance_whitening"
            )

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """One step's loss; `feature_acts` of the output is a sparse tensor [N, M]."""
        with torch.autocast(self.device.type, enabled=False):
            return self._step(step_input)

    def _choose(self, score_NM: Tensor) -> Entries:
        return top_k(score_NM, self.cfg.k)

    def _step(self, step_input: TrainStepInput) -> TrainStepOutput:
        acts_ND = step_input.sae_in.to(self.dtype)
        b_in = self.b_dec * self.cfg.apply_b_dec_to_input
        norm_M = torch.ones_like(self.b_enc)
        with torch.no_grad():
            if self.cfg.rescale_acts_by_decoder_norm:
                norm_M = self.W_dec.norm(dim=-1)
            # Norms go into the weights: [D, M] to scale instead of [N, M].
            score_NM = torch.addmm(self.b_enc * norm_M, acts_ND - b_in, self.W_enc * norm_M)
            entries = self._choose(score_NM)
            score_E = score_NM[entries.row, entries.index].relu()
            value_E = score_E / norm_M[entries.index]
        # Norms cancel between encoder and decoder, so no gradient goes through them.
        written_ND = SparseAutoencode.apply(
            acts_ND, b_in, self.W_enc, self.b_enc, self.W_dec, value_E, entries
        )
        out_ND = written_ND + self.b_dec
        losses = {"mse_loss": (out_ND - acts_ND).pow(2).sum(-1).mean()}
        dead_loss = self._dead_loss(
            acts_ND - b_in, (acts_ND - out_ND).detach(), score_NM, step_input.dead_neuron_mask
        )
        if dead_loss is not None:
            losses["auxiliary_reconstruction_loss"] = dead_loss
        return TrainStepOutput(
            sae_in=step_input.sae_in,
            sae_out=out_ND,
            feature_acts=torch.sparse_coo_tensor(
                torch.stack([entries.row, entries.index]),
                score_E,
                score_NM.shape,
                is_coalesced=True,
                check_invariants=False,
            ),
            hidden_pre=score_NM,
            loss=torch.stack(list(losses.values())).sum(),
            losses=losses,
        )

    def _dead_loss(
        self,
        centred_ND: Tensor,
        residual_ND: Tensor,
        score_NM: Tensor,
        dead_M: Tensor | None,
    ) -> Tensor | None:
        """What the best dead latents of each row leave of the residual; None where none is dead."""
        if dead_M is None or not self.cfg.aux_loss_coefficient or not bool(dead_M.any()):
            return None
        dead = dead_M.nonzero()[:, 0]
        wanted = centred_ND.shape[1] // 2
        k = min(wanted, len(dead))
        chosen_NK = score_NM[:, dead].topk(k, dim=1, sorted=False).indices
        # Only dead columns, and these in full: half the width of them is hardly sparse.
        value_NX = torch.addmm(self.b_enc[dead], centred_ND, self.W_enc[:, dead])
        kept_NX = torch.zeros_like(value_NX).scatter(1, chosen_NK, value_NX.gather(1, chosen_NK))
        left = (kept_NX @ self.W_dec[dead] - residual_ND).pow(2).sum(-1).mean()
        return self.cfg.aux_loss_coefficient * min(len(dead) / wanted, 1.0) * left


class SparseBatchTopKTrainingSAE(SparseTopKTrainingSAE, BatchTopKTrainingSAE):
    """SAELens' BatchTopK (Bussmann et al. 2024, arXiv 2412.06410), likewise."""

    cfg: BatchTopKTrainingSAEConfig

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """One step's loss; takes note of the smallest value that is kept."""
        output = SparseTopKTrainingSAE.training_forward_pass(self, step_input)
        self.update_topk_threshold(output.feature_acts.values())
        output.metrics["topk_threshold"] = self.topk_threshold
        return output

    def _choose(self, score_NM: Tensor) -> Entries:
        return batch_top_k(score_NM, int(self.cfg.k * len(score_NM)))


SPARSE: dict[str, tuple[type[TopKTrainingSAE], type[TopKTrainingSAEConfig]]] = {
    "topk": (SparseTopKTrainingSAE, TopKTrainingSAEConfig),
    "batchtopk": (SparseBatchTopKTrainingSAE, BatchTopKTrainingSAEConfig),
}
"""Class and config by the name that SAELens gives the architecture."""


def fuse_optimizer(trainer: SAETrainer[Any, Any]) -> None:
    """Makes a trainer's Adam update all parameters in one pass; same numbers, a third of the time.

    Only before its first step.
    """
    for group in trainer.optimizer.param_groups:
        group["fused"] = True
