"""The versions of what a render runs on."""

from __future__ import annotations

import platform
from importlib.metadata import version

PACKAGES = ("guidedstyle", "torch", "torchvision", "numpy", "pillow", "opencv-python-headless")


def list_versions() -> dict[str, str]:
    """List the versions of Python and of the packages that can change a picture."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
