"""Ctrl-C: once, to finish the step; twice, to break off at once."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from guidedstyle.commands import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(tell: Callable[[str], None]) -> Iterator[list[float]]:
    """Collect the time of the first Ctrl-C, or of a request to end, instead of breaking off; a second one breaks off.

    A step may be one long call, within which Python sees no signal: a thread reads them as they come.
    """
    interrupts, (reader, writer) = list[float](), socket.socketpair()
    writer.setblocking(False)

    def listen() -> None:
        while number := reader.recv(1):
            if number[0] in SIGNALS:
                interrupts.append(time.monotonic())
                tell("stopping after this step; once more breaks off at once" if len(interrupts) == 1 else "broken off")
            if len(interrupts) > 1:
                os._exit(INTERRUPTED)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    handlers = [(number, signal.signal(number, lambda *_: None)) for number in SIGNALS]
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield interrupts
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers:
            signal.signal(number, handler)
        writer.close()
        listener.join()
        reader.close()
