"""`guidedstyle bench`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guidedstyle.encoders.weights import load_by_name
from guidedstyle.evaluation.bench import REGIONS, Bench, find_largest, make_scene

pytestmark = pytest.mark.slow


def test_bench_prints_every_measurement(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "guidedstyle", "bench", "--size", "128", "--largest", "1024", "--repeats", "3"]
    wide = os.environ | {"COLUMNS": "160"}
    done = subprocess.run(
        [*command, "--device", "cpu"], cwd=tmp_path, env=wide, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for text in (
        "384 px, 1 region ",
        "768 px, 3 regions ",
        "about ",
        "bare encoder",
        *(f"regions: {count} " for count in REGIONS),
        "matrix product",
        "TFLOP/s",
        "16 regions against 1",
        "steps a second",
        "1.12 at 1024 px",
        "1.00 ± 0.04",
        "0% kept",
        "100% kept",
        "0.25 Mpx",
        "1 Mpx",
        "exponent",
        "largest square that fits whole",
        "largest square that fits in tiles",
        "peak memory",
    ):
        assert text in done.stdout, text
    assert not list(tmp_path.iterdir())


def test_scene_of_a_benchmark_is_covered_by_its_regions() -> None:
    scene = make_scene(16, 300)
    assert (scene.weights.sum(0) == 1).all()
    assert (scene.weights[:-1].sum((1, 2)) > 0).all()
    assert scene.weights[-1].max() == 0


def test_largest_square_is_the_last_that_fits() -> None:
    size = find_largest(lambda side: 100 * side**2, 10**9)
    assert 100 * size**2 <= 10**9 < 100 * (size + 64) ** 2


def test_a_whole_render_is_timed_and_its_peak_compared_with_the_estimate() -> None:
    bench = Bench(load_by_name("lite"), device="cpu", size=96, repeats=3)
    taken, peak = bench.time_whole(96)
    assert float(taken.value.removesuffix(" s")) > 0
    assert float(peak.ratio.removesuffix(" of the estimate")) > 0
    assert peak.limit == "1"
