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
from contextlib import ExitStack, contextmanager, suppress
from errno import EIO
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from guidedstyle.errors import ExitCode
from guidedstyle.io.files import delete_temporary_files

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _Terminal(io.FileIO):
    """A terminal that can be closed: writes to it are then ignored instead of raising OSError."""

    def write(self, text: Any, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            if error.errno != EIO:
                raise
            return len(text)


def ignore_closed_terminal() -> None:
    """Ignore writes to a closed terminal or stream, and escape characters that a stream cannot encode."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:  # no file we open may become standard input or output
        pass
    os.close(handle)
    sys.stdout, sys.stderr = _protect(sys.stdout), _protect(sys.stderr)


def _protect(stream: TextIO | None) -> TextIO:
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    if os.name != "posix" or not stream.isatty():
        return stream
    terminal = io.BufferedWriter(_Terminal(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(terminal, stream.encoding, stream.errors, line_buffering=True)


def exit_on_interrupt() -> None:
    """Make Ctrl-C exit at once with one line of output.

    KeyboardInterrupt would be lost, or crash the process, in callbacks of libraries that are being loaded.
    """
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # a shell may have it ignored
        signal.signal(signal.SIGINT, _handle_interrupt)


def _handle_interrupt(number: int, frame: FrameType | None) -> NoReturn:
    with suppress(OSError):
        os.write(2, b"interrupted\n")  # print could be running already
    exit_at_once()


def exit_at_once() -> NoReturn:
    """Delete temporary files and exit, without cleaning up anything else."""
    delete_temporary_files()
    os._exit(ExitCode.INTERRUPTED)


STOPPING, EXITING = "stopping after this step; press Ctrl-C again to exit at once", "stopped at once"
ECHO = 0.3  # seconds: a launcher such as torchrun may forward a signal that the terminal has sent already
ONCE = {getattr(signal, "SIGHUP", None)}  # sent by the shell and by the system when a terminal is closed


class StopRequest(threading.Event):
    """Set when the user asks a render to stop after the current step."""


@contextmanager
def interruptible(report: Callable[[str], None]) -> Iterator[StopRequest]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into a stop request; a second one exits at once."""
    answer = _Answer(StopRequest(), report)
    with ExitStack() as stack:
        try:
            stack.enter_context(_listening(answer))
            handler = _ignore
        except (OSError, RuntimeError):  # no more open files or threads are allowed
            handler = answer.handle  # Python calls it as soon as it can
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
                stack.callback(signal.signal, number, signal.signal(number, handler))
        yield answer.stop


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: a thread answers."""


class _Answer:
    """Answers signals: the first one requests a stop, the second one exits."""

    def __init__(self, stop: StopRequest, report: Callable[[str], None]) -> None:
        self.stop, self.report, self.first = stop, report, 0.0

    def __call__(self, number: int) -> None:
        """Answer a signal."""
        now = time.monotonic()
        repeated = self.stop.is_set() and (number in ONCE or now < self.first + ECHO)
        if number not in SIGNALS or repeated:
            return
        second, self.first = self.stop.is_set(), self.first or now
        self.stop.set()
        with suppress(OSError):  # the terminal may be closed
            self.report(EXITING if second else STOPPING)
        if second:
            exit_at_once()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Answer a signal as its handler."""
        self(number)


@contextmanager
def _listening(answer: _Answer) -> Iterator[None]:
    """Answer signals from a thread: a step may be one long call within which Python runs no signal handler.

    Raises OSError or RuntimeError where that is not possible.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        listener = threading.Thread(target=_listen, args=(reader, answer), daemon=True)
        listener.start()
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            writer.close()
            listener.join()


def _listen(reader: socket.socket, answer: _Answer) -> None:
    """Answer each signal until the other end of `reader` is closed."""
    while number := reader.recv(1):
        answer(number[0])
