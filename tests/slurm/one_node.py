"""A real Slurm of one node on this machine, in a folder of its own: started, used, stopped.

It needs root (daemons start jobs as their users) and Debian's packages `slurm-wlm` and `munge`,
which are installed if they are missing and can be. Nothing of a Slurm that the machine may have is
read or written: key, configuration, state, ports and logs are its own.

    python -m tests.slurm.one_node FOLDER   # until Ctrl-C; elsewhere: the export that it prints
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
NODE = "one"
INSTALL_S = 200
CONFIG = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=1
JobRequeue=1
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""


class CannotStart(Exception):
    """Why there can be no Slurm here."""


def daemon(name: str) -> str | None:
    """Where a daemon stands; /usr/sbin is not on every path."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def require_packages() -> None:
    """Installs Slurm and munge if they are missing.

    Raises:
        CannotStart: not root, no apt, or the installation fails.
    """
    if os.geteuid() != 0:
        raise CannotStart("a Slurm of one's own needs root")
    if all(map(daemon, DAEMONS)) and shutil.which("sbatch"):
        return
    if shutil.which("apt-get") is None:
        raise CannotStart("Slurm is not installed, and there is no apt-get to install it with")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["install", "-y", "-qq", "--no-install-recommends", "slurm-wlm", "munge"]
    for command in (["update", "-qq"], install):
        try:
            subprocess.run(
                ["apt-get", *command], env=quiet, timeout=INSTALL_S, capture_output=True, check=True
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise CannotStart(f"Slurm cannot be installed: {error}") from error
    if not all(map(daemon, DAEMONS)):
        raise CannotStart("the packages slurm-wlm and munge lack a daemon")


class OneNode:
    """The cluster, from `start` to `stop`.

    Args:
        folder: empty, and readable by everybody on the way there; short, as sockets have short
            names.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def config(self) -> Path:
        """What $SLURM_CONF has to name."""
        return self.folder / "slurm.conf"

    def start(self) -> None:
        """Starts the daemons and waits for the node.

        Raises:
            CannotStart: a daemon ends, or the node does not come up.
        """
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        host = socket.gethostname().split(".")[0]
        self.config.write_text(
            CONFIG.format(host=host, node=NODE, folder=self.folder, ports=_free_ports(2)),
            encoding="utf-8",
        )
        of_munge = {
            "key-file": key,
            "socket": self.folder / "munge.socket",
            "pid-file": self.folder / "munged.pid",
            "log-file": self.folder / "munged.log",
            "seed-file": self.folder / "munge.seed",
        }
        self._spawn(
            "munged", "--foreground", "--force", *(f"--{k}={v}" for k, v in of_munge.items())
        )
        self._until(lambda: (self.folder / "munge.socket").exists(), "munged opens no socket")
        self._spawn("slurmctld", "-D", "-c")
        self._spawn("slurmd", "-D", "-N", NODE)
        self._until(lambda: self.state().startswith("idle"), "the node does not come up")

    def stop(self) -> None:
        """Ends jobs, then what was started here."""
        if self._processes:
            with suppress(subprocess.SubprocessError):
                self.run("scancel", "--user=root")
                self._until(lambda: not self.run("squeue", "--noheader"), "jobs do not end")
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def run(self, *command: str) -> str:
        """What a command of Slurm prints."""
        environment = {**os.environ, "SLURM_CONF": str(self.config)}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=30, check=True
        ).stdout.strip()

    def state(self) -> str:
        """Of the node: "idle", "mixed", "allocated", "draining", "drained"; "" before it is up."""
        with suppress(subprocess.SubprocessError):
            return self.run("sinfo", "--noheader", "--format=%T")
        return ""

    def drain(self) -> None:
        """The node takes no more jobs."""
        self.run("scontrol", "update", f"nodename={NODE}", "state=drain", "reason=test")

    def resume(self) -> None:
        """The node takes jobs again."""
        with suppress(subprocess.SubprocessError):  # a node that came back by itself
            self.run("scontrol", "update", f"nodename={NODE}", "state=resume")
        self._until(lambda: self.state() in ("idle", "mixed", "allocated"), "the node stays away")

    def fail(self) -> None:
        """The node is gone, with what ran there, and comes back at once."""
        self.run("scontrol", "update", f"nodename={NODE}", "state=down", "reason=test")
        self.resume()

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as out:
            process = subprocess.Popen(
                [daemon(name) or name, *arguments],
                env={**os.environ, "SLURM_CONF": str(self.config)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)

    def _until(self, holds: object, otherwise: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not holds():  # type: ignore[operator]
            ended = [process.args for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = [path.read_text("utf-8", "replace")[-500:] for path in self._logs()]
                raise CannotStart(f"{otherwise}; {ended} ended: {' '.join(logs)}")
            time.sleep(0.1)

    def _logs(self) -> list[Path]:
        return [
            self.folder / f"{name}.out"
            for name in DAEMONS
            if (self.folder / f"{name}.out").exists()
        ]


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def main() -> None:
    """A cluster in the folder that the command line names, until it is interrupted."""
    require_packages()
    cluster = OneNode(Path(sys.argv[1]).absolute())
    cluster.folder.mkdir(parents=True, exist_ok=True)
    try:
        cluster.start()
        print(f"export SLURM_CONF={cluster.config}")
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(1)
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
