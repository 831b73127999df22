"""Capture against its peers: the same activations, from the same prompts, on one core or one GPU.

Peers are run twice: the way they are usually called (batches of 32 in the order of arrival), and on
this project's length-sorted batches, so that what batching brings is told apart from the rest.
"""

from __future__ import annotations

import copy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import _common
import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from interp import PromptSet, capture
from interp.activations.planning import default_token_budget
from interp.checkpoints import Checkpoint, LoadedModel
from interp.prompts import Encoded, encode, token_budget_batches
from interp.prompts.encoding import tokenize

N_VOCAB, ARRIVAL_BATCH = 2048, 32


@dataclass(frozen=True)
class Size:
    """Shape of a Llama model with random weights."""

    name: str
    d_model: int
    n_layers: int
    n_heads: int
    n_prompts: int
    dtype: str = "float32"


CPU_SIZES = (Size("d 256 x 8", 256, 8, 8, 256), Size("d 512 x 12", 512, 12, 8, 96))
GPU_SIZES = (
    Size("1B (d 2048 x 16)", 2048, 16, 32, 4096, "bfloat16"),
    Size("8B (d 4096 x 32)", 4096, 32, 32, 2048, "bfloat16"),
)


def build(size: Size, folder: Path) -> LoadedModel:
    """Saves the model with a tokenizer of one token a word, and loads it as a user would."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=size.d_model,
        intermediate_size=int(size.d_model * 2.75) // 32 * 32,
        num_hidden_layers=size.n_layers,
        num_attention_heads=size.n_heads,
        num_key_value_heads=size.n_heads // 4,
        vocab_size=N_VOCAB,
        max_position_embeddings=512,
    )
    words = ["<pad>", "<unk>", "<eos>", *(f"w{n}" for n in range(3, N_VOCAB))]
    backend = Tokenizer(WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config).to(getattr(torch, size.dtype))
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    return Checkpoint(folder, size.name).load(device="auto", dtype=size.dtype)


def some_texts(n: int) -> list[str]:
    """Word sequences of 4 to 128 tokens, half of them shorter than 40, in no order."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(40), 0.6, n), 4, 128).astype(int)
    return [" ".join(f"w{w}" for w in rng.integers(3, N_VOCAB, length)) for length in lengths]


