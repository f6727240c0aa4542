"""One run of `render` from recipe to files: Ctrl-C, progress, saving, exit code."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from guidedstyle.allocator import keep_freed_memory
from guidedstyle.commands import BUG, DONE, INTERRUPTED
from guidedstyle.editing import save_layers
from guidedstyle.encoder import Encoder
from guidedstyle.images import save_picture, to_picture, write_file
from guidedstyle.limits import Limits
from guidedstyle.plan import Plan, make_plan
from guidedstyle.processes import is_first, join_processes
from guidedstyle.reading import RECIPE_KEY, Reading, write_recipe
from guidedstyle.recipe import EncoderChoice
from guidedstyle.record import describe_render, write_record
from guidedstyle.render import Rendering, Update, load_encoder, render
from guidedstyle.report import print_bench, print_notes, print_plan, print_result, print_scene, show_progress
from guidedstyle.scene import Scene, open_scene
from guidedstyle.survey import collect_notes, survey_scene
from guidedstyle.targets import Memory


def run_render(reading: Reading, sketch: Scene, device: str, limits: Limits, dry_run: bool, quiet: bool) -> int:
    """Render a recipe, write the picture and its record, and return the exit code.

    `sketch` is the scene opened small: what is wrong with it, or with the plan, is told before the long work.
    """
    keep_freed_memory()
    with join_processes(), interruptible() as interrupted:
        quiet = quiet or not is_first()
        encoder = load_encoder(sketch.recipe.encoder)
        plan, notes = make_plan(sketch, encoder, device, limits), collect_notes(sketch, survey_scene(sketch))
        if not quiet:
            print_scene(sketch, notes)
            print_plan(plan)
        if dry_run:
            return DONE
        keep_freed_memory(large_too=not plan.tiled)
        scene = open_scene(reading)
        rendering = render_shown(scene, encoder, plan, quiet, interrupted)
        if is_first():
            save_rendering(scene, rendering, notes)
    if not quiet:
        print_result(scene.recipe.output, rendering)
    return DONE if rendering.finished else INTERRUPTED if interrupted else BUG


def render_shown(
    scene: Scene, encoder: Encoder, plan: Plan, quiet: bool, interrupted: Sequence[float], memory: Memory | None = None
) -> Rendering:
    """Render with progress on the screen, until it is done or interrupted."""
    with show_progress(plan, quiet) as show:

        def watch(update: Update) -> bool:
            show(update)
            return not interrupted

        rendering = render(scene, encoder, plan, watch, memory)
    if not quiet:
        print_notes(rendering.notes)
    return rendering


def save_rendering(scene: Scene, rendering: Rendering, notes: Sequence[str]) -> dict[str, Any]:
    """Write the picture, or its layers, and the record beside it, which is returned."""
    output = scene.recipe.output
    if output.suffix.lower() == ".ora":
        save_layers(scene, rendering.paint, rendering.image, output)
    else:
        save_picture(to_picture(rendering.image), output, (RECIPE_KEY, write_recipe(scene.recipe, output.parent)))
    record = describe_render(scene, rendering, notes)
    write_file(output.with_name(output.name + ".json"), write_record(record))
    return record


def run_bench(size: int, largest: int, repeats: int, device: str, weights: Path | None) -> None:
    """Measure this machine and print the table."""
    from guidedstyle.benchmark import Bench  # no other command needs it

    keep_freed_memory()
    choice = EncoderChoice(name="vgg19", weights=weights) if weights else EncoderChoice()
    bench = Bench(load_encoder(choice), device, size, repeats)
    precision = str(bench.plan.precision).removeprefix("torch.")
    title = f"{choice.name} on {bench.plan.device}, {precision}, {torch.get_num_threads()} threads"
    print_bench(bench.run(largest), title)


@contextmanager
def interruptible() -> Iterator[list[float]]:
    """Collect the time of the first Ctrl-C instead of breaking off; a second one breaks off at once."""
    interrupts: list[float] = []

    def note(*_: object) -> None:
        if interrupts:
            raise KeyboardInterrupt
        interrupts.append(time.monotonic())

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
