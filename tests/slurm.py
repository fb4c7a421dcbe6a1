"""A SLURM cluster of two nodes on this machine, from Debian's slurm-wlm and munge; needs root."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

DAEMONS = ("slurmctld", "slurmd", "munged")
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=5,bf_interval=5
MpiDefault=none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ReturnToService=2
KillWait=5
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=2 RealMemory=10000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=2 RealMemory=10000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=60 State=UP
"""


def available() -> bool:
    return os.geteuid() == 0 and all(shutil.which(daemon) for daemon in DAEMONS)


class Cluster:
    """Running daemons, with their files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("state", "spool-n1", "spool-n2"):
            (folder / name).mkdir(parents=True)
        config = folder / "slurm.conf"
        config.write_text(CONFIG.format(host=os.uname().nodename.partition(".")[0], folder=folder))
        os.environ["SLURM_CONF"] = str(config)
        subprocess.run(["install", "-d", "-o", "munge", "-g", "munge", "-m", "0755", "/run/munge"], check=True)
        self.own_munged = not Path("/run/munge/munge.socket.2").exists()
        if self.own_munged:
            subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True)
        subprocess.run(["slurmctld", "-f", str(config), "-c"], check=True)
        for node in ("n1", "n2"):
            subprocess.run(["slurmd", "-f", str(config), "-N", node, "-c"], check=True)
        until(lambda: set(call("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}, 20)

    def stop(self) -> None:
        subprocess.run(["scancel", "--user=root"], check=False)
        until(lambda: not call("squeue", "-h"), 20)
        pids = [self.folder / f"{name}.pid" for name in ("slurmctld", "slurmd-n1", "slurmd-n2")]
        for path in [*pids, *([Path("/run/munge/munged.pid")] if self.own_munged else [])]:
            os.kill(int(path.read_text()), signal.SIGTERM)
            time.sleep(0.2)


def call(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def state(job: str) -> str:
    """Of a job, in squeue's words; empty when it has left the queue."""
    found = subprocess.run(["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True)
    return found.stdout.strip()


def until(reached: Callable[[], bool], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < limit, f"waited {seconds} s in vain"
        time.sleep(0.2)
