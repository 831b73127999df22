"""Sparse dictionaries: a training step, encoding and the search over latents, each against peers.

A step is what the peer's own trainer does with a batch that is already in memory: forward, loss,
backward, clipping where it clips, Adam, and the count of when each latent last fired. SAELens'
steps run in its `SAETrainer`, ours too; sparsify's trainer is bound to a language model, so its
loop is written out here (decoder rows brought to norm 1 before, gradients along them taken off
after, no auxiliary loss, `torch.optim.Adam` as where bitsandbytes is not installed). Beside the
defaults stand what SAELens does with its sparse activations and with the optimizer that ours has.

Activations are planted: a few of many directions a row, and noise.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import _common
import numpy as np
import torch
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from sklearn.metrics import roc_auc_score

from interp.features.topk import SPARSE, fuse_optimizer
from interp.stats import auroc_columns

D, K = 512, 32
N_BATCHES = 3
Step = Callable[[], object]


@dataclass(frozen=True)
class Size:
    """Of one run.

    Attributes:
        n_latents: M.
        batch: rows of a step, and of an encoding.
        rows: that latents are searched on.
        timed_columns: latents that scikit-learn is timed on, scaled to all.
    """

    n_latents: int
    batch: int
    rows: int
    timed_columns: int


FULL, QUICK = Size(8192, 4096, 16384, 8192), Size(8192, 4096, 16384, 256)


def planted(size: Size, seed: int = 0) -> list[torch.Tensor]:
    """Batches [n, D] of sums of 16 of M unit directions, with noise."""
    generator = torch.Generator().manual_seed(seed)
    direction_MD = torch.randn(size.n_latents, D, generator=generator)
    direction_MD /= direction_MD.norm(dim=1, keepdim=True)
    batches = []
    for _ in range(N_BATCHES):
        shape = size.batch, 16
        index_NA = torch.randint(size.n_latents, shape, generator=generator)
        value_NA = torch.rand(shape, generator=generator) + 0.5
        sums_ND = torch.nn.functional.embedding_bag(
            index_NA, direction_MD, mode="sum", per_sample_weights=value_NA
        )
        batches.append(sums_ND + 0.05 * torch.randn(sums_ND.shape, generator=generator))
    return batches


def in_trainer(
    sae: TopKTrainingSAE, batches: list[torch.Tensor], *, fused: bool = False
) -> tuple[SAETrainer, Step]:
    """A trainer of SAELens, and its step on one batch after another."""
    config = SAETrainerConfig(
        total_training_samples=10**9,
        train_batch_size_samples=len(batches[0]),
        lr=3e-4,
        lr_end=3e-4,
    )
    endless = itertools.cycle(batches)
    trainer = SAETrainer(cfg=config, sae=sae, data_provider=endless)
    if fused:
        fuse_optimizer(trainer)
    return trainer, lambda: trainer.step(next(endless))


def saelens(size: Size, kind: str, *, sparse: bool = False) -> TopKTrainingSAE:
    """SAELens' own, from the one seed; with sparse activations, norms rescaled have no backward."""
    torch.manual_seed(0)
    config = {"d_in": D, "d_sae": size.n_latents, "k": K}
    if kind == "batchtopk":
        return BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**config))
    own = {"use_sparse_activations": True, "rescale_acts_by_decoder_norm": False} if sparse else {}
    return TopKTrainingSAE(TopKTrainingSAEConfig(**config, **own))


def ours(size: Size, kind: str) -> TopKTrainingSAE:
    """The same, its step by active latents."""
    torch.manual_seed(0)
    sae_class, config_class = SPARSE[kind]
    return sae_class(config_class(d_in=D, d_sae=size.n_latents, k=K))


