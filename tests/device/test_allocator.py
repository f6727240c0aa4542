"""Freed memory is taken again without the system's help."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from guidedstyle.device.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    before = faults()
    for size in (40, 20, 10, 40):
        torch.ones(size << 18)
print(faults() - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc returns memory that soon"
)
def test_the_fifth_round_needs_no_fresh_pages() -> None:
    """110 MiB are 28160 pages; without the switch most of them come anew in every round."""
    returned, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True).stdout)
        for how in ("return", "keep")
    )
    assert 10 * kept < returned
