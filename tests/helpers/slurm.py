"""A real Slurm on this machine, for a test: munge, slurmctld and two slurmd, started and ended by process id.

Needs root and Debian's packages munge, slurmctld, slurmd and slurm-client. Everything lies in one temporary folder but
two links in /etc/slurm, since job steps ask there for the configuration; a machine that has one is left alone.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from string import Template

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
SYSTEM = Path("/etc/slurm")
NODES = ("node1", "node2")
HERE = Path(__file__).parents[1] / "cluster"


def why_not() -> str | None:
    """Why there can be no cluster here, in words; None where there can."""
    if os.getuid() != 0:
        return "a Slurm cluster is started as root only"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} not found: apt-get install munge slurmctld slurmd slurm-client"
    if (SYSTEM / "slurm.conf").exists():
        return f"{SYSTEM}/slurm.conf exists: this machine has a Slurm of its own"
    return None


@contextmanager
def cluster(folder: Path) -> Iterator["Cluster"]:
    """A running cluster; ended, and the links removed, whatever happens meanwhile."""
    running = Cluster(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()


class Cluster:
    """The daemons by name, and what a test does to them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen] = {}

    def start(self) -> None:
        self._configure()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        munge = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.folder}/munge.socket"]
        munge += [f"--{kind}-file={self.folder}/munge.{kind}" for kind in ("pid", "log", "seed")]
        self._run("munged", munge)
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._run("slurmctld", ["slurmctld", "-D", "-c", "-f", str(SYSTEM / "slurm.conf")])
        for node in NODES:
            self._run(node, ["slurmd", "-D", "-N", node, "-f", str(SYSTEM / "slurm.conf")])
        self._wait(lambda: all(self.state(node) == "idle" for node in NODES), "nodes")

    def stop(self) -> None:
        """End every job and daemon and remove the links."""
        with suppress(OSError, subprocess.SubprocessError):
            for job in self.jobs():
                kill(job_processes(job))
        for daemon in reversed(self.daemons.values()):
            daemon.kill()
            daemon.wait()
        for name in ("slurm.conf", "gres.conf"):
            if (SYSTEM / name).is_symlink() and (SYSTEM / name).readlink().parent == self.folder:
                (SYSTEM / name).unlink()

    def state(self, node: str) -> str:
        return ask("sinfo", "--noheader", "--nodes", node, "--partition", "cpu", "--format", "%t").strip()

    def jobs(self) -> list[str]:
        """Numbers of the running jobs."""
        return ask("squeue", "--noheader", "--states", "RUNNING", "--format", "%i").split()

    def running(self, rule: str, n: int, workflow: subprocess.Popen, seconds: float = 420) -> list[tuple[str, str]]:
        """Wait until ``n`` jobs of that rule of the workflow run: their numbers and nodes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and workflow.poll() is None:
            lines = ask("squeue", "--noheader", "--states", "RUNNING", "--format", "%i %N %k").splitlines()
            jobs = [line.split(maxsplit=2) for line in lines]
            found = [(job, node) for job, node, comment in jobs if comment.startswith(f"rule_{rule}")]
            if len(found) >= n:
                return found
            time.sleep(0.5)
        raise TimeoutError(f"no {n} jobs of {rule} ran side by side within {seconds:.0f} s; see {self.folder}")

    def lose(self, node: str, job: str) -> None:
        """The node and all that runs on it are gone at once, as when its power fails."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()
        on_node = ask("squeue", "--noheader", "--states", "RUNNING", "--nodelist", node, "--format", "%i").split()
        for lost in {job, *on_node}:
            kill(job_processes(lost))

    def _configure(self) -> None:
        ports = free_ports(3)
        host = socket.gethostname().split(".")[0]
        values = {"folder": self.folder, "host": host, "control_port": ports[0], "port1": ports[1], "port2": ports[2]}
        (self.folder / "slurm.conf").write_text(Template((HERE / "slurm.conf").read_text()).substitute(values))
        # a bare count of GPUs is refused; any device file will do
        (self.folder / "gres.conf").write_text("NodeName=node[1-2] Name=gpu File=/dev/null\n")
        (self.folder / "state").mkdir()
        for node in NODES:
            (self.folder / f"spool-{node}").mkdir()
        SYSTEM.mkdir(exist_ok=True)
        for name in ("slurm.conf", "gres.conf"):
            (SYSTEM / name).symlink_to(self.folder / name)

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.out").open("w") as log:
            self.daemons[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def _wait(self, ready, what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(subprocess.SubprocessError):
                if ready():
                    return
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if dead:
                raise RuntimeError(f"{dead[0]} ended: {(self.folder / f'{dead[0]}.out').read_text()[-500:]}")
            time.sleep(0.3)
        raise TimeoutError(f"{what} not ready within {seconds:.0f} s; see {self.folder}")


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def job_processes(job: str) -> list[int]:
    """Process ids of a job: its slurmstepd and all that carries its number in the environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes().split(b"\0")
            step = command.startswith(f"slurmstepd: [{job}.".encode())
            if step or {f"SLURM_JOB_ID={job}".encode(), b"SLURM_CLUSTER_NAME=v4egg"} <= set(environment):
                found.append(int(process.name))
    return found


def kill(processes: list[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def free_ports(n: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
