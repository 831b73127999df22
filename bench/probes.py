"""Probes of a layer: one batched solve against a loop over folds and penalties in scikit-learn.

The loop is the usual one: `make_pipeline(StandardScaler(), LogisticRegression(C=c))` for 5 folds
and 6 penalties, lbfgs, tol 1e-5, at most 1000 iterations. Beside the ratio it is printed what is
left of it when the scaler is fitted once a fold, how far either's AUROC is from an exact fit, and
how many fits are certified.

Synthetic activations have the spectrum that activations of the embedded lineage were found to have
after standardising (eigenvalue k falls as k to a power from -1.9 to -3.6; here a kinder -1.5), one
massive dimension, and a signal along all directions. The easy case has a flatter spectrum (-1) and
classes so far apart that scikit-learn is done in 15 to 40 iterations.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import _common
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from interp.probes.folds import Fold, grouped_folds
from interp.probes.solver import Solution, solve

CS = tuple(10.0**power for power in range(-4, 2))
N_FOLDS = 5


@dataclass(frozen=True)
class Case:
    """A layer's activations to probe.

    Attributes:
        key: in the JSON.
        n: prompts.
        d: width.
        signal: distance between the classes' means, in standard deviations.
        power: the spectrum's.
        timed_folds: folds that scikit-learn is timed on in a quick run, scaled to all.
    """

    key: str
    n: int
    d: int
    signal: float
    power: float
    timed_folds: int


CASES = (
    Case("vs_sklearn_n4000_d1536", 4000, 1536, 2.0, -1.5, 1),
    Case("vs_sklearn_n1000_d2304", 1000, 2304, 4.0, -1.5, 2),
    Case("vs_sklearn_n600_d4096", 600, 4096, 4.0, -1.5, 2),
    Case("vs_sklearn_easy", 4000, 1536, 8.0, -1.0, 2),
)


@dataclass(frozen=True)
class Layer:
    """What is fitted: activations, labels and folds."""

    acts_ND: torch.Tensor
    class_N: np.ndarray
    folds: list[Fold]


def synthetic(case: Case, seed: int = 0) -> Layer:
    """Activations of a made-up layer."""
    rng = np.random.default_rng(seed)
    class_N = rng.permutation(np.arange(case.n) % 2)
    along_D = rng.normal(size=case.d)
    latent_ND = rng.normal(size=(case.n, case.d))
    latent_ND += case.signal * np.outer(class_N - 0.5, along_D / np.linalg.norm(along_D))
    latent_ND *= np.arange(1, case.d + 1) ** (case.power / 2)
    rotation_DD, _ = np.linalg.qr(rng.normal(size=(case.d, case.d)).astype(np.float32))
    acts_ND = latent_ND.astype(np.float32) @ rotation_DD
    acts_ND[:, 7] = 1000 + 30 * np.abs(acts_ND).max() * rng.normal(size=case.n)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(acts_ND, class_N)
    return Layer(torch.as_tensor(acts_ND), class_N, list(folds))


def ours(layer: Layer) -> Solution[str]:
    """All folds and penalties in one call."""
    return solve({"layer": layer.acts_ND}, layer.class_N, layer.folds, CS)


def pipelines(layer: Layer, n_folds: int) -> np.ndarray:
    """The loop; AUROC [folds, penalties]."""
    acts_ND, auroc_FP = layer.acts_ND.numpy(), np.empty((n_folds, len(CS)))
    for fold, (fitted, held_out) in enumerate(layer.folds[:n_folds]):
        for number, c in enumerate(CS):
            model = make_pipeline(StandardScaler(), logistic(c))
            model.fit(acts_ND[fitted], layer.class_N[fitted])
            scores = model.decision_function(acts_ND[held_out])
            auroc_FP[fold, number] = roc_auc_score(layer.class_N[held_out], scores)
    return auroc_FP


def hoisted(layer: Layer, n_folds: int) -> None:
    """The loop with the scaler fitted once a fold."""
    acts_ND = layer.acts_ND.numpy()
    for fitted, held_out in layer.folds[:n_folds]:
        scaler = StandardScaler().fit(acts_ND[fitted])
        z_ND, held_out_ND = scaler.transform(acts_ND[fitted]), scaler.transform(acts_ND[held_out])
        for c in CS:
            logistic(c).fit(z_ND, layer.class_N[fitted]).decision_function(held_out_ND)


def logistic(c: float) -> LogisticRegression:
    """As tight as it takes for AUROCs not to move, and as long as users let it run."""
    return LogisticRegression(C=c, tol=1e-5, max_iter=1000)


def exact_auroc(layer: Layer, fold: int, c: float) -> float:
    """By Newton's method in float64, in the space of the columns or of the rows."""
    fitted, held_out = layer.folds[fold]
    acts_ND = layer.acts_ND.double().numpy()
    scaler = StandardScaler().fit(acts_ND[fitted])
    z_ND, held_out_ND = scaler.transform(acts_ND[fitted]), scaler.transform(acts_ND[held_out])
    if len(fitted) < z_ND.shape[1]:
        basis_DR, _ = np.linalg.qr(z_ND.T)
        z_ND, held_out_ND = z_ND @ basis_DR, held_out_ND @ basis_DR
    z_NE = np.column_stack([z_ND, np.ones(len(z_ND))])
    penalty_E = np.append(np.full(z_ND.shape[1], 1 / c), 0.0)
    sign_N, theta_E = 2.0 * layer.class_N[fitted] - 1, np.zeros(z_NE.shape[1])

    def value(theta_E: np.ndarray) -> float:
        return np.logaddexp(0, -sign_N * (z_NE @ theta_E)).sum() + penalty_E @ theta_E**2 / 2

    for _ in range(60):
        wrong_N = 1 / (1 + np.exp(np.minimum(sign_N * (z_NE @ theta_E), 500)))
        slope_E = penalty_E * theta_E - z_NE.T @ (sign_N * wrong_N)
        hessian_EE = (z_NE.T * (wrong_N * (1 - wrong_N))) @ z_NE + np.diag(penalty_E)
        step_E, length = -np.linalg.solve(hessian_EE, slope_E), 1.0
        while value(theta_E + length * step_E) > value(theta_E) and length > 1e-6:
            length /= 2
        theta_E = theta_E + length * step_E
        if np.abs(step_E).max() < 1e-9 * np.abs(theta_E).max():
            break
    return roc_auc_score(layer.class_N[held_out], held_out_ND @ theta_E[:-1])


