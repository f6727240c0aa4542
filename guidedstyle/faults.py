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
PARTED = "gloo/transport"  # of what processes of a CPU say that lose each other
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that memory did not suffice; of a CPU's, torch has no class of its own."""
    return isinstance(error, MemoryError) or any(word in str(error) for word in SHORT)


def is_too_long(error: Exception) -> bool:
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
    return _explain_device(str(error)) if isinstance(error, RuntimeError) else None


def _explain_device(said: str) -> GuidedStyleError | None:
    if any(word in said for word in LOST):
        remedy = "choose another device (--device cpu), or start this one anew"
        return GuidedStyleError.of("--device", f"the device failed ({said.splitlines()[0]})", remedy)
    if PARTED in said:
        remedy = "look at what that one said, mend it, and start them all anew"
        return GuidedStyleError.of("torchrun", "another process of this render has ended", remedy)
    return None


def _explain_system(error: OSError) -> GuidedStyleError | None:
    if is_too_long(error):
        return GuidedStyleError.of(error.filename, "this name is too long for a file", "choose a shorter one")
    if isinstance(error, PermissionError):
        remedy = "change its permissions, or those of its folder, or name another place"
        return GuidedStyleError.of(error.filename, f"it cannot be reached: {error.strerror}", remedy)
    if error.errno in DISK:
        place = error.filename or "the output"
        rule = f"it cannot be written: {error.strerror}"
        return GuidedStyleError.of(place, rule, "make room, or choose another place")
    return None
