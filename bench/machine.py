"""What the machine says of a process, and what its disk and its programs cost without us."""

import contextlib
import os
import pathlib
import subprocess
import time

from table import timed

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """Processor time of all threads of a process, in user and in kernel mode."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def precise_cpu_seconds(pid):
    """The same to the nanosecond, for short spans: without the threads that have ended."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_mib(pid):
    return status(pid, "VmRSS") / 1024


def status(pid, name):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name + ":")).split()[1])


def wakeups(pid):
    """How often threads of the process have gone to sleep so far: idle means that this stands still."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(status(f"{pid}/task/{task.name}", "voluntary_ctxt_switches") for task in tasks)


def idle(pid, seconds=5):
    """Milliseconds of processor time and wake-ups, each for a second in which nobody asks for anything."""
    cpu, woken = precise_cpu_seconds(pid), wakeups(pid)
    time.sleep(seconds)
    return (precise_cpu_seconds(pid) - cpu) * 1000 / seconds, (wakeups(pid) - woken) / seconds


@contextlib.contextmanager
def bare_sync(folder, size=4096):
    """A function that appends `size` bytes to a file of its own and syncs it. What else the disk has to do
    changes from one moment to the next, so callers take turns between this and what they compare with it."""
    path = pathlib.Path(folder) / "floor"
    with open(path, "wb") as out:

        def one(_number):
            out.write(b"x" * size)
            out.flush()
            os.fdatasync(out.fileno())

        yield one
    path.unlink()


def process(command, count=15):
    """Microseconds from start to end of a program."""
    return timed(lambda _: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), count)
