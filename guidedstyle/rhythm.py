"""How often something is done while a render goes on. Without torch."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from guidedstyle.errors import GuidedStyleError

SHARE = 0.05  # of the time, at most, for what is done every so many seconds
LONGEST = 600.0  # seconds to wait at most for its sake: the process may have been halted meanwhile


@dataclass(frozen=True)
class Rhythm:
    """Every so many steps or seconds; neither: never."""

    steps: int | None = None
    seconds: float | None = None


NEVER = Rhythm()


def read_rhythm(text: str, option: str) -> Rhythm:
    """Read `20` (steps), `5s` or `off`; raises GuidedStyleError where it is none of them."""
    if text == "off":
        return NEVER
    if re.fullmatch(r"[1-9][0-9]{0,8}", text):
        return Rhythm(steps=int(text))
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?s", text) and float(text[:-1]) > 0:
        return Rhythm(seconds=float(text[:-1]))
    remedy = f"write, for example, {option} 20, {option} 5s or {option} off"
    raise GuidedStyleError.of(option, f"{text!r} is neither a number of steps, nor seconds, nor off", remedy)


class Beat:
    """Does something in a rhythm; by seconds never so often that it takes more than SHARE of the time."""

    def __init__(self, rhythm: Rhythm) -> None:
        self.rhythm, self.next = rhythm, time.monotonic() + (rhythm.seconds or 0)

    def run(self, step: int, action: Callable[[], object]) -> None:
        """Do it if it is time."""
        if self.rhythm.steps and step % self.rhythm.steps == 0:
            action()
        elif self.rhythm.seconds and time.monotonic() >= self.next:
            began = time.monotonic()
            action()
            now = time.monotonic()
            self.next = now + max(self.rhythm.seconds, min(LONGEST, (now - began) / SHARE))