def measured(name: str, layer: Layer, n_folds: int, runs: int) -> dict[str, float]:
    """Times both, prints what they are worth, and returns the ratio."""
    contenders = {
        "ours": partial(ours, layer),
        "sklearn": partial(pipelines, layer, n_folds),
        "sklearn, one scaler a fold": partial(hoisted, layer, n_folds),
    }
    timed = _common.alternate(contenders, runs, clock=_common.cpu_clock)
    scale = len(layer.folds) / n_folds
    timed = {
        who: _common.Timed([s * (1 if who == "ours" else scale) for s in times.seconds])
        for who, times in timed.items()
    }
    n_fits = len(layer.folds) * len(CS)
    print(f"{name}: {n_fits} fits; scikit-learn timed on {n_folds} of {len(layer.folds)} folds")
    for who, times in timed.items():
        print(f"  {who:28} {times.median:7.2f} s  {n_fits / times.median:7.1f} fits/s")
    kinder = _common.ratio(timed["ours"], timed["sklearn, one scaler a fold"])
    print(f"  ratio with one scaler a fold {kinder['ratio']:7.3f}")
    solution, theirs_FP = ours(layer), pipelines(layer, n_folds)
    ours_FP = np.array(
        [
            [
                roc_auc_score(layer.class_N[held_out], scores)
                for scores in solution.held_out[fold][0]
            ]
            for fold, (_, held_out) in enumerate(layer.folds)
        ]
    )
    certificates = solution.certificates
    print(f"  certified {certificates.certified.sum()} of {n_fits}; at most ", end="")
    print(f"{certificates.iterations.max()} iterations")
    apart_P = np.abs(ours_FP[:n_folds].mean(0) - theirs_FP.mean(0))
    selected = int(ours_FP.mean(0).argmax())
    print(f"  AUROC {ours_FP.mean(0)[selected]:.4f} at the selected C {CS[selected]:g}; ", end="")
    print(f"from scikit-learn's {apart_P[selected]:.5f}, at any C {apart_P.max():.5f}")
    for number in sorted({selected, len(CS) - 1}):
        exact = exact_auroc(layer, 0, CS[number])
        print(
            f"  exact at C {CS[number]:g}, fold 0: ours {abs(ours_FP[0, number] - exact):.5f} ",
            end="",
        )
        print(f"off, scikit-learn {abs(theirs_FP[0, number] - exact):.5f} off")
    return _common.ratio(timed["ours"], timed["sklearn"])


