"""Checks in a process of their own, each within its time; one that fails, hangs or dies does not stop the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from programs.device.rows import Row, Target

LEAST = 3.0  # seconds that must be left for a check to begin
KEPT = 6.0  # seconds that are kept for the start of a process


@dataclass(frozen=True)
class Check:
    """A function that measures rows, and the most seconds that it gets; a fresh one needs a process that did nothing.

    The function is found by its name in another process.
    """

    name: str
    measure: Callable[[Target], Iterator[Row]]
    seconds: float
    fresh: bool = False


class Worker:
    """A process that does one check after another, until one of them fails."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=serve, args=(other,))
        self.process.start()
        other.close()

    def run(self, check: Check, target: Target, seconds: float) -> Iterator[Row]:
        """Do a check; yields its rows as they come. After one that lacks something this process is of no more use."""
        end = time.monotonic() + seconds
        self.pipe.send((check.measure, target))
        while True:
            if not self.pipe.poll(max(0.0, end - time.monotonic())):
                yield Row(what=check.name, lacks="late", note=f"not done after {seconds:.0f} s")
                return
            try:
                found = self.pipe.recv()
            except EOFError:
                self.process.join(10)
                yield Row(what=check.name, lacks="failed", note=f"the process ended with {self.process.exitcode}")
                return
            if found is None:
                return
            yield found

    def end(self) -> None:
        """End the process, and those that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.pipe.close()


def serve(pipe: Connection) -> None:
    """Do the checks that come through a pipe, until it is closed."""
    os.setpgid(0, 0)
    while True:
        try:
            measure, target = pipe.recv()
        except EOFError:
            return
        try:
            for row in measure(target):
                pipe.send(row)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            text = " ".join(str(error).split())[:300]
            pipe.send(Row(what=measure.__name__, lacks="failed", note=f"{type(error).__name__}: {text}"))
        pipe.send(None)


def run_checks(
    checks: Sequence[Check], target: Target, seconds: float, on_begin: Callable[[str], object] = lambda name: None
) -> Iterator[Row]:
    """Do checks, the most important first, within `seconds` in all; those for which no time is left are skipped."""
    end, worker = time.monotonic() + seconds, None
    try:
        for check in checks:
            left = end - time.monotonic() - (KEPT if worker is None or check.fresh else 0)
            if left < LEAST:
                yield Row(what=check.name, lacks="skipped", check=check.name, note=f"the {seconds:.0f} s are used up")
                continue
            if worker and check.fresh:
                worker.end()
                worker = None
            worker = worker or Worker()
            on_begin(check.name)
            lacks = False
            for row in worker.run(check, target, min(left, check.seconds)):
                lacks = row.lacks in ("failed", "late")
                yield replace(row, check=check.name)
            if lacks or check.fresh:  # after an error a GPU may refuse everything
                worker.end()
                worker = None
    finally:
        if worker:
            worker.end()
