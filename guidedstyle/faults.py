"""Faults of the machine, which are nobody's bug: by what libraries say of them. Without torch."""

from __future__ import annotations

import errno

from guidedstyle.errors import GuidedStyleError

SHORT = (  # of torch, C++, oneDNN, the loader of libraries, Linux, Python
    "out of memory",
    "can't allocate memory",
    "bad_alloc",
    "could not create a primitive",
    "failed to map segment",
    "annot allocate memory",
    "start new thread",
)
LOST = ("CUDA error", "CUDNN_STATUS", "CUBLAS_STATUS", "CUSOLVER_STATUS", "NCCL error", "HIP error", "device lost")
PARTED = "gloo/transport"  # of what processes on CPUs say where one has ended, or none can be reached
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that memory did not suffice; of a CPU's, torch has no class of its own."""
    return isinstance(error, MemoryError) or any(word in str(error) for word in SHORT)


def has_long_name(error: Exception) -> bool:
    """Tell whether a file could not be reached for the length of its name."""
    return isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG


def explain_fault(error: Exception) -> GuidedStyleError | None:
    """Say what a person can do about an error; None: nothing, it is a bug."""
    if isinstance(error, GuidedStyleError):
        return error
    if is_out_of_memory(error):
        remedy = "close other programs, or render smaller (--size) or with less memory (--set solver.method=sgd)"
        return GuidedStyleError.of("memory", "it does not suffice for this picture", remedy)
    if isinstance(error, OSError):
        return _explain_system(error)
    return _explain_runtime(str(error)) if isinstance(error, RuntimeError) else None


def _explain_runtime(said: str) -> GuidedStyleError | None:
    if any(word in said for word in LOST):
        remedy = "choose another device (--device cpu), or start this one anew"
        return GuidedStyleError.of("--device", f"the device failed ({said.splitlines()[0]})", remedy)
    if PARTED in said:
        remedy = "look at what the others said, mend that, and start them all anew"
        rule = f"the processes of this render do not reach each other ({said.splitlines()[0]})"
        return GuidedStyleError.of("torchrun", rule, remedy)
    return None


def _explain_system(error: OSError) -> GuidedStyleError | None:
    place = error.filename or "a file"
    if has_long_name(error):
        return GuidedStyleError.of(place, "this name is too long for a file", "choose a shorter one")
    if isinstance(error, PermissionError):
        remedy = "change its permissions, or those of its folder, or name another place"
        return GuidedStyleError.of(place, f"it cannot be reached: {error.strerror}", remedy)
    if error.errno in DISK:
        rule = f"it cannot be written: {error.strerror}"
        return GuidedStyleError.of(place, rule, "make room, or choose another place")
    return None
