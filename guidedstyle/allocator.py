"""Memory that stays: what a step frees, the next one takes again."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> None:
    """Tell the C library to keep freed memory for the next step instead of returning it to the system.

    A step frees and takes hundreds of megabytes; fresh pages cost more time than many a layer. Other C libraries
    than glibc have no such switch and need none.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
