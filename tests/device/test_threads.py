"""Threads that wait for each other: awake on an idle machine, asleep beside busy processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from guidedstyle.device.threads import BUSY, CALM, SPIN_VARIABLES, Looks, Teams, count_interruptions, read_interruptions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how often threads are interrupted")

LIMITED = "GOMP_SPINCOUNT=10000, KMP_BLOCKTIME=1"

# Renders the same step until there is a team of idle threads, and says so.
WATCHED = """
import sys, threading, time
import guidedstyle
import torch
from guidedstyle.device.threads import sharing_cores
torch.set_num_threads(max(2, torch.get_num_threads()))
data, outside, began = torch.rand(2_000_000), threading.active_count(), time.monotonic()
with sharing_cores():
    while not any(one.name == "guidedstyle_team" for one in threading.enumerate()):
        for _ in range(100):
            data.mul_(1.0001)
        if time.monotonic() > began + 60:
            sys.exit("busy processes are not seen within a minute")
    print("seen", flush=True)
time.sleep(1)
print(threading.active_count() - outside)
"""


@contextmanager
def running(*arguments: str, count: int = 1) -> Iterator[list[subprocess.Popen[str]]]:
    """Run Python `count` times, without what limits spinning."""
    plain = {name: value for name, value in os.environ.items() if name not in SPIN_VARIABLES}
    how = {"env": plain, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    found = [subprocess.Popen([sys.executable, "-c", *arguments], **how) for _ in range(count)]
    try:
        yield found
    finally:
        for one in found:
            one.kill()
            one.communicate()


def test_beside_busy_processes_threads_sleep_and_nothing_is_left_of_that_afterwards() -> None:
    with running("while True: pass", count=os.cpu_count() or 1), running(WATCHED) as (watched,):
        out, errors = watched.communicate()
        assert out == "seen\n0\n", errors


def test_teams_begin_and_end() -> None:
    """Each has a thread of its own, and ends with it."""

    def count() -> int:
        return sum(thread.name == "guidedstyle_team" for thread in threading.enumerate())

    teams = Teams()
    for wanted in (0, 2, 1, 3, 0):
        teams.keep(wanted)
        assert count() == wanted


def test_a_child_of_a_process_that_limits_spinning_watches_for_busy_processes_too() -> None:
    child = "import guidedstyle; from guidedstyle.device.threads import write_spinning; print(write_spinning())"
    parent = f"import guidedstyle, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with running(child) as (alone,), running(parent) as (born,):
        assert alone.communicate()[0] == born.communicate()[0] == f"{LIMITED} (less beside busy processes)\n"


@pytest.mark.parametrize("after", ["", "x86_Thread_features:\t\nx86_Thread_features_locked:\t\n"])
def test_interruptions_are_read_wherever_the_kernel_writes_them(after: str) -> None:
    status = f"Name:\tpython\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n{after}"
    assert count_interruptions(status) == 545
    assert count_interruptions("Name:\tpython\n") == 0


def test_one_interrupted_look_counts_at_once_and_calm_ones_only_together() -> None:
    looks, seen = Looks(), []
    for interruptions in (BUSY - 20, BUSY + 20, *[BUSY - 20] * CALM):
        looks.add(interruptions)
        seen.append(looks.busy)
    assert seen == [False, *[True] * CALM, False]


def test_interruptions_are_counted_for_each_thread() -> None:
    with_one, ready, end = dict(read_interruptions()), threading.Event(), threading.Event()

    def wait() -> None:
        ready.set()
        end.wait()

    other = threading.Thread(target=wait)
    other.start()
    ready.wait()
    assert set(read_interruptions()) - set(with_one) == {str(other.native_id)}
    end.set()
    other.join()
    assert str(os.getpid()) in with_one