def sweep(n_layers: int, n_positions: int) -> None:
    """A whole model's cells, one at a time, and the memory they take at most."""
    layer = synthetic(CASES[0])

    def cells() -> Iterator[tuple[tuple[int, int], torch.Tensor]]:
        for number in range(n_layers):
            for position in range(n_positions):
                yield (number, position), layer.acts_ND + 0.01 * number

    before, start = peak_gb(), time.process_time()
    solution = solve(cells(), layer.class_N, layer.folds, CS)
    seconds = time.process_time() - start
    print(f"sweep of {n_layers} layers x {n_positions} positions: {seconds:.0f} s, ", end="")
    print(f"{solution.certificates.certified.mean():.1%} certified, ", end="")
    print(f"peak {peak_gb():.2f} GB of memory ({before:.2f} before)")


def peak_gb() -> float:
    """Largest resident size of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def of_member(folder: Path) -> Iterator[tuple[str, Layer]]:
    """Residual streams of a member of the embedded lineage at the last token of its questions."""
    from interp import Checkpoint, capture
    from interp.organism import World, entity_prompts

    seed = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["seed"]
    prompts = entity_prompts(World(seed), "test", "direct")
    loaded = Checkpoint(folder, folder.name).load(device="cpu")
    acts = capture(loaded, prompts, ["resid_post"], ["last_prompt"])
    class_N = np.asarray(prompts.labels, dtype=int)
    folds = grouped_folds(prompts.groups, class_N == 1, N_FOLDS, 0)
    for site in acts.sites:
        yield f"{folder.name} {site}", Layer(acts.read(site, "last_prompt"), class_N, folds)


def main() -> None:
    """Every case; `--quick` times scikit-learn on some of the folds."""
    parser = _common.arguments(__doc__.splitlines()[0])
    parser.add_argument(
        "--member", type=Path, help="checkpoint of the embedded lineage, to probe too"
    )
    options = parser.parse_args()
    _common.one_core()
    # numpy's and scipy's own threads would fight for the one core.
    threadpool_limits(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    runs = options.runs or (2 if options.quick else 3)
    print(f"{_common.machine()}; {N_FOLDS} folds x {len(CS)} penalties, CPU seconds")
    ratios = {}
    for case in CASES:
        n_folds = case.timed_folds if options.quick else N_FOLDS
        ratios[case.key] = measured(case.key, synthetic(case), n_folds, runs)
    for name, layer in of_member(options.member) if options.member else ():
        measured(name, layer, N_FOLDS, runs)
    if not options.quick:
        sweep(28, 4)
    _common.finish(ratios, as_json=options.json)


if __name__ == "__main__":
    main()