class Contenders:
    """Each gives the residual stream behind every block, at the last token of every prompt."""

    def __init__(self, size: Size, folder: Path, n_prompts: int) -> None:
        self.loaded = build(size, folder)
        self.model, self.tokenizer = self.loaded.model, self.loaded.tokenizer
        self.texts = some_texts(n_prompts)
        rows = [
            {"prompt_id": str(n), "text": text, "should_abstain": False}
            for n, text in enumerate(self.texts)
        ]
        self.prompts = PromptSet.from_records(rows)
        lengths = [len(ids) for chunk in tokenize(self.texts, self.tokenizer) for ids in chunk]
        self.n_tokens = sum(lengths)
        self.budget = default_token_budget(self.loaded.device.type)
        self.sorted = token_budget_batches(lengths, self.budget)
        self.arrival = [
            list(range(n, min(n + ARRIVAL_BATCH, n_prompts)))
            for n in range(0, n_prompts, ARRIVAL_BATCH)
        ]
        self._bare = [self._encoded(batch, "right") for batch in self.sorted]
        self._nnsight: object = None
        self._bridge: object = None

    def named(self) -> dict[str, Callable[[], object]]:
        """All contenders, by the name that the table gives them."""
        half = f"resid_post.{self.loaded.n_layers // 2 - 1}"
        return {
            "bare forward, sorted, no head": self.bare,
            "ours, all layers, last token": lambda: self.ours(["resid_post"], "last_prompt"),
            "ours, all layers, all tokens": lambda: self.ours(["resid_post"], "all", "float16"),
            "ours, half depth, last token": lambda: self.ours([half], "last_prompt"),
            "hidden states, arrival": lambda: self.hidden_states(self.arrival),
            "hidden states, sorted": lambda: self.hidden_states(self.sorted),
            "nnsight, arrival": lambda: self.nnsight(self.arrival),
            "nnsight, sorted": lambda: self.nnsight(self.sorted),
            "transformer_lens, arrival": lambda: self.transformer_lens(self.arrival),
            "transformer_lens, sorted": lambda: self.transformer_lens(self.sorted),
        }

    def bare(self) -> None:
        """The forward alone, on tokens that are already padded: the floor."""
        with torch.inference_mode():
            for encoded in self._bare:
                self.model.base_model(
                    input_ids=encoded.input_ids_BT,
                    attention_mask=encoded.attention_mask_BT,
                    position_ids=encoded.position_ids_BT,
                    use_cache=False,
                )
        _wait()

    def ours(self, sites: Sequence[str], position: str, dtype: str | None = None) -> object:
        """`interp.capture`, from texts to activations."""
        acts = capture(self.loaded, self.prompts, sites, [position], dtype=dtype)
        _wait()
        return acts

    def hidden_states(self, batches: list[list[int]]) -> Tensor:
        """The library's `output_hidden_states`, with the head as usual."""
        out = self._out()
        with torch.inference_mode():
            for rows in batches:
                encoded = self._encoded(rows, "left")
                hidden = self.model(
                    input_ids=encoded.input_ids_BT,
                    attention_mask=encoded.attention_mask_BT,
                    position_ids=encoded.position_ids_BT,
                    output_hidden_states=True,
                    use_cache=False,
                ).hidden_states
                out[rows] = torch.stack([state[:, -1] for state in hidden[1:]], 1).float().cpu()
        return out

    def nnsight(self, batches: list[list[int]]) -> Tensor:
        """A trace that is left after the last block."""
        import nnsight

        if self._nnsight is None:
            self._nnsight = nnsight.TransformersModel(self.model, tokenizer=self.tokenizer)
        model, out = self._nnsight, self._out()
        with torch.inference_mode():
            for rows in batches:
                encoded = self._encoded(rows, "left")
                inputs = {
                    "input_ids": encoded.input_ids_BT,
                    "attention_mask": encoded.attention_mask_BT,
                }
                with model.trace(inputs) as tracer:
                    kept = [block.output[:, -1].clone() for block in model.model.layers]
                    kept = nnsight.save(kept)
                    tracer.stop()
                out[rows] = torch.stack(kept, 1).float().cpu()
        return out

    def transformer_lens(self, batches: list[list[int]]) -> Tensor:
        """`run_with_cache` of the bridge, at the last position."""
        from transformer_lens.model_bridge import TransformerBridge

        if self._bridge is None:
            self._bridge = TransformerBridge.boot_transformers(
                str(self.loaded.checkpoint.path),
                hf_model=copy.deepcopy(self.model),
                tokenizer=self.tokenizer,
                device=str(self.loaded.device),
            )
        bridge, out = self._bridge, self._out()
        names = [f"blocks.{layer}.hook_resid_post" for layer in range(self.loaded.n_layers)]
        with torch.inference_mode():
            for rows in batches:
                encoded = self._encoded(rows, "left")
                _, cache = bridge.run_with_cache(
                    encoded.input_ids_BT,
                    attention_mask=encoded.attention_mask_BT,
                    names_filter=lambda name: name.endswith("hook_resid_post"),
                    pos_slice=-1,
                    return_cache_object=False,
                )
                kept = [cache[name].reshape(len(rows), -1) for name in names]
                out[rows] = torch.stack(kept, 1).float().cpu()
        return out

    def _encoded(self, rows: list[int], side: str) -> Encoded:
        texts = [self.texts[row] for row in rows]
        return encode(texts, self.tokenizer, side=side).to(self.loaded.device)

    def _out(self) -> Tensor:
        return torch.empty(len(self.texts), self.loaded.n_layers, self.loaded.d_model)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def agreement(contenders: Contenders) -> float:
    """Largest difference between ours and every peer, as a share of the largest activation."""
    acts = contenders.ours(["resid_post"], "last_prompt")
    mine = torch.stack([acts.read(site, "last_prompt") for site in acts.sites], 1)
    worst = 0.0
    for peer in (contenders.hidden_states, contenders.nnsight, contenders.transformer_lens):
        theirs = peer(contenders.sorted)
        # transformers hands out the last hidden state behind the final norm: left out for all.
        gap = (theirs[:, :-1] - mine[:, :-1]).abs().amax() / mine.abs().amax()
        worst = max(worst, float(gap))
    return worst


