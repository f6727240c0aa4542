"""Errors that the user can fix, exit codes, and what runtime and system errors mean."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum

# Control characters, ends of lines, changes of the direction of writing, halves of characters.
HIDDEN = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
ENDLESS = re.compile(r"\S{1000,}")


@dataclass(frozen=True)
class Problem:
    """One problem: the place where it is, the rule that is broken, and a remedy."""

    place: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{show(self.place)}: {show(self.rule)}\n    {show(self.remedy)}"


def show(text: str) -> str:
    """Escape control characters, and shorten very long words."""
    plain = HIDDEN.sub(lambda found: repr(found[0])[1:-1], text)
    return ENDLESS.sub(lambda found: f"{found[0][:60]}...", plain)


class GuidedStyleError(Exception):
    """An error that the user can fix: all problems at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    @classmethod
    def of(cls, place: object, rule: str, remedy: str) -> GuidedStyleError:
        """Make an error of a single problem."""
        return cls([Problem(str(place), rule, remedy)])


class RenderFailedError(GuidedStyleError):
    """A render failed after it had begun; the remedies say which files are kept."""


class StoppedEarlyError(Exception):
    """A render was stopped before its first step, while a style image was synthesised."""


OUT_OF_MEMORY = (  # messages of torch, C++, oneDNN, the dynamic loader, Linux, Python
    "out of memory",
    "can't allocate memory",
    "bad_alloc",
    "could not create a primitive",
    "failed to map segment",
    "annot allocate memory",
    "start new thread",
)
LOST = ("CUDA error", "CUDNN_STATUS", "CUBLAS_STATUS", "CUSOLVER_STATUS", "NCCL error", "HIP error", "device lost")
DISCONNECTED = "gloo/transport"  # in messages of CPU processes that cannot reach each other
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out; torch has no class of its own for a CPU's."""
    return isinstance(error, MemoryError) or any(word in str(error) for word in OUT_OF_MEMORY)


def has_long_name(error: Exception) -> bool:
    """Whether a file could not be opened because its name is too long."""
    return isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG


def explain_fault(error: Exception) -> GuidedStyleError | None:
    """Turn an error into one that the user can fix; None: it is a bug."""
    if isinstance(error, GuidedStyleError):
        return error
    if is_out_of_memory(error):
        remedy = "close other programs, or render smaller (--size) or with less memory (--set solver.method=sgd)"
        return GuidedStyleError.of("memory", "it does not suffice for this image", remedy)
    if isinstance(error, OSError):
        return _explain_system(error)
    return _explain_runtime(str(error)) if isinstance(error, RuntimeError) else None


def _explain_runtime(said: str) -> GuidedStyleError | None:
    if any(word in said for word in LOST):
        remedy = "choose another device (--device cpu), or restart this one"
        return GuidedStyleError.of("--device", f"the device failed ({said.splitlines()[0]})", remedy)
    if DISCONNECTED in said:
        remedy = "fix what the other processes report, and restart all of them"
        rule = f"the processes of this render cannot reach each other ({said.splitlines()[0]})"
        return GuidedStyleError.of("torchrun", rule, remedy)
    return None


def _explain_system(error: OSError) -> GuidedStyleError | None:
    place = error.filename or "a file"
    if has_long_name(error):
        return GuidedStyleError.of(place, "this name is too long for a file", "choose a shorter one")
    if isinstance(error, PermissionError):
        remedy = "change its permissions, or those of its folder, or choose another file"
        return GuidedStyleError.of(place, f"it cannot be reached: {error.strerror}", remedy)
    if error.errno in DISK:
        rule = f"it cannot be written: {error.strerror}"
        return GuidedStyleError.of(place, rule, "free disk space, or choose another folder")
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
    return ExitCode.USER_ERROR if explain_fault(error) else ExitCode.BUG