def sparsify_step(size: Size, batches: list[torch.Tensor]) -> Step | None:
    """A step of sparsify's `Trainer` with loss_fn "fvu" and Adam; None where not installed."""
    if importlib.util.find_spec("sparsify") is None:
        print("sparsify is not installed (pip install eai-sparsify): its row is left out")
        return None
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(0)
    coder = SparseCoder(D, SparseCoderConfig(num_latents=size.n_latents, k=K))
    coder.b_dec.data = batches[0].mean(0)
    adam = torch.optim.Adam(coder.parameters(), lr=2e-4 / (size.n_latents / 2**14) ** 0.5)
    since_fired_M = torch.zeros(size.n_latents, dtype=torch.long)
    fired_M = torch.zeros(size.n_latents, dtype=torch.bool)
    endless = itertools.cycle(batches)

    def step() -> None:
        acts_ND = next(endless)
        coder.set_decoder_norm_to_unit_norm()
        total_variance = (acts_ND - acts_ND.mean(0)).pow(2).sum()
        output = coder(x=acts_ND, y=acts_ND, dead_mask=None, total_variance=total_variance)
        fired_M[output.latent_indices.flatten()] = True
        output.fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        adam.step()
        adam.zero_grad()
        since_fired_M.add_(len(acts_ND))
        since_fired_M[fired_M] = 0
        fired_M.zero_()

    return step


def apart(theirs: SAETrainer, ours: SAETrainer) -> float:
    """Largest difference of any weight."""
    mine = dict(ours.sae.named_parameters())
    pairs = [(value, mine[name]) for name, value in theirs.sae.named_parameters()]
    return max((a - b).abs().max().item() for a, b in pairs)


def show(title: str, timed: Mapping[str, _common.Timed], runs: int) -> None:
    """A row each: seconds, and over the first."""
    print(f"\n{title}; medians of {runs}")
    first = next(iter(timed.values()))
    for name, times in timed.items():
        over = _common.ratio(times, first)
        spread = f"{over['least']:.2f} to {over['most']:.2f}"
        print(f"  {name:34}{times.median:9.3f} s{over['ratio']:9.2f}  {spread}")


def steps(size: Size, runs: int) -> dict[str, dict[str, float]]:
    """A training step of TopK, and one of BatchTopK."""
    batches = planted(size)
    mine, my_step = in_trainer(ours(size, "topk"), batches, fused=True)
    peer, peer_step = in_trainer(saelens(size, "topk"), batches)
    contenders = {
        "ours": my_step,
        "ours, Adam not fused": in_trainer(ours(size, "topk"), batches)[1],
        "SAELens": peer_step,
        "SAELens, fused Adam": in_trainer(saelens(size, "topk"), batches, fused=True)[1],
        "SAELens, sparse activations": in_trainer(saelens(size, "topk", sparse=True), batches)[1],
    }
    sparsify = sparsify_step(size, batches)
    if sparsify is not None:
        contenders["sparsify"] = sparsify
    timed = _common.alternate(contenders, runs, clock=_common.cpu_clock)
    show(f"TopK step, {size.batch} rows, d {D}, {size.n_latents} latents, k {K}", timed, runs)
    print(f"  weights of ours and SAELens' after {runs + 1} steps: {apart(peer, mine):.1e} apart")
    ratios = {"step_vs_saelens": _common.ratio(timed["ours"], timed["SAELens"])}
    if sparsify is not None:
        ratios["step_vs_sparsify"] = _common.ratio(timed["ours"], timed["sparsify"])
    del contenders, sparsify, my_step, peer_step, mine, peer
    mine, my_step = in_trainer(ours(size, "batchtopk"), batches, fused=True)
    peer, peer_step = in_trainer(saelens(size, "batchtopk"), batches)
    contenders = {"ours": my_step, "SAELens": peer_step}
    timed = _common.alternate(contenders, runs, clock=_common.cpu_clock)
    show("BatchTopK step, likewise", timed, runs)
    print(f"  weights of ours and SAELens' after {runs + 1} steps: {apart(peer, mine):.1e} apart")
    ratios["batchtopk_vs_saelens"] = _common.ratio(timed["ours"], timed["SAELens"])
    return ratios


