"""Images and memory on a device: against the CPU, resumed, beside another process, at large sizes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from programs.device.pictures import RECIPES, without_cache, write_harbour
from programs.device.rows import Row, Target

import guidedstyle
from guidedstyle.device.free_memory import free_memory, measure_peak
from guidedstyle.device.precision import time_work
from guidedstyle.errors import GuidedStyleError
from guidedstyle.results.result import Result
from guidedstyle.types import Array

LEVELS = 255  # of a pixel
SAME_IMAGE = {"float32": 3.0, "bfloat16": 6.0}  # mean levels from the CPU's float32 after a few steps
SAME_LOSS = {"float32": 0.02, "bfloat16": 0.05}  # of the loss before the last of these
SAME_START = {"float32": 2e-3, "bfloat16": 1e-2}  # of the loss of the start image
SMALLEST = 128  # px of renders whose images are compared
STEPS = 8  # of them: rounding errors grow with the steps
ROUNDED = 1.0  # mean levels between renders that sum in another order
GOAL, MOST, LARGE_GOAL = 1.0, 2.0, 20.0  # seconds of renders of 1024 and 4096 px


def _compare(found: Array, expected: Array) -> float:
    """Return the mean difference of two images in [0, 1], in levels."""
    return float(LEVELS * np.abs(np.asarray(found, np.float64) - expected).mean())


def check_equality(target: Target) -> Iterator[Row]:
    """Render every recipe on the device in both precisions, and on the CPU in float32."""
    for file in sorted(RECIPES.glob("*.yaml")):
        if target.recipes is not None and file.stem not in target.recipes:
            continue
        try:
            yield from _compare_recipe(target, file)
        except (GuidedStyleError, RuntimeError) as error:
            yield Row(what=file.stem, lacks="failed", note=f"{type(error).__name__}: {error}"[:300])


def _compare_recipe(target: Target, file: Path) -> Iterator[Row]:
    size = min(SMALLEST, target.size)
    settings = {"size": size, "solver.steps": STEPS, "solver.sizes": 1, "solver.tolerance": 0}

    def render(device: str, precision: str) -> Result:
        with without_cache():
            return guidedstyle.render(guidedstyle.load_recipe(file, settings | {"precision": precision}), device=device)

    expected = render("cpu", "float32")
    for precision, most in SAME_IMAGE.items():
        found = render(target.device, precision)
        value = _compare(found.rendering.image, expected.rendering.image)
        ratio = found.rendering.history.total / expected.rendering.history.total - 1
        start, end = float(ratio[0].abs()), float(ratio[-1].abs())
        yield Row(what=f"{file.stem}, {precision}, against the CPU", value=value, unit="levels", most=most)
        share = max(start / SAME_START[precision], end / SAME_LOSS[precision])
        note = f"{start:.1e} apart at the start, {end:.1e} at the end"
        yield Row(what=f"{file.stem}, {precision}, losses, of what they may be apart", value=share, most=1, note=note)


def check_render(target: Target) -> Iterator[Row]:
    """Time a render of three regions in three styles from files to a file, after start-up and with it."""
    recipe = write_harbour(target.folder, target.size, target.steps)
    where = f"{target.size} px, 3 regions, 3 styles"
    times = []
    for number in range(4):
        with without_cache():
            taken, result = _render_to_file(target, recipe, target.folder / f"{number}.png")
        times.append(taken)
        if not number:
            yield Row(what=f"first render of a process, {where}", value=taken, unit="s")
    note = f"goal {GOAL:g} s; {result.rendering.seconds:.2f} s of it are steps, {result.rendering.steps} of them"
    most = target.limit(MOST, target.size == 1024)
    yield Row(what=f"render after start-up, {where}", value=median(times[1:]), unit="s", most=most, note=note)
    with without_cache() as environment:
        began = time.perf_counter()
        _finish(_start(target, recipe, target.folder / "command.png", environment))
    yield Row(what=f"whole command, {where}", value=time.perf_counter() - began, unit="s")


def _render_to_file(target: Target, recipe: Path, output: Path) -> tuple[float, Result]:
    found: list[Result] = []

    def work() -> None:
        found.append(guidedstyle.render(recipe, device=target.device))
        found[0].save(output, overwrite=True)

    return time_work(work, torch.device(target.device)), found[0]


def check_large(target: Target) -> Iterator[Row]:
    """Time a render of four times the side."""
    size = 4 * target.size
    _reset_peak(target)
    recipe = write_harbour(target.folder, size, target.steps)
    taken, result = _render_to_file(target, recipe, target.folder / "large.png")
    tiling = ", ".join(sorted({str(one) for one in result.rendering.plan.tilings}))
    most = target.limit(LARGE_GOAL, size == 4096)
    note = f"computed {tiling}; {result.rendering.seconds:.2f} s of it are steps, {result.rendering.steps} of them"
    yield Row(what=f"render, {size} px, 3 regions", value=taken, unit="s", most=most, note=note)
    yield _relate_peak(target, result, f"{size} px")


def check_memory(target: Target) -> Iterator[Row]:
    """Compare the peak of memory with the plan's estimate, whole and in tiles."""
    for size, tile in ((target.size, "off"), (2 * target.size, max(64, target.size // 4)), (2 * target.size, "off")):
        settings = {"solver.steps": 24, "solver.sizes": 1, "solver.tolerance": 0}
        recipe = guidedstyle.load_recipe(write_harbour(target.folder, size), settings)
        _reset_peak(target)
        result = guidedstyle.render(recipe, device=target.device, tile=tile)
        yield _relate_peak(target, result, f"{size} px, {'whole' if tile == 'off' else f'tiles of {tile} px'}")


def _reset_peak(target: Target) -> None:
    free_memory(torch.device(target.device))
    if target.gpu:
        torch.cuda.reset_peak_memory_stats()
    else:
        with suppress(OSError):  # not Linux
            Path("/proc/self/clear_refs").write_text("5")


def _relate_peak(target: Target, result: Result, where: str) -> Row:
    """Compare a peak with an estimate; what a GPU's context and libraries take counts too."""
    device, note = torch.device(target.device), ""
    peak = measure_peak(device)
    if target.gpu:
        free, total = torch.cuda.mem_get_info()
        context = total - free - torch.cuda.memory_reserved()
        allocated = torch.cuda.max_memory_allocated()
        note = f", {context / 2**30:.2f} of them not torch's own (or of other processes), {allocated / 2**30:.2f} used"
        peak += context
    estimate = result.rendering.plan.memory
    note = f"{peak / 2**30:.2f} of {estimate / 2**30:.2f} GiB{note}"
    return Row(
        what=f"peak of memory against its estimate, {where}", value=peak / estimate, most=target.limit(1), note=note
    )


def check_resume(target: Target) -> Iterator[Row]:
    """Compare a render that was stopped and resumed with whole ones."""
    size = min(256, target.size)
    recipe = write_harbour(target.folder, size)
    settings = {"solver.steps": 40, "solver.sizes": 2, "solver.tolerance": 0}
    whole, again = (_render_part(target, recipe, settings, f"whole{number}.png") for number in range(2))
    for after in (7, 33):
        name = f"resumed{after}.png"
        _render_part(target, recipe, settings, name, until=after)
        resumed = _render_part(target, recipe, settings, name)
        same = "the same bits" if np.array_equal(resumed, whole) else f"most {np.abs(resumed - whole).max():g} levels"
        value = float(np.abs(resumed - whole).mean())
        yield Row(what=f"resumed after {after} of 40 steps", value=value, unit="levels", most=ROUNDED, note=same)
    same = "the same bits" if np.array_equal(again, whole) else "not the same bits"
    value = float(np.abs(again - whole).mean())
    yield Row(what="the same render twice", value=value, unit="levels", most=ROUNDED, note=same)


def _render_part(target: Target, recipe: Path, settings: dict[str, object], name: str, until: int = 10**6) -> Array:
    """Render to a file with a checkpoint, until a step; a second call resumes. Returns the image in levels."""
    output = target.folder / name
    options = guidedstyle.RenderOptions(checkpoints=guidedstyle.Every(steps=5), resume=True)
    loaded = guidedstyle.load_recipe(recipe, settings | {"output": str(output)})
    done: list[int] = []

    def watch(update: object) -> bool:
        done.append(update.done)  # type: ignore[attr-defined]
        return done[-1] < until

    guidedstyle.render(loaded, watch, options=options, device=target.device)
    if until == 10**6 and "resumed" in name and done[0] == 1:
        raise RuntimeError("it started over instead of resuming")
    return np.asarray(Image.open(output).convert("RGB"), np.float64)


def check_processes(target: Target) -> Iterator[Row]:
    """Render in two processes at once on one device, and with torchrun where there are two."""
    recipe, folder = write_harbour(target.folder, min(512, target.size), target.steps), target.folder

    def time_together(names: Sequence[str]) -> float:
        began = time.perf_counter()
        with without_cache() as environment:
            started = [_start(target, recipe, folder / name, environment) for name in names]
            for process in started:
                _finish(process)
        return time.perf_counter() - began

    alone, both = time_together(["alone.png"]), time_together(["first.png", "second.png"])
    expected = _read(folder / "alone.png")
    for name in ("first", "second"):
        value = _compare(_read(folder / f"{name}.png"), expected)
        yield Row(what=f"{name} of two processes against one alone", value=value, unit="levels", most=ROUNDED)
    yield Row(what="time of two commands at once against one", value=both / alone, note=f"{alone:.2f} s alone")
    if target.gpu and torch.cuda.device_count() < 2:
        yield Row(what="one image by two processes (torchrun)", lacks="absent", note="each needs a GPU of its own")
        return
    with without_cache() as environment:
        run = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
        _finish(_start(target, recipe, folder / "torchrun.png", environment, run))
    value = _compare(_read(folder / "torchrun.png"), expected)
    most = 10 * ROUNDED  # other sums in every step, which grow
    yield Row(what="one image by two processes (torchrun)", value=value, unit="levels", most=most)


def _start(
    target: Target, recipe: Path, output: Path, environment: dict[str, str], run: Sequence[str] = ()
) -> subprocess.Popen[str]:
    command = [sys.executable, *run, "-m", "guidedstyle", "render", str(recipe), "-o", str(output), "-q"]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*command, "--device", target.device], env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def _finish(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a command ended with {process.returncode}: {said[-250:]}")


def _read(file: Path) -> Array:
    return np.asarray(Image.open(file).convert("RGB"), np.float64) / LEVELS


def check_shortage(target: Target) -> Iterator[Row]:
    """Give a render less memory than it expects: it must go on in smaller tiles."""
    if not target.gpu:
        yield Row(what="too little memory", lacks="absent", note="only a GPU's can be limited")
        return
    settings = {"solver.steps": 12, "solver.sizes": 1, "solver.method": "adam"}  # most of its memory is of features
    recipe = guidedstyle.load_recipe(write_harbour(target.folder, 2 * target.size), settings)
    _reset_peak(target)
    whole = guidedstyle.render(recipe, device=target.device, tile="off")
    fraction = 0.7 * torch.cuda.max_memory_allocated() / torch.cuda.mem_get_info()[1]
    free_memory(torch.device(target.device))
    torch.cuda.set_per_process_memory_fraction(fraction)
    try:
        result = guidedstyle.render(recipe, device=target.device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    value = _compare(result.rendering.image, whole.rendering.image)
    tiled = float(not result.rendering.notes)
    yield Row(what="no note of smaller tiles", value=tiled, most=0, note="; ".join(result.rendering.notes))
    yield Row(
        what="image with too little memory against whole", value=value, unit="levels", most=SAME_IMAGE["bfloat16"]
    )
