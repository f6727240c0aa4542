"""Spatially controlled multi-style editing: paint where each style goes, and get the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guidedstyle.device.threads import limit_spinning

if TYPE_CHECKING:
    from guidedstyle.app.api import (
        Check,
        Every,
        GuidedStyleError,
        NotebookReporter,
        RenderFailedError,
        RenderOptions,
        Reporter,
        SilentReporter,
        StoppedEarlyError,
        StopRequest,
        check,
        load_recipe,
        render,
    )


__version__ = "0.1.0"
__all__ = [
    "Check",
    "Every",
    "GuidedStyleError",
    "NotebookReporter",
    "RenderFailedError",
    "RenderOptions",
    "Reporter",
    "SilentReporter",
    "StopRequest",
    "StoppedEarlyError",
    "check",
    "load_recipe",
    "render",
]

limit_spinning()


def __getattr__(name: str) -> Any:  # so that `--help` does not load unused modules
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from guidedstyle.app import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
