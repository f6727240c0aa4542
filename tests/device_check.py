"""Check what only a real GPU can show, in a few minutes: `python tests/device_check.py`.

    python tests/device_check.py [--device cuda] [--minutes 6] [--out device_check.json] [--only equality,steps]
    python tests/device_check.py --device cpu --size 96      # tries the program itself, without a GPU

Images against the CPU, steps against the bare encoder and the device's matrix rate, renders of 1024 and 4096 px, tiles,
memory, resuming, two processes at once. Prints one table, and writes it as JSON after every row: to `--out`, by default
to device_check.json in the folder that the variable OUT names, or in the current one. Exits with 1 if a limit was not
kept, or a check failed or ran out of its time.

Checks run in a process of their own, so that an error ends only one of them. The most important come first; those for
which no time is left are skipped, which the table says. Limits of speed and memory are those of a GPU, at 1024 px.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for guidedstyle as it is here, whatever is installed

from programs.device.images import (
    check_equality,
    check_large,
    check_memory,
    check_processes,
    check_render,
    check_resume,
    check_shortage,
)
from programs.device.pictures import ROOT
from programs.device.rows import BAD, Row, Target, print_table, write_json
from programs.device.speeds import check_graph, check_loop, check_machine, check_steps, check_tiles, check_waits
from programs.device.worker import Check, run_checks

from guidedstyle.io.paths import CACHE_VARIABLE

SMALLEST = 96  # px
CHECKS = (  # the most important first; the most seconds of each
    Check("machine", check_machine, 60),
    Check("render", check_render, 60),
    Check("equality", check_equality, 90),
    Check("steps", check_steps, 60),
    Check("memory", check_memory, 45, fresh=True),
    Check("large", check_large, 75),
    Check("tiles", check_tiles, 30),
    Check("resume", check_resume, 30),
    Check("processes", check_processes, 60),
    Check("waits", check_waits, 30),
    Check("loop", check_loop, 45),
    Check("shortage", check_shortage, 30),
    Check("graph", check_graph, 30),
)


def parse() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:1 or cpu")
    parser.add_argument("--size", type=int, default=1024, help="px of the usual image; others are 2 and 4 times that")
    parser.add_argument("--minutes", type=float, default=6, help="for everything; what does not fit is skipped")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ""), "device_check.json"))
    parser.add_argument("--steps", type=int, help="of whole renders, instead of the usual number")
    parser.add_argument("--recipes", type=lambda text: text.split(","), help="compare only these with the CPU")
    names = [check.name for check in CHECKS]
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=", ".join(names))
    chosen = parser.parse_args()
    if unknown := set(chosen.only) - set(names):
        parser.error(f"there is no check {', '.join(sorted(unknown))}: choose from {', '.join(names)}")
    if chosen.device != "cpu" and not torch.cuda.is_available():
        parser.error("torch finds no GPU here; --device cpu --size 96 tries the program itself")
    if chosen.size < SMALLEST:
        parser.error(f"--size {chosen.size} is too small: give at least {SMALLEST}")
    return chosen


def main() -> int:
    """Run the checks, print the table, and return the exit code."""
    chosen, began, rows = parse(), time.monotonic(), list[Row]()
    checks = [check for check in CHECKS if check.name in chosen.only]
    about = {"device": chosen.device, "size": chosen.size, "minutes": chosen.minutes}
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE_VARIABLE] = f"{folder}/cache"
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        target = Target(chosen.device, chosen.size, Path(folder), chosen.steps, chosen.recipes)

        def tell(name: str) -> None:
            print(f"{time.monotonic() - began:5.0f} s  {name}", file=sys.stderr, flush=True)

        for row in run_checks(checks, target, 60 * chosen.minutes, tell):
            rows.append(row)
            write_json(rows, chosen.out, about | {"seconds": round(time.monotonic() - began, 1)})
    bad = sum(row.status in BAD for row in rows)
    skipped = ", ".join(row.check for row in rows if row.status == "skipped") or "none"
    print_table(rows, f"{chosen.device}, {time.monotonic() - began:.0f} s; skipped: {skipped}")
    print(f"{bad} of {len(rows)} rows are over their limit, failed or late; written to {chosen.out}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
