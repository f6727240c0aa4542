"""Checks of a device that go wrong, for tests; another process finds them by name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from programs.device.rows import Row, Target


def measure(target: Target) -> Iterator[Row]:
    yield Row(what="process", value=os.getpid(), most=2**31)


def raise_error(target: Target) -> Iterator[Row]:
    yield Row(what="before the error", value=1.0)
    raise ValueError("the device is on fire")


def hang(target: Target) -> Iterator[Row]:
    yield Row(what="before it hangs", value=1.0)
    time.sleep(600)


def die(target: Target) -> Iterator[Row]:
    os._exit(7)
    yield
