"""What work takes in a process of its own, against what is predicted for it.

    python -m tests.activations.measured CHECKPOINT DTYPE WORK...

prints, for each work, the peak of the resident memory, less what it was before the model was
loaded, and the bound.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
N_PROMPTS, N_NEW, BUDGET = 64, 8, 1024


def measured(checkpoint: Path, *works: str, dtype: str = "float32") -> dict[str, list[int]]:
    """Measured and predicted bytes of each work; done in another process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.activations.measured", str(checkpoint), dtype, *works],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def write(folder: Path, d_model: int, n_layers: int, n_words: int) -> Path:
    """A random Llama of these sizes, with a word tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.checkpoints.tiny import word_tokenizer

    tokenizer = word_tokenizer(tuple(f"v{n}" for n in range(n_words)))
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=d_model,
            intermediate_size=4 * d_model,
            num_hidden_layers=n_layers,
            num_attention_heads=8,
            num_key_value_heads=4,
            vocab_size=len(tokenizer),
            max_position_embeddings=256,
            tie_word_embeddings=False,
            eos_token_id=2,
            bos_token_id=2,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bound_of(folder: Path, work: str, dtype: str) -> int:
    """Does the work; the bytes that were predicted for it."""
    from interp.activations import capture
    from interp.activations.memory import ModelSize, needed
    from interp.behavior import abstention_score, generate
    from interp.checkpoints import Checkpoint
    from interp.interventions import relearn
    from tests.activations.asked import some_prompts

    prompts, checkpoint = some_prompts(N_PROMPTS), Checkpoint(folder, "made")
    size, loaded = ModelSize.of(checkpoint, dtype), checkpoint.load(dtype=dtype)
    if work == "capture":
        acts = capture(loaded, prompts, ["resid_post"], ["all"], token_budget=BUDGET)
        kept = sum(acts.read(site, "all").numel() for site in acts.sites) * size.item
        return needed("capture", size, tokens=BUDGET, longest=32, kept=kept).total
    if work == "score":
        abstention_score(loaded, prompts, ["w1 w2", "w3"], token_budget=BUDGET)
        return needed("score", size, tokens=BUDGET, longest=32, rows=N_PROMPTS).total
    if work == "generate":
        generate(loaded, prompts, max_new_tokens=N_NEW, token_budget=BUDGET)
        return needed("generate", size, tokens=BUDGET, longest=40, rows=N_PROMPTS).total
    examples = [(f"q : {' '.join(['w1'] * 24)} a :", "w1 w2")] * 16
    options = {"steps": 2, "lr": 1e-4, "batch_size": 16, "eval_every": 1, "seed": 0}
    relearn(loaded, examples, scope="all", evaluate=lambda _: 0.0, **options)
    return needed("relearn", size, tokens=16 * 31, longest=31).total


def main(folder: str, dtype: str, *works: str) -> None:
    import torch

    from tests.checkpoints.tiny import write_checkpoint

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as warm:
        for work in works:  # what libraries load at first use is no part of the work
            bound_of(write_checkpoint(Path(warm)), work, dtype)
    told = {}
    for work in works:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # else what is freed counts as there already
        # Not `ru_maxrss`, which begins at what the process that started this one held.
        Path("/proc/self/clear_refs").write_text("5")
        before = _bytes("VmRSS")
        bound = bound_of(Path(folder), work, dtype)
        told[work] = [_bytes("VmHWM") - before, bound]
    print(json.dumps(told))


def _bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main(*sys.argv[1:])
