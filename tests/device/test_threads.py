"""Threads that wait for each other: awake on an idle machine, asleep beside busy processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from guidedstyle.device.threads import BUSY, CALM, SPIN_VARIABLES, Looks, count_interruptions, read_interruptions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how often threads are interrupted")

LIMITED = "GOMP_SPINCOUNT=10000, KMP_BLOCKTIME=1"

# Renders the same steps until there is a team of idle threads, or no longer one, and says so.
WATCHED = """
import sys, threading, time
import guidedstyle
import torch
from guidedstyle.device.threads import sharing_cores
torch.set_num_threads(max(2, torch.get_num_threads()))
data, outside = torch.rand(2_000_000), threading.active_count()
with sharing_cores():
    for wanted in (True, False):
        began = time.monotonic()
        while any(one.name == "guidedstyle_team" for one in threading.enumerate()) != wanted:
            for _ in range(100):
                data.mul_(1.0001)
            if time.monotonic() > began + 60:
                sys.exit(f"after a minute: {wanted} is not seen")
        print(wanted, flush=True)
        sys.stdin.readline()
        if "once" in sys.argv:
            break
time.sleep(1)
print(threading.active_count() - outside)
"""


@contextmanager
def running(*arguments: str, count: int = 1) -> Iterator[list[subprocess.Popen[str]]]:
    """Run Python `count` times, without what limits spinning."""
    plain = {name: value for name, value in os.environ.items() if name not in SPIN_VARIABLES}
    how = {"env": plain, "text": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    found = [subprocess.Popen([sys.executable, "-c", *arguments], **how) for _ in range(count)]
    try:
        yield found
    finally:
        for one in found:
            one.kill()
            one.communicate()


def tell(process: subprocess.Popen[str], answer: str = "\n") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise AssertionError(process.communicate()[1])
    if process.poll() is None:
        process.stdin.write(answer)
        process.stdin.flush()
    return line


def test_beside_busy_processes_threads_sleep_and_nothing_is_left_of_that_afterwards() -> None:
    with running("while True: pass", count=os.cpu_count() or 1), running(WATCHED, "once") as (watched,):
        assert tell(watched) == "True"
        assert watched.communicate()[0] == "0\n"


@pytest.mark.slow
def test_once_the_others_have_ended_threads_spin_again() -> None:
    with running(WATCHED) as (watched,):
        with running("while True: pass", count=os.cpu_count() or 1):
            assert tell(watched) == "True"
        assert tell(watched) == "False"
        assert watched.communicate()[0] == "0\n"


def test_a_child_of_a_process_that_limits_spinning_watches_for_busy_processes_too() -> None:
    child = "import guidedstyle; from guidedstyle.device.threads import write_spinning; print(write_spinning())"
    parent = f"import guidedstyle, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with running(child) as (alone,), running(parent) as (born,):
        assert alone.communicate()[0] == born.communicate()[0] == f"{LIMITED} (not at all beside busy processes)\n"


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
