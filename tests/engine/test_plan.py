"""Memory: estimates are right, and stages that do not fit are computed in tiles."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.images import draw_image

import guidedstyle
from guidedstyle.device.environment import Limits, read_limits
from guidedstyle.engine.plan import SIDES, make_plan
from guidedstyle.engine.progress import load_encoder
from guidedstyle.engine.solvers.lbfgs import FULL, SHORTER
from guidedstyle.errors import GuidedStyleError, is_out_of_memory
from guidedstyle.losses.tiles import Tiling
from guidedstyle.recipe.loading.loader import read_recipe, wrap_recipe
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene

pytestmark = pytest.mark.slow

MIB = 2**20
PEAK = """
import sys
from guidedstyle.__main__ import main
try:
    sys.argv = ["guidedstyle", *sys.argv[1:]]
    main()
finally:
    status = open("/proc/self/status").read()
    print("peak", [line for line in status.splitlines() if line.startswith("VmHWM")][0].split()[1])
"""


def write_large(project: Path, side: int) -> Path:
    draw_image(side, side, 1).save(project / "photo.png")
    regions = (
        "  - {name: a, mask: rest, style: ink}\n  - {name: b, mask: {ellipse: [0.2, 0.2, 0.9, 0.9]}, style: oil}\n"
    )
    file = project / "large.yaml"
    file.write_text(f"content: photo.png\nstyles: {{ink: ink.png, oil: oil.png}}\nregions:\n{regions}")
    return file


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports the peak of a process")
@pytest.mark.parametrize(
    "settings",
    [
        ("--tile", "off", "--steps", "3"),
        ("--tile", "256", "--max-memory", "1.6", "--steps", "12"),
        ("--max-memory", "1.1", "--steps", "2", "--set", "solver.method=sgd"),
    ],
    ids=["whole", "tiles", "least"],
)
def test_the_estimate_is_right_within_a_fifth(project: Path, settings: tuple[str, ...]) -> None:
    recipe = write_large(project, 1024)
    command = [
        sys.executable,
        "-c",
        PEAK,
        "render",
        recipe,
        "-o",
        project / "a.png",
        "--set",
        "solver.sizes=1",
        *settings,
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split("peak ")[1].split()[0]) * 1024
    estimated = json.loads((project / "a.png.json").read_text())["plan"]["estimated_memory"]
    assert 0.8 < estimated / peak < 1.2
    if "--max-memory" in settings:
        assert peak < 1.1 * float(settings[settings.index("--max-memory") + 1]) * 2**30


def open_large(project: Path, side: int = 1000) -> Scene:
    return open_scene(read_recipe(write_large(project, side)))


def test_a_stage_is_computed_whole_if_it_fits_or_else_in_the_largest_tiles_that_fit(project: Path) -> None:
    scene = open_large(project)
    encoder = load_encoder(scene.recipe.encoder)
    plans = {mib: make_plan(scene, encoder, "cpu", limits=Limits(memory=mib * MIB)) for mib in (4000, 2000, 1500, 1300)}
    finest = {mib: plan.tiling(plan.stages[-1]) for mib, plan in plans.items()}
    assert finest[4000] == Tiling()
    sides = [tiling.side or 10_000 for tiling in finest.values()]
    assert sides == sorted(sides, reverse=True)
    assert set(sides[1:]) <= set(SIDES)
    assert sides[-1] < sides[0]
    for mib, plan in plans.items():
        assert plan.memory <= mib * MIB
        assert plan.tiling(plan.stages[0]) == Tiling()


def test_the_estimate_counts_the_content_images_own_pixels(project: Path) -> None:
    """A photograph of 16 bits with alpha has 8 bytes a pixel, one of 8 bits 3."""
    rgba = np.random.default_rng(0).integers(0, 65536, (64, 96, 4)).astype(np.uint16)
    needed = []
    for content in (rgba, (rgba[..., :3] >> 8).astype(np.uint8)):
        recipe = guidedstyle.load_recipe(project / "recipe.yaml", {"content": content})
        scene = open_scene(wrap_recipe(recipe))
        needed.append(make_plan(scene, load_encoder(recipe.encoder), "cpu", limits=Limits("off")).memory)
    assert needed[0] - needed[1] == (8 - 3) * 64 * 96


def test_more_memory_stores_more_tiles(project: Path) -> None:
    scene = open_large(project)
    encoder = load_encoder(scene.recipe.encoder)
    plans = [make_plan(scene, encoder, "cpu", limits=Limits(256, mib * MIB)) for mib in (1600, 1900, 2200)]
    kept = [plan.tilings[-1].kept for plan in plans]
    assert 0 < kept[0] < kept[1] < kept[2] <= 1


def test_a_render_that_does_not_fit_is_an_error_with_its_needs(project: Path) -> None:
    scene = open_large(project)
    for limits in (Limits(memory=900 * MIB), Limits("off", 1500 * MIB)):
        with pytest.raises(
            GuidedStyleError, match=r"the render needs at least \d\.\d\d GiB, and \d\.\d\d GiB are available"
        ):
            make_plan(scene, load_encoder(scene.recipe.encoder), "cpu", limits=limits)


def test_shrinking_ends_at_the_smallest_tiles(project: Path) -> None:
    scene = open_large(project)
    plan = make_plan(scene, load_encoder(scene.recipe.encoder), "cpu", limits=Limits(memory=2000 * MIB))
    stage, others, seen = plan.stages[-1], (plan.tilings[:-1], plan.histories[:-1]), []
    while plan:
        seen.append((plan.tiling(stage), plan.history(stage)))
        assert (plan.tilings[:-1], plan.histories[:-1]) == others
        plan = plan.shrink(stage)
    assert len(set(seen)) == len(seen) > 3
    assert [one for one in seen if one[1] != FULL] == [(Tiling(SIDES[-1], content=False), one) for one in SHORTER]


def test_first_order_optimisers_have_no_history_to_shrink(project: Path) -> None:
    write_large(project, 1000)
    recipe = guidedstyle.load_recipe(project / "large.yaml", {"solver.method": "adam"})
    plan = make_plan(open_scene(wrap_recipe(recipe)), load_encoder(recipe.encoder), "cpu", limits=Limits(tile=128))
    stage = plan.stages[-1]
    last = plan
    while plan:
        last, plan = plan, plan.shrink(stage)
    assert "L-BFGS" not in last.describe(stage)


def test_a_full_history_is_kept_wherever_it_fits(project: Path) -> None:
    """In small tiles if need be: how much memory is free decides its bits only where it does not fit at all."""
    recipe = guidedstyle.load_recipe(write_large(project, 2000), {"solver.steps": 400})
    scene, encoder, found = open_scene(wrap_recipe(recipe)), load_encoder(recipe.encoder), []
    for memory in range(4000, 1000, -50):
        try:
            plan = make_plan(scene, encoder, "cpu", limits=Limits(memory=memory * MIB))
        except GuidedStyleError:
            break
        assert plan.memory <= memory * MIB
        found.append((plan.histories[-1], plan.tilings[-1].side or 10_000))
    histories = [history for history, _ in found]
    assert set(histories) == {FULL, *SHORTER}
    assert histories == sorted(histories, key=[FULL, *SHORTER].index)
    assert found[histories.index(SHORTER[0]) - 1] == (FULL, SIDES[-1])
    first_order = open_scene(wrap_recipe(guidedstyle.load_recipe(project / "large.yaml", {"solver.method": "adam"})))
    assert set(make_plan(first_order, encoder, "cpu", limits=Limits(memory=1600 * MIB)).histories) == {FULL}


LIMITED = """
import resource, sys
import guidedstyle.app.render
from guidedstyle.__main__ import main
taken = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[1]) * 2**20,) * 2)
sys.argv = ["guidedstyle", *sys.argv[2:]]
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces this limit")
def test_a_stage_that_runs_out_of_memory_starts_over_in_smaller_tiles(project: Path) -> None:
    """The plan computes the stage whole, but a limit of the address space, which the plan does not know, prevents it.

    Machines need different limits: the test takes the smallest one with which the render ends.
    """
    recipe = write_large(project, 1024)
    options = (
        "--tile",
        "off",
        "--max-memory",
        "16",
        "--set",
        "solver.sizes=1",
        "--steps",
        "2",
        "-o",
        project / "a.png",
    )
    for allowed in range(1650, 2400, 50):
        command = [sys.executable, "-c", LIMITED, allowed, "render", recipe, *options]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=500)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    (computed,) = [stage["computed"] for stage in json.loads((project / "a.png.json").read_text())["plan"]["stages"]]
    assert "tiles of" in computed
    assert "warning: not enough memory at 1024 px: computed in tiles of" in done.stderr


def test_out_of_memory_errors_are_recognised() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("sizes do not match"))


@pytest.mark.parametrize("tile", ["auto", "off", "64", "8192"])
def test_limits_are_read(tile: str) -> None:
    limits = read_limits(tile, 1.5)
    assert str(limits.tile) == tile
    assert limits.memory == 1536 * MIB


@pytest.mark.parametrize(
    ("tile", "memory", "message"),
    [
        ("0", None, "--tile: '0' is neither auto, off, nor a number from 64 to 8192"),
        ("huge", None, "--tile: 'huge' is neither auto, off, nor a number from 64 to 8192"),
        ("²", None, "--tile: '²' is neither auto, off, nor a number from 64 to 8192"),
        ("auto", "0", "--max-memory: '0' is not an amount of memory"),
        ("auto", float("nan"), "--max-memory: nan is not an amount of memory"),
        ("auto", -3.0, "--max-memory: -3.0 is not an amount of memory"),
    ],
)
def test_invalid_limits_are_errors(tile: str, memory: float | str | None, message: str) -> None:
    with pytest.raises(GuidedStyleError) as caught:
        read_limits(tile, memory)
    assert message in str(caught.value)
