"""How OpenMP's threads wait for each other: awake where they have the cores, asleep beside other busy processes.

A thread that waits spins for a while before it sleeps. On an idle machine it had better spin, as being woken takes
longer than most waits. Beside a busy process a spinning thread uses up its share of a core, and the others wait for it:
renders take several times as long.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, RLock, Thread

# Environment variables that say how long threads spin: of GNU's OpenMP (torch on Linux), LLVM's (macOS), and both.
SPIN_VARIABLES = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")
LIMITS = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}  # about 0.2 ms, longer than most waits; and 1 ms
INTERRUPTIONS = re.compile(r"^nonvoluntary_ctxt_switches:\s*(\d+)$", re.MULTILINE)
MOST_TEAMS = 8  # a render on so few of the cores that it takes more has others to move to, and is not watched
TASKS = Path("/proc/self/task")  # of Linux
PAUSE = 0.2  # seconds between two looks at the threads
BUSY = 80  # times a second that a thread is interrupted; 15 to 60 on an idle machine, 90 to 7000 beside busy processes
CALM = 5  # looks in a row until the machine counts as idle again
GRAIN = 32768  # elements that torch gives a thread at least


def limit_spinning() -> None:
    """Limit how long OpenMP's threads spin while they wait for each other.

    OpenMP reads its environment once, when torch is loaded: after that, this does nothing. A user's setting is kept;
    that of a parent process which imported this package is no user's.
    """
    if "torch" not in sys.modules and find_spinning() in ({}, LIMITS):
        os.environ |= LIMITS
        _Watch.wanted = TASKS.exists()


def find_spinning() -> dict[str, str]:
    """Return the environment variables that limit how long OpenMP's threads spin; empty if there are none."""
    return {name: os.environ[name] for name in SPIN_VARIABLES if name in os.environ}


def write_spinning() -> str:
    """Write how long OpenMP's threads spin; empty where nothing limits it."""
    limits = ", ".join(f"{name}={value}" for name, value in find_spinning().items())
    return f"{limits} (less beside busy processes)" if _Watch.wanted else limits


@contextmanager
def sharing_cores() -> Iterator[None]:
    """Watch for busy processes; while there are any, waiting threads sleep at once."""
    with _Watch.lock:
        _Watch.users += 1
        if _Watch.users == 1 and _Watch.wanted:
            _Watch.end = Event()
            _start(_watch, _Watch.end)
    try:
        yield
    finally:
        with _Watch.lock:
            _Watch.users -= 1
            if not _Watch.users:
                _Watch.end.set()


class _Watch:
    """What is shared by all renders of this process."""

    wanted, users, lock, end = False, 0, RLock(), Event()


def _start(task: Callable[[Event], None], end: Event) -> Thread | None:
    """Start a thread that does a task until `end`; None where the system allows no more threads."""
    thread = Thread(target=task, args=(end,), name=f"guidedstyle{task.__name__}", daemon=True)
    with suppress(RuntimeError):
        thread.start()
        return thread
    return None


def _watch(end: Event) -> None:
    """Look at the threads of this process until `end`, and keep them asleep while they are interrupted often."""
    before, began, looks, teams = read_interruptions(), time.monotonic(), Looks(), Teams()
    while not end.wait(PAUSE):
        now, at = read_interruptions(), time.monotonic()
        looks.add(max((count - before.get(thread, count) for thread, count in now.items()), default=0) / (at - began))
        before, began = now, at
        teams.keep(count_teams() if looks.busy else 0)
    teams.keep(0)


class Looks:
    """Decide whether a machine is busy by how often a thread is interrupted: at once, and until CALM looks are calm."""

    def __init__(self) -> None:
        self.last = deque[float]([0.0], maxlen=CALM)

    def add(self, interruptions: float) -> None:
        """Add a look: the interruptions a second of the thread that has most of them."""
        self.last.append(interruptions)

    @property
    def busy(self) -> bool:
        """Whether other processes are busy."""
        return max(self.last) > BUSY


def read_interruptions() -> dict[str, int]:
    """Read how many times each thread of this process had to free its core for another one."""
    found = {}
    with suppress(OSError):  # no more files can be opened
        for task in TASKS.iterdir():
            with suppress(OSError):  # it has just ended
                found[task.name] = count_interruptions((task / "status").read_text())
    return found


def count_interruptions(status: str) -> int:
    """Count the interruptions in the status of a thread, as Linux writes it; 0 where it does not tell."""
    found = INTERRUPTIONS.search(status)
    return int(found[1]) if found else 0


def count_teams() -> int:
    """Count the teams of threads that are needed besides that of a render until there are more threads than cores.

    0 where a render has one thread, which waits for no other, and where it would take more than MOST_TEAMS.
    """
    import torch

    others = torch.get_num_threads() - 1
    teams = len(os.sched_getaffinity(0)) // others if others else 0
    return teams if teams <= MOST_TEAMS else 0


class Teams:
    """Teams of OpenMP's threads that do nothing.

    Where libgomp manages more threads than there are cores, all of its threads sleep almost at once when they wait: it
    then spins 100 times at most (`gomp_throttled_spin_count_var`). This is its only setting that can change after it
    was loaded.
    """

    def __init__(self) -> None:
        self.ends, self.threads = list[Event](), list[Thread]()

    def keep(self, count: int) -> None:
        """Keep as many teams, if the system allows so many threads."""
        while len(self.threads) < count and (thread := _start(_team, end := Event())):
            self.ends.append(end)
            self.threads.append(thread)
        while len(self.threads) > count:
            self.ends.pop().set()
            self.threads.pop().join()


def _team(end: Event) -> None:
    import torch

    torch.zeros(torch.get_num_threads() * GRAIN, dtype=torch.uint8).add_(1)
    end.wait()
