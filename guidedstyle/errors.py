"""Errors that the user can fix, exit codes, and what runtime and system errors mean."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum

# Control characters, line separators, changes of the writing direction, lone surrogates.
HIDDEN = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
NO_WIDTH = re.compile("[\xad\u200b\u200e\u200f\u2060\ufeff]")  # harmless, and cannot be seen
ENDLESS = re.compile(r"\S{1000,}")


@dataclass(frozen=True)
class Problem:
    """One error: where it is, which rule is broken, and how to fix it."""

    place: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{show(self.place)}: {show(self.rule)}\n    {show(self.remedy)}"


class Warned(str):
    """The text of a warning, which also knows its place, rule and remedy, as an error does."""

    problem: Problem

    @classmethod
    def of(cls, problem: Problem, text: str = "") -> Warned:
        """Write a warning as `text`, by default with its place, its rule and, in brackets, its remedy."""
        warned = cls(text or f"{problem.place}: {problem.rule} ({problem.remedy})")
        warned.problem = problem
        return warned


def show(text: str) -> str:
    """Escape the characters that a terminal would interpret, and shorten endless words."""
    plain = HIDDEN.sub(lambda found: repr(found[0])[1:-1], text)
    plain = NO_WIDTH.sub(lambda found: f"\\u{ord(found[0]):04x}", plain)
    return ENDLESS.sub(lambda found: f"{found[0][:60]}...", plain)


class GuidedStyleError(Exception):
    """An error that the user can fix; holds all the problems found, to be reported at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[GuidedStyleError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)  # an error of a worker reaches the process that waits for it

    @classmethod
    def of(cls, place: object, rule: str, remedy: str) -> GuidedStyleError:
        """Make an error with a single problem."""
        return cls([Problem(str(place), rule, remedy)])


class RenderFailedError(GuidedStyleError):
    """A render failed after it had begun; the remedies say which files are kept."""


class StoppedEarlyError(Exception):
    """A render was stopped before its first step, while a style image was synthesised."""


OUT_OF_MEMORY = (  # in messages of torch, C++, oneDNN, the dynamic linker, Linux and Python
    "out of memory",
    "can't allocate memory",
    "bad_alloc",
    "could not create a primitive",
    "failed to map segment",
    "annot allocate memory",
    "start new thread",
)
DEVICE_FAILED = (
    "CUDA error",
    "CUDNN_STATUS",
    "CUBLAS_STATUS",
    "CUSOLVER_STATUS",
    "NCCL error",
    "HIP error",
    "device lost",
)
CONNECTION_LOST = "gloo/transport"  # in messages of the processes of a render on CPUs when one of them has ended
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out; torch raises a plain RuntimeError on CPUs."""
    return isinstance(error, MemoryError) or any(word in str(error) for word in OUT_OF_MEMORY)


def has_long_name(error: Exception) -> bool:
    """Whether an error says that the name of a file is too long."""
    return isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG


def explain_error(error: Exception) -> GuidedStyleError | None:
    """Turn an error of torch or the system into one that says how to fix it; None: it is a bug."""
    if isinstance(error, GuidedStyleError):
        return error
    if is_out_of_memory(error):
        remedy = "close other programs, or render smaller (--size) or with less memory (--set solver.method=sgd)"
        return GuidedStyleError.of("memory", "there is not enough for this image", remedy)
    if isinstance(error, OSError):
        return _explain_system(error)
    return _explain_runtime(str(error)) if isinstance(error, RuntimeError) else None


def _explain_runtime(message: str) -> GuidedStyleError | None:
    if "home directory" in message:
        return GuidedStyleError.of("HOME", "there is no home folder", "set HOME to a folder that can be written")
    if "initialize cpuinfo" in message:
        rule = "torch cannot compute where the system hides its processors"
        return GuidedStyleError.of("/proc/cpuinfo", rule, "mount /proc")
    if any(word in message for word in DEVICE_FAILED):
        remedy = "choose another device (--device cpu), or restart this one"
        return GuidedStyleError.of("--device", f"the device failed ({message.splitlines()[0]})", remedy)
    if "in forked subprocess" in message:
        rule = "a process that was forked from one that has used the GPU cannot use it"
        return GuidedStyleError.of("--device", rule, 'start processes with multiprocessing.get_context("spawn")')
    if CONNECTION_LOST in message:
        remedy = "fix what the other processes report, and start them all again"
        rule = f"the processes of this render cannot reach each other ({message.splitlines()[0]})"
        return GuidedStyleError.of("torchrun", rule, remedy)
    return None


def _explain_system(error: OSError) -> GuidedStyleError | None:
    place = error.filename or "a file"
    if has_long_name(error):
        return GuidedStyleError.of(place, "this file name is too long", "choose a shorter one")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        rule, remedy = "too many files are open", "allow more (ulimit -n 1024), or close other programs"
        return GuidedStyleError.of(place, f"it cannot be opened: {rule}", remedy)
    if isinstance(error, PermissionError):
        remedy = "change its permissions, or those of its folder, or choose another file"
        return GuidedStyleError.of(place, f"it cannot be accessed: {error.strerror}", remedy)
    if error.errno in DISK:
        rule = f"it cannot be written: {error.strerror}"
        return GuidedStyleError.of(place, rule, "choose another folder, or free disk space")
    return None


class ExitCode(IntEnum):
    """How the process ends; the last two follow the shells' 128 + signal."""

    DONE = 0
    BUG = 1
    USER_ERROR = 2
    INTERRUPTED = 130
    PIPE_CLOSED = 141


def find_worst(codes: Collection[ExitCode]) -> ExitCode:
    """Find the exit code of several renders by those of each."""
    order = (ExitCode.INTERRUPTED, ExitCode.BUG, ExitCode.USER_ERROR)
    return next((code for code in order if code in codes), ExitCode.DONE)


def find_error_code(error: Exception) -> ExitCode:
    """Find the exit code of an error."""
    if isinstance(error, StoppedEarlyError):
        return ExitCode.INTERRUPTED
    return ExitCode.USER_ERROR if explain_error(error) else ExitCode.BUG