def encoding(size: Size, runs: int) -> dict[str, dict[str, float]]:
    """Activations to codes: kept as active latents, or as SAELens gives them."""
    from interp.features import SparseCodes

    acts_ND = planted(size)[0]
    mine, peer = ours(size, "topk").eval(), saelens(size, "topk").eval()

    def dense() -> torch.Tensor:
        with torch.no_grad():
            return peer.encode(acts_ND)

    contenders = {"ours": lambda: SparseCodes.of(mine, acts_ND), "SAELens, dense": dense}
    timed = _common.alternate(contenders, runs, clock=_common.cpu_clock)
    show(f"Encoding {size.batch} rows", timed, runs)
    gap = np.abs(SparseCodes.of(mine, acts_ND).dense() - dense().numpy()).max()
    print(f"  codes {gap:.1e} apart")
    return {"encode_vs_saelens": _common.ratio(timed["ours"], timed["SAELens, dense"])}


def searching(size: Size, runs: int) -> dict[str, dict[str, float]]:
    """AUROC of every latent for one label, from codes or column by column."""
    from interp.features import SparseCodes, feature_auroc

    generator = torch.Generator().manual_seed(0)
    share_NM = torch.rand(size.rows, size.n_latents, generator=generator)
    index_NK = share_NM.topk(K, dim=1).indices
    del share_NM
    value_NK = torch.rand(size.rows, K, generator=generator) + 0.1
    label_N = torch.rand(size.rows, generator=generator).numpy() < 0.5
    codes = SparseCodes.from_topk(value_NK, index_NK, size.n_latents)
    dense_NM = codes.dense(list(range(size.timed_columns)))

    def columns() -> np.ndarray:
        return np.array([roc_auc_score(label_N, values_N) for values_N in dense_NM.T])

    def ranked() -> np.ndarray:
        parts = np.array_split(dense_NM, max(1, size.timed_columns // 256), axis=1)
        return np.concatenate([auroc_columns(part_NM, label_N) for part_NM in parts])

    contenders = {
        "ours": lambda: feature_auroc(codes, label_N),
        "scikit-learn, column by column": columns,
        "scipy's ranks, 256 columns at once": ranked,
    }
    timed = _common.alternate(contenders, runs, clock=_common.cpu_clock)
    scale = size.n_latents / size.timed_columns
    timed = {
        who: _common.Timed([s * (1 if who == "ours" else scale) for s in times.seconds])
        for who, times in timed.items()
    }
    show(f"AUROC of {size.n_latents} latents on {size.rows} rows, {K} active", timed, runs)
    gap = np.abs(feature_auroc(codes, label_N)[: size.timed_columns] - columns()).max()
    if scale > 1:
        print(f"  the dense ones timed on {size.timed_columns} latents and scaled")
    print(f"  AUROCs of ours and scikit-learn {gap:.1e} apart")
    if gap > 1e-6:
        raise SystemExit(f"feature_auroc is {gap:.1e} from scikit-learn's; expected 1e-6")
    rival = timed["scikit-learn, column by column"]
    return {"auroc_vs_dense": _common.ratio(timed["ours"], rival)}


def main() -> None:
    """Every subject; `--quick` times scikit-learn on some of the latents."""
    options = _common.arguments(__doc__.splitlines()[0]).parse_args()
    _common.one_core()
    size = QUICK if options.quick else FULL
    runs = options.runs or (3 if options.quick else 7)
    print(f"{_common.machine()}; torch {torch.__version__}, float32, CPU seconds")
    ratios = steps(size, runs)
    ratios |= encoding(size, runs)
    ratios |= searching(size, min(runs, 3))
    print()
    _common.finish(ratios, as_json=options.json)


if __name__ == "__main__":
    main()
