"""What Slurm says of jobs: asked for all of them at once, with or without accounting.

submitit asks `sacct` alone. Without an accounting database that answers nothing, and a job that was
killed would be waited for without end; so `squeue` is asked first, which every Slurm has, and
`sacct` only about what the queue no longer knows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import submitit
import submitit.helpers
from submitit.slurm.slurm import SlurmInfoWatcher

LONGEST_WAIT_S = 20
"""Between two questions to the scheduler, once jobs have run for a while."""
SHORTEST_WAIT_S = 2
GONE = "GONE"
"""State of a job that neither the queue nor the accounting knows any more."""

KILLED = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "it was cancelled",
    "DEADLINE": "it could not end before its deadline",
    "FAILED": "it died without a result",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it ran out of memory; raise `infra.mem_gb`",
    "PREEMPTED": "it was preempted and not put back into the queue",
    "TIMEOUT": "it reached its time limit; raise `infra.timeout_min`",
    "COMPLETED": "it ended without a result",
    GONE: "Slurm no longer knows it, and it left no result",
}
"""States in which a job has ended, and what each means for one without a result."""

Info = dict[str, str]
"""`State`, `NodeList` and `Reason` of a job."""


class Queue(SlurmInfoWatcher):
    """States of the jobs that were asked about, in one call for all; submitit's jobs use it."""

    def __init__(self) -> None:
        super().__init__(delay_s=LONGEST_WAIT_S)
        self._asked: set[str] = set()

    def register_job(self, job_id: str) -> None:
        """Nothing: a job is watched from when it is first asked about, and most never are."""

    def get_info(self, job_id: str, mode: str = "standard") -> Info:
        """`State`, `NodeList` and `Reason`; nothing where the scheduler does not answer.

        Args:
            job_id: a job, or a task of an array as "12_3".
            mode: "standard" asks now and then, "force" now, "cache" never.
        """
        if job_id not in self._asked:
            self._asked.add(job_id)
            self._start_time = time.time()
        new = job_id not in self._info_dict
        waited = time.time() - self._last_status_check
        # The first question about one task of an array answers for all of them.
        if new and mode != "cache" and waited > SHORTEST_WAIT_S:
            mode = "force"
        self.update_if_long_enough(mode)
        return self._info_dict.get(job_id, {})

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Whether the job has ended; one that waits for its turn again has not."""
        return self.get_state(job_id, mode=mode) in KILLED

    def update(self) -> None:
        """Asks about all jobs that have not ended."""
        open_jobs = self._asked - self._finished
        if not open_jobs:
            return
        self._num_calls += 1
        self._last_status_check = time.time()
        queued = _queued(open_jobs)
        if queued is None:
            return
        self._info_dict.update(queued)
        for job_id in open_jobs - set(queued):
            # Tasks of an array that were cancelled before they began stand under its number.
            of_array = queued.get(job_id.split("_")[0])
            if of_array is not None:
                self._info_dict[job_id] = of_array
        lost = {name for name in open_jobs - set(queued) if name.split("_")[0] not in queued}
        if lost:
            past = self.read_info(_accounted(lost))
            self._info_dict.update({job_id: _past(past.get(job_id)) for job_id in lost})
        self._finished |= {name for name in open_jobs if self.is_done(name, mode="cache")}


def _past(info: Info | None) -> Info:
    """What the accounting says of a job that the queue does not know: it has ended, somehow."""
    state = (info or {}).get("State", "").split(" ")[0]
    return {
        "State": state if state in KILLED else GONE,
        "NodeList": (info or {}).get("NodeList", ""),
        "Reason": "",
    }


def _numbers(jobs: Collection[str]) -> str:
    return ",".join(sorted({job_id.split("_")[0] for job_id in jobs}))


def _queued(jobs: Collection[str]) -> dict[str, Info] | None:
    """Jobs that wait, run or ended minutes ago; None if the scheduler does not answer."""
    if shutil.which("squeue") is None:  # a cache that came from another machine
        return {}
    which = f"--jobs={_numbers(jobs)}"
    asked = subprocess.run(
        ["squeue", which, "--noheader", "--array", "--states=all", "--format=%i|%T|%N|%r"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        return {} if "Invalid job id" in asked.stderr else None
    found = {}
    for line in asked.stdout.splitlines():
        job_id, state, nodes, reason = line.strip().split("|", 3)
        found[job_id] = {"State": state, "NodeList": nodes, "Reason": reason}
    return found


def _accounted(jobs: Collection[str]) -> str:
    """What `sacct` prints; nothing without accounting."""
    if shutil.which("sacct") is None:
        return ""
    return subprocess.run(
        ["sacct", "--format=JobID,State,NodeList", "--parsable2", f"--jobs={_numbers(jobs)}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def cancel_pending(jobs: Collection[str]) -> None:
    """Takes out of the queue what has not begun of these jobs, and of the arrays they are of."""
    if jobs:
        subprocess.run(
            ["scancel", "--state=PENDING", *_numbers(jobs).split(",")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )


@contextmanager
def keeping_configuration() -> Iterator[None]:
    """Leaves $SLURM_CONF to `sbatch`; submitit clears it with all that a surrounding job sets."""
    ours, cleaned = os.environ.get("SLURM_CONF"), submitit.helpers.clean_env

    @contextmanager
    def clean_env(extra_names: Sequence[str] = ()) -> Iterator[None]:
        with cleaned(extra_names):
            if ours is not None:
                os.environ["SLURM_CONF"] = ours
            yield

    submitit.helpers.clean_env = clean_env
    try:
        yield
    finally:
        submitit.helpers.clean_env = cleaned


def use_queue() -> None:
    """Lets all jobs of submitit, those read from a cache too, learn their states here."""
    submitit.SlurmJob.watcher = Queue()
