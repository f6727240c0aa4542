"""How OpenMP's threads wait for each other: awake where they have the cores, asleep beside other busy processes.

A thread that waits spins for a while before it sleeps. On an idle machine it had better spin, as being woken takes
longer than most waits. Beside a busy process a spinning thread uses up its share of a core, and the others wait for it:
renders take several times as long.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread

# Environment variables that say how long threads spin: of GNU's OpenMP (torch on Linux), LLVM's (macOS), and both.
SPIN_VARIABLES = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")
SPIN_COUNT, BLOCK_TIME = 10_000, 1  # about 0.2 ms, longer than most waits; and the shortest time in whole ms
TASKS = Path("/proc/self/task")  # of Linux
PAUSE = 0.2  # seconds between two looks at the threads
BUSY = 80  # times a second that a thread is interrupted; 15 to 60 on an idle machine, 90 to 7000 beside busy processes
CALM = 5  # looks in a row until the machine counts as idle again
GRAIN = 32768  # elements that torch gives a thread at least


def limit_spinning() -> None:
    """Limit how long OpenMP's threads spin while they wait for each other.

    OpenMP reads its environment once, when torch is loaded: after that, this does nothing. A user's setting is kept.
    """
    if "torch" not in sys.modules and not find_spinning():
        os.environ |= {"GOMP_SPINCOUNT": str(SPIN_COUNT), "KMP_BLOCKTIME": str(BLOCK_TIME)}
        _Watch.wanted = TASKS.exists()


def find_spinning() -> dict[str, str]:
    """Return the environment variables that limit how long OpenMP's threads spin; empty if there are none."""
    return {name: os.environ[name] for name in SPIN_VARIABLES if name in os.environ}


def write_spinning() -> str:
    """Write how long OpenMP's threads spin; empty where nothing limits it."""
    limits = ", ".join(f"{name}={value}" for name, value in find_spinning().items())
    return f"{limits} (not at all beside busy processes)" if _Watch.wanted else limits


@contextmanager
def sharing_cores() -> Iterator[None]:
    """Watch for busy processes; while there are any, waiting threads sleep at once."""
    with _Watch.lock:
        _Watch.users += 1
        if _Watch.users == 1 and _Watch.wanted and count_teams():
            _Watch.end = Event()
            Thread(target=_watch, args=(_Watch.end,), name="guidedstyle-cores", daemon=True).start()
    try:
        yield
    finally:
        with _Watch.lock:
            _Watch.users -= 1
            if not _Watch.users:
                _Watch.end.set()


class _Watch:
    """What is shared by all renders of this process."""

    wanted, users, lock, end = False, 0, Lock(), Event()


def _watch(end: Event) -> None:
    """Look at the threads of this process until `end`, and keep them asleep while they are interrupted often."""
    before, began, looks, teams = read_interruptions(), time.monotonic(), Looks(), list[_Team]()
    while not end.wait(PAUSE):
        now, at = read_interruptions(), time.monotonic()
        looks.add(max((count - before.get(thread, count) for thread, count in now.items()), default=0) / (at - began))
        before, began = now, at
        if looks.busy and not teams:
            teams = [_Team() for _ in range(count_teams())]
        elif not looks.busy and teams:
            _end(teams)
    _end(teams)


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


def read_interruptions() -> Mapping[str, int]:
    """Read how many times each thread of this process had to free its core for another one."""
    found = {}
    for task in TASKS.iterdir():
        try:
            found[task.name] = int((task / "status").read_text().rpartition(":")[2])
        except (OSError, ValueError):  # it has just ended
            continue
    return found


def count_teams() -> int:
    """Count the teams of threads that are needed besides that of a render until there are more threads than cores."""
    import torch

    others = torch.get_num_threads() - 1
    return len(os.sched_getaffinity(0)) // others if others else 0


class _Team:
    """A team of OpenMP's threads that does nothing.

    Where libgomp manages more threads than there are cores, all of its threads sleep almost at once when they wait: it
    then spins 100 times at most (`gomp_throttled_spin_count_var`). This is its only setting that can change after it
    was loaded.
    """

    def __init__(self) -> None:
        self.end, ready = Event(), Event()
        self.thread = Thread(target=self._run, args=(ready,), name="guidedstyle-team", daemon=True)
        self.thread.start()
        ready.wait()

    def _run(self, ready: Event) -> None:
        import torch

        torch.zeros(torch.get_num_threads() * GRAIN, dtype=torch.uint8).add_(1)
        ready.set()
        self.end.wait()


def _end(teams: list[_Team]) -> None:
    while teams:
        team = teams.pop()
        team.end.set()
        team.thread.join()
