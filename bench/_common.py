"""What benchmarks share: one core, alternated runs, medians, the line of JSON at the end."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


def arguments(description: str) -> argparse.ArgumentParser:
    """`--quick` for a short run, `--json` for one line of ratios at the end."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs")
    parser.add_argument("--json", action="store_true", help="end with one JSON object of ratios")
    parser.add_argument("--runs", type=int, help="timed runs of each contender")
    return parser


def one_core() -> None:
    """Pins this process to one core, so that contenders differ by work and not by threads."""
    import torch

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Timed:
    """Seconds of each run of one contender."""

    seconds: list[float]

    @property
    def median(self) -> float:
        """Of the runs."""
        return statistics.median(self.seconds)


def alternate(
    contenders: Mapping[str, Callable[[], object]], runs: int, *, clock: Callable[[], float]
) -> dict[str, Timed]:
    """Runs all contenders once to warm up, then `runs` times each in shuffled order.

    Args:
        contenders: what to time, by name.
        runs: of each.
        clock: seconds; CPU time on a CPU (other jobs of the machine do not count), wall time on a
            GPU.
    """
    for work in contenders.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = random.Random(0)
    for _ in range(runs):
        for name in order.sample(list(contenders), len(contenders)):
            gc.collect()
            start = clock()
            contenders[name]()
            seconds[name].append(clock() - start)
    return {name: Timed(values) for name, values in seconds.items()}


def ratio(ours: Timed, theirs: Timed) -> dict[str, float]:
    """Ours over theirs by medians, and the smallest and largest over the rounds."""
    by_round = [a / b for a, b in zip(ours.seconds, theirs.seconds, strict=True)]
    return {
        "ratio": ours.median / theirs.median,
        "least": min(by_round),
        "most": max(by_round),
    }


def finish(ratios: Mapping[str, Mapping[str, float]], *, as_json: bool) -> None:
    """Prints the ratios and, as the last line, their JSON."""
    for name, values in ratios.items():
        print(f"{name:34} {values['ratio']:6.2f}  ({values['least']:.2f} to {values['most']:.2f})")
    if as_json:
        flat: dict[str, object] = {name: round(v["ratio"], 4) for name, v in ratios.items()}
        flat["spread"] = {
            name: [round(v["least"], 4), round(v["most"], 4)] for name, v in ratios.items()
        }
        print(json.dumps(flat))


def machine() -> str:
    """The hardware in a few words."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return f"one core of {names[0] if names else platform.processor() or platform.machine()}"


cpu_clock = time.process_time
