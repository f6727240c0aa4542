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
    if isinstance(error, RuntimeError) and any(word in str(error) for word in LOST):
        remedy = "choose another device (--device cpu), or start this one anew"
        return GuidedStyleError.of("--device", f"the device failed ({str(error).splitlines()[0]})", remedy)
    if isinstance(error, OSError) and is_too_long(error):
        return GuidedStyleError.of(error.filename, "this name is too long for a file", "choose a shorter one")
    if isinstance(error, PermissionError):
        remedy = "change its permissions, or those of its folder, or name another place"
        return GuidedStyleError.of(error.filename, f"it cannot be reached: {error.strerror}", remedy)
    if isinstance(error, OSError) and error.errno in DISK:
        place = error.filename or "the output"
        return GuidedStyleError.of(
            place, f"it cannot be written: {error.strerror}", "make room, or choose another place"
        )
    return None