def peak_memory(size: Size, n_prompts: int, name: str) -> float:
    """Megabytes above the loaded model at the contender's peak, in a process of its own."""
    command = [sys.executable, __file__, "--peak", f"{size.name}|{n_prompts}|{name}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def measure_peak(spec: str) -> None:
    """The child's side of `peak_memory`."""
    size_name, n_prompts, name = spec.split("|")
    size = next(size for size in (*CPU_SIZES, *GPU_SIZES) if size.name == size_name)
    with tempfile.TemporaryDirectory() as folder:
        contenders = Contenders(size, Path(folder), int(n_prompts))
        if torch.cuda.is_available():
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            contenders.named()[name]()
            peak = torch.cuda.max_memory_allocated() - before
        else:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
            before = _resident("VmRSS")
            contenders.named()[name]()
            peak = _resident("VmHWM") - before
    print(peak / 2**20)


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    """Prints a table a size, and the ratios of the smallest one."""
    parser = _common.arguments(__doc__.splitlines()[0])
    parser.add_argument("--peak", help="internal: measure one contender's memory")
    options = parser.parse_args()
    logging.disable_progress_bar()
    _common.one_core()
    if options.peak:
        measure_peak(options.peak)
        return
    on_gpu = torch.cuda.is_available()
    clock = time.perf_counter if on_gpu else _common.cpu_clock
    sizes = GPU_SIZES if on_gpu else CPU_SIZES
    ratios = {}
    print(f"{_common.machine()}; torch {torch.__version__}")
    for size in sizes[:1] if options.quick else sizes:
        n_prompts = size.n_prompts // 2 if options.quick else size.n_prompts
        with tempfile.TemporaryDirectory() as folder:
            contenders = Contenders(size, Path(folder), n_prompts)
            gap = agreement(contenders)
            runs = options.runs or (3 if options.quick else 5)
            timed = _common.alternate(contenders.named(), runs, clock=clock)
        print(
            f"\n{size.name}, {size.dtype}: {n_prompts} prompts, {contenders.n_tokens} tokens, "
            f"at most {contenders.budget} in a batch; medians of {runs}; all agree to {gap:.1e}"
        )
        bare = timed["bare forward, sorted, no head"]
        header = "" if options.quick else f"{'peak MB':>9}"
        print(f"{'':32}{'tokens/s':>10}{'x bare':>8}   {'rounds':14}{header}")
        for name, values in timed.items():
            share = _common.ratio(values, bare)
            rounds = f"{share['least']:.2f} to {share['most']:.2f}"
            memory = "" if options.quick else f"{peak_memory(size, n_prompts, name):9.0f}"
            speed = contenders.n_tokens / values.median
            print(f"{name:32}{speed:10.0f}{share['ratio']:8.2f}   {rounds:14}{memory}")
        if not ratios:
            ours = timed["ours, all layers, last token"]
            ratios = {
                "all_layers_last_vs_bare": _common.ratio(ours, bare),
                "half_depth_vs_bare": _common.ratio(timed["ours, half depth, last token"], bare),
                "end_to_end_vs_nnsight": _common.ratio(ours, timed["nnsight, arrival"]),
                "end_to_end_vs_hidden_states": _common.ratio(ours, timed["hidden states, arrival"]),
                "end_to_end_vs_transformer_lens": _common.ratio(
                    ours, timed["transformer_lens, arrival"]
                ),
            }
    print()
    _common.finish(ratios, as_json=options.json)


if __name__ == "__main__":
    main()
