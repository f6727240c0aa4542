"""The program that checks a device, tried on the CPU: its rows, its table, what becomes of checks that go wrong."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from programs.device.faulty import die, hang, measure, raise_error
from programs.device.rows import Row, Target, write_json
from programs.device.speeds import differ, sum_waits
from programs.device.worker import Check, run_checks

PROGRAM = Path(__file__).parents[1] / "device_check.py"
FIRST = ("machine", "render", "equality", "steps", "memory", "large", "tiles")
NAMES = [*FIRST, "resume", "processes", "waits", "loop", "shortage", "graph"]


def run(*options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), "--device", "cpu", "--size", "96", *options]
    environment = os.environ | {"OUT": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_every_check_runs_on_the_cpu(tmp_path: Path) -> None:
    done = run("--steps", "8", "--recipes", "keep,strokes", "--minutes", "9", folder=tmp_path)
    found = json.loads((tmp_path / "device_check.json").read_text())
    rows = found["rows"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(dict.fromkeys(row["check"] for row in rows)) == NAMES
    assert {row["status"] for row in rows} == {"ok", "shown", "absent"}
    assert {row["check"] for row in rows if row["status"] == "absent"} == {"waits", "shortage", "graph"}
    values = {row["what"]: row["value"] for row in rows}
    assert values["keep, float32, against the CPU"] == values["strokes, float32, against the CPU"] == 0
    assert 0 < values["keep, bfloat16, against the CPU"] < 6
    assert values["resumed after 33 of 40 steps"] == 0
    assert all(row["check"] in done.stdout and row["what"] in done.stdout for row in rows)


def test_unknown_checks_are_refused(tmp_path: Path) -> None:
    done = run("--only", "machine,speed", folder=tmp_path)
    assert done.returncode == 2
    assert "there is no check speed: choose from machine, " in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_at_once(tmp_path: Path) -> None:
    done = run("--device", "cuda", folder=tmp_path)
    assert done.returncode == 2
    assert "torch finds no GPU here; --device cpu --size 96 tries the program itself" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_check_that_goes_wrong_is_a_row_and_the_others_run(tmp_path: Path) -> None:
    """A process does several checks, until one goes wrong."""
    checks = [Check("one", measure, 60), Check("two", measure, 60), Check("error", raise_error, 60)]
    checks += [Check("three", measure, 60), Check("hang", hang, 8), Check("die", die, 60)]
    checks += [Check("fresh", measure, 60, fresh=True), Check("last", measure, 60)]
    rows = {(row.check, row.what): row for row in run_checks(checks, Target("cpu", 96, tmp_path), 300)}
    assert rows["error", "before the error"].value == 1
    assert rows["error", "raise_error"].note == "ValueError: the device is on fire"
    assert rows["hang", "before it hangs"].value == 1
    assert rows["hang", "hang"].status == "late"
    assert rows["die", "die"].note == "the process ended with 7"
    processes = [rows[name, "process"].value for name in ("one", "two", "three", "fresh", "last")]
    assert processes[0] == processes[1]
    assert len(set(processes)) == 4
    assert [row.status for row in rows.values() if row.lacks] == ["failed", "late", "failed"]


@pytest.mark.slow
def test_the_least_important_checks_are_skipped_when_the_time_is_used_up(tmp_path: Path) -> None:
    began = time.monotonic()
    checks = [Check("first", measure, 60), Check("long", hang, 60), Check("last", measure, 60)]
    rows = list(run_checks(checks, Target("cpu", 96, tmp_path), 14))
    assert time.monotonic() - began < 40
    assert [row.status for row in rows] == ["ok", "shown", "late", "skipped"]
    assert rows[-1].check == "last"
    assert rows[-1].note == "the 14 s are used up"


@pytest.mark.parametrize(
    ("value", "most", "status"),
    [(1.0, 1.0, "ok"), (1.1, 1.0, "over"), (math.nan, 1.0, "over"), (math.inf, 1.0, "over"), (5.0, None, "shown")],
)
def test_a_row_says_whether_its_limit_is_kept(value: float, most: float | None, status: str, tmp_path: Path) -> None:
    row = Row(what="x", value=value, most=most)
    assert row.status == status
    write_json([row], tmp_path / "rows.json", {"device": "cpu"})
    (written,) = json.loads((tmp_path / "rows.json").read_text(), parse_constant=pytest.fail)["rows"]
    assert written["status"] == status


def test_waits_count_within_sizes_but_not_where_the_losses_are_looked_at() -> None:
    """Two sizes of 12 and 11 steps: a wait after every tenth step, seven in set-up, and one that should not be."""
    waits, seen = 3, []
    for done in range(1, 24):
        stage, number = (0, done) if done <= 12 else (1, done - 12)
        waits += 7 * (done == 13) + (number == 11) + (done == 16)
        seen.append((stage, done, waits))
    assert sum_waits(seen) == 1


def test_tensors_differ_by_the_share_of_their_norm() -> None:
    expected = torch.tensor([3.0, 4.0])
    assert differ(expected, expected) == 0
    assert differ(expected + torch.tensor([0.0, 0.5]), expected) == pytest.approx(0.1)
