"""Flags of libraries and their usual values, since the calling program may have changed them. Without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from PIL import ImageFile


@dataclass(frozen=True)
class Flag:
    """A value that a library keeps, and the one it has in a new process."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    usual: Any

    @contextmanager
    def usually(self) -> Iterator[None]:
        """Set the usual value, and at the end the one that was found; if it was the usual one, nothing is set."""
        found = self.read()
        if found == self.usual:
            yield
            return
        self.write(self.usual)
        try:
            yield
        finally:
            self.write(found)


class SharedFlags:
    """Flags of the whole process: set by the first thread that enters, and set back by the last one that leaves."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self.flags, self.lock, self.count, self.stack = flags, Lock(), 0, ExitStack()

    def __enter__(self) -> Self:
        with self.lock:
            if not self.count:
                enter_all(self.stack, self.flags)
            self.count += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self.lock:
            self.count -= 1
            if not self.count:
                self.stack.close()


def enter_all(stack: ExitStack, flags: Sequence[Flag]) -> None:
    """Set flags to their usual values, in their order, until a stack is closed."""
    for flag in flags:
        stack.enter_context(flag.usually())


IMAGE_FLAGS = SharedFlags(
    [
        Flag(cv2.useOptimized, cv2.setUseOptimized, True),
        Flag(
            lambda: ImageFile.LOAD_TRUNCATED_IMAGES,
            partial(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES"),
            False,  # half an image is an error
        ),
    ]
)


@contextmanager
def usual_numbers() -> Iterator[None]:
    """Compute with NumPy, OpenCV and Pillow as a new process does."""
    with IMAGE_FLAGS, np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
        yield
