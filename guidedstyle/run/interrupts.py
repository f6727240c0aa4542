"""Ctrl-C and closed terminals: finish the step, or exit at once."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EIO
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from guidedstyle.errors import INTERRUPTED
from guidedstyle.io.files import remove_temporary_files

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _Terminal(io.FileIO):
    """Where people read; once it is closed, what is told goes nowhere, and nothing breaks for it."""

    def write(self, text: Any, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            if error.errno != EIO:
                raise
            return len(text)


def outlast_terminal() -> None:
    """Let what is told to where nobody reads be lost, and letters that cannot be shown, and not the render."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:  # closed from the start: no file may come to be called so
        pass
    os.close(handle)
    sys.stdout, sys.stderr = _outlast(sys.stdout), _outlast(sys.stderr)


def _outlast(stream: TextIO | None) -> TextIO:
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    if os.name != "posix" or not stream.isatty():
        return stream
    terminal = io.BufferedWriter(_Terminal(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(terminal, stream.encoding, stream.errors, line_buffering=True)


def end_on_interrupt() -> None:
    """Let Ctrl-C end the program at once, with a line.

    An exception is lost, or a crash, where libraries call back while they are loaded.
    """
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # not where a shell wants it to be ignored
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    with suppress(OSError):
        os.write(2, b"interrupted\n")  # whatever was being printed
    break_off()


def break_off() -> NoReturn:
    """End at once; no file stays half-written."""
    remove_temporary_files()
    os._exit(INTERRUPTED)


TOLD = ("stopping after this step; once more breaks off at once", "broken off")
ECHO = 0.3  # seconds in which whoever hands signals on sends one a second time
ONCE = {getattr(signal, "SIGHUP", None)}  # a shell and the system both tell that a terminal was closed


@contextmanager
def interruptible(tell: Callable[[str], None]) -> Iterator[list[float]]:
    """Collect the times of Ctrl-C, or of requests to end, instead of breaking off; a second one breaks off.

    A step may be one long call, within which Python sees no signal: a thread reads them as they come.
    """
    interrupts, (reader, writer) = list[float](), socket.socketpair()
    writer.setblocking(False)

    def listen() -> None:
        while number := reader.recv(1):
            now = time.monotonic()
            again = interrupts and (number[0] in ONCE or now < interrupts[0] + ECHO)
            if number[0] in SIGNALS and not again:
                interrupts.append(now)
                with suppress(OSError):  # whoever reads it may be gone
                    tell(TOLD[len(interrupts) - 1])
            if len(interrupts) > 1:
                break_off()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # as nohup wants it
    handlers = [(number, signal.signal(number, lambda *_: None)) for number in heard]
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
