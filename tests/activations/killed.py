"""Captures in processes of their own, which may be killed on the way.

Started as `python -m tests.activations.killed CHECKPOINT`, it imports and loads once and forks for
every capture, so that one takes milliseconds. It reads a JSON object a line and answers with one.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Runner:
    """The asking side: runs captures in other processes."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def __call__(self, folder: Path, **asked: Any) -> list[dict[str, Any]]:
        """One answer a process: `status`, `seconds`, `n_prompts` that its model read, `peak_mb`.

        Args:
            folder: of the store.
            asked: `n_prompts`, `sites`, `positions`, `rows_a_shard`; `times` processes at once;
                kill each `after` so many seconds, or `before` its n-th operation on files.
        """
        self._process.stdin.write(json.dumps({"folder": str(folder), **asked}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a store."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def flip(path: Path, offset: int) -> None:
    """Changes one bit of a file."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(bytes(content))


@contextmanager
def runner(checkpoint: Path) -> Iterator[Runner]:
    command = [sys.executable, "-m", "tests.activations.killed", str(checkpoint)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        yield Runner(process)
        process.stdin.close()


def main(checkpoint: str) -> None:
    from interp.activations import capture, planning
    from interp.checkpoints import Checkpoint
    from tests.activations.asked import some_prompts

    loaded = Checkpoint(Path(checkpoint), "tiny").load()
    prompts = {}

    def run(asked: dict[str, Any], answer_to: int) -> None:
        rows = []
        loaded.model.base_model.register_forward_pre_hook(
            lambda _, __, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
        )
        planning.ROWS_A_SHARD = asked.get("rows_a_shard", planning.ROWS_A_SHARD)
        if "before" in asked:
            _die_before(asked["before"], asked["folder"])
        place = Path(asked["folder"])
        capture(
            loaded, prompts[asked["n_prompts"]], asked["sites"], asked["positions"], folder=place
        )
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        os.write(answer_to, json.dumps({"n_prompts": sum(rows), "peak_mb": peak_mb}).encode())

    for line in sys.stdin:
        asked = json.loads(line)
        n = asked["n_prompts"]
        prompts = {n: prompts.get(n) or some_prompts(n)}
        answers = _forked(lambda pipe, asked=asked: run(asked, pipe), asked)
        print(json.dumps(answers), flush=True)


def _forked(work, asked: dict[str, Any]) -> list[dict[str, Any]]:
    started, running = time.monotonic(), []
    for _ in range(asked.get("times", 1)):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                work(write)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(write)
        running.append((pid, read))
    if "after" in asked:
        time.sleep(asked["after"])
        for pid, _ in running:
            os.kill(pid, signal.SIGKILL)  # not waited for yet, so the id is still its own
    answers = []
    for pid, read in running:
        with os.fdopen(read) as pipe:
            told = json.loads(pipe.read() or "{}")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answers.append(
            {"status": status, "seconds": time.monotonic() - started, "n_prompts": 0} | told
        )
    return answers


def _die_before(operation: int, folder: str) -> None:
    """Kills this process before its n-th operation on files in the store's place."""
    place, seen = str(Path(folder).parent), [0]

    def count(event: str, args: tuple) -> None:
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir"):
            seen[0] += str(args[0]).startswith(place)
            if seen[0] == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


if __name__ == "__main__":
    main(sys.argv[1])
