"""Memory that stays: what a step frees, the next one takes again."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of malloc.h
LARGE = 32 * 2**20  # bytes, the most that glibc takes for M_MMAP_THRESHOLD


def keep_freed_memory(large_too: bool = True) -> None:
    """Tell the C library to keep freed memory for the next step instead of returning it to the system.

    A step frees and takes hundreds of megabytes; fresh pages cost more time than many a layer. Where memory is short
    and pictures are large, `large_too` False returns what is large: its holes would fit nothing else. Other C
    libraries than glibc have no such switch and need none.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.malloc_trim(0)
        library.mallopt(M_MMAP_MAX, 0 if large_too else 2**16)
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1 if large_too else LARGE)
