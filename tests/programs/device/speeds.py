"""Speeds of a device: its matrix rate, steps against the bare encoder, tiles, the loop, waits for the host."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from programs.device.pictures import RECIPES, write_harbour
from programs.device.rows import Row, Target
from torch import nn

import guidedstyle
from guidedstyle.device.precision import PRECISIONS, choose_precision, name_precision, time_work
from guidedstyle.encoders.encoder import ConvEncoder
from guidedstyle.encoders.registry import find_architecture
from guidedstyle.encoders.vgg import IMAGENET
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.engine.progress import Update
from guidedstyle.engine.solvers.minimise import PATIENCE
from guidedstyle.evaluation.bench import LIMITED, REGION_LIMITS, STEP_LIMITS, TILE_LIMITS, Bench
from guidedstyle.evaluation.rates import count_operations, measure_matrix_rate
from guidedstyle.losses.tiles import Tiling
from guidedstyle.recipe.model import Recipe

SMALL = (128, 256, 512)  # px at which a step takes longer than its work
SAME_GRADIENT = {"float32": 2e-3, "bfloat16": 3e-2}  # of its norm: in tiles against whole


def check_machine(target: Target) -> Iterator[Row]:
    """Name the device, and measure its matrix rates."""
    device = torch.device(target.device)
    name = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    if target.gpu:
        found = torch.cuda.get_device_properties(device)
        name = f"{found.name}, capability {found.major}.{found.minor}, {found.multi_processor_count} multiprocessors"
        yield Row(what="memory", value=found.total_memory / 2**30, unit="GiB")
    yield Row(what="device", note=name)
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    yield Row(what="versions", note=f"{versions}, guidedstyle {guidedstyle.__version__}")
    tf32 = f"TF32 in convolutions: {torch.backends.cudnn.allow_tf32}"
    for precision, dtype in PRECISIONS.items():
        rate = measure_matrix_rate(device, dtype, side=None if target.gpu else 256)
        yield Row(what=f"matrix product, {precision}", value=rate / 1e12, unit="TFLOP/s", note=tf32)
    chosen = name_precision(choose_precision(device))
    yield Row(what="precision chosen by auto", note=chosen)


def check_steps(target: Target) -> Iterator[Row]:
    """Compare steps with the bare encoder, and the encoder with the matrix rate."""
    for name, make in {"lite": lambda: load_by_name("lite"), "vgg19": make_random_vgg}.items():
        for size in (target.size, 2 * target.size):
            yield from _compare_steps(target, name, make(), size)
    encoder = load_by_name("lite")
    for size in sorted({min(size, target.size) for size in SMALL}):
        bench = Bench(encoder, device=target.device, size=size, repeats=5)
        times = bench.time({"one": bench.make_step(1), "many": bench.make_step(16)})
        most = target.limit(REGION_LIMITS.get(size, 0), size in REGION_LIMITS)
        ratio = times["many"] / times["one"]
        yield Row(what=f"step of 16 regions against 1, {size} px", value=ratio, most=most)


def _compare_steps(target: Target, name: str, encoder: ConvEncoder, size: int) -> Iterator[Row]:
    bench = Bench(encoder, device=target.device, size=size, repeats=5 if target.gpu else 2)
    bare = bench.make_bare()
    times = bench.time({"bare": bare} | {str(count): bench.make_step(count) for count in (1, 3, 16)})
    where = f"{name}, {size} px"
    yield Row(what=f"bare encoder, forward and backward, {where}", value=1000 * times["bare"], unit="ms")
    yield Row(what=f"gradient of 3 regions, {where}", value=1000 * times["3"], unit="ms")
    most = target.limit(STEP_LIMITS[name], size == LIMITED)
    yield Row(what=f"3 regions against the bare encoder, {where}", value=times["3"] / times["bare"], most=most)
    most = target.limit(REGION_LIMITS[LIMITED], size == LIMITED)
    yield Row(what=f"16 regions against 1, {where}", value=times["16"] / times["1"], most=most)
    rate = count_operations(bare) / times["bare"]
    side = None if target.gpu else 256
    share = rate / measure_matrix_rate(bench.plan.device, bench.plan.precision, side=side)
    note = f"{rate / 1e12:.2f} TFLOP/s in {name_precision(bench.plan.precision)}"
    yield Row(what=f"share of the matrix rate in the encoder, {where}", value=share, note=note)


def make_random_vgg() -> ConvEncoder:
    """Make VGG-19 with random weights: as fast as with its own."""
    encoder = ConvEncoder(find_architecture("vgg19"), IMAGENET)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return encoder.requires_grad_(False).eval()


def check_tiles(target: Target) -> Iterator[Row]:
    """Compare a step in tiles with one on the whole image: its gradient and its time."""
    size, encoder = 2 * target.size, load_by_name("lite")
    bench = Bench(encoder, device=target.device, size=size, repeats=3)
    kinds = {f"{kept:.0%} kept": Tiling(size // 4, kept) for kept in TILE_LIMITS}
    tasks = {"whole": bench.make_step(3)} | {name: bench.make_step(3, tiling) for name, tiling in kinds.items()}
    precision = name_precision(bench.plan.precision)
    (whole,) = tasks["whole"]()
    (tiled,) = tasks["0% kept"]()
    what = f"gradient in tiles of {size // 4} px against whole, {size} px, {precision}"
    yield Row(what=what, value=differ(tiled, whole), most=SAME_GRADIENT[precision])
    times = bench.time(tasks)
    for (name, _), most in zip(kinds.items(), TILE_LIMITS.values(), strict=True):
        ratio = times[name] / times["whole"]
        yield Row(what=f"step in tiles against whole, {name}, {size} px", value=ratio, most=target.limit(most))


def differ(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return how far a tensor is from another: the norm of the difference over that of the other."""
    expected = expected.double().cpu()
    return float(torch.linalg.vector_norm(found.double().cpu() - expected) / torch.linalg.vector_norm(expected))


def check_loop(target: Target) -> Iterator[Row]:
    """Time steps as a render takes them, the solver included, and how much of that time a GPU is busy."""
    for size in sorted({min(size, target.size) for size in (*SMALL, 1024)}):
        one, few, many = (_make_render(target, size, steps) for steps in (2, PATIENCE, 3 * PATIENCE))
        one()
        device = torch.device(target.device)
        short, long = (time_work(work, device) for work in (few, many))
        step = (long - short) / (2 * PATIENCE)
        yield Row(what=f"step of a render, 3 regions, {size} px", value=1000 * step, unit="ms")
        if target.gpu:
            kernels, busy = (after - before for before, after in zip(_profile(few), _profile(many), strict=True))
            note = f"{kernels / (2 * PATIENCE):.0f} kernels a step"
            what = f"share of that time in which the GPU is busy, {size} px"
            yield Row(what=what, value=busy / (long - short), note=note)


def _make_render(target: Target, size: int, steps: int) -> Callable[[], object]:
    settings = {"solver.steps": steps, "solver.sizes": 1, "solver.tolerance": 0}
    recipe = guidedstyle.load_recipe(write_harbour(target.folder, size), settings)
    return lambda: guidedstyle.render(recipe, device=target.device)


def _profile(work: Callable[[], object]) -> tuple[int, float]:
    """Count the kernels that some work starts on a GPU, and their seconds."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as found:
        work()
        torch.cuda.synchronize()
    kernels = [event for event in found.events() if event.device_type == DeviceType.CUDA]
    return len(kernels), sum(event.time_range.elapsed_us() for event in kernels) / 1e6


def check_waits(target: Target) -> Iterator[Row]:
    """Count how often the host waits for a GPU, in set-up and between two steps."""
    if not target.gpu:
        yield Row(what="waits for the host", lacks="absent", note="only a GPU tells")
        return
    for file in (write_harbour(target.folder, target.size), RECIPES / "strokes.yaml"):
        recipe = guidedstyle.load_recipe(file, {"size": target.size, "solver.tolerance": 0})
        guidedstyle.render(recipe, device=target.device)
        seen, total = _count_waits(target, recipe)
        what = f"waits in steps, but for looks at the losses, {file.stem}"
        yield Row(what=what, value=sum_waits(seen), most=0, note=f"of {total} in all, {len(seen)} steps")


def _count_waits(target: Target, recipe: Recipe) -> tuple[list[tuple[int, int, int]], int]:
    """Count the waits of a render: after each step, with its stage and number, and in all."""
    seen: list[tuple[int, int, int]] = []  # stage, steps done, waits until then
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def note(update: Update) -> bool:
            seen.append((update.stage, update.done, count()))
            return True

        def count() -> int:
            return sum("called a synchronizing" in str(one.message) for one in caught)

        torch.cuda.set_sync_debug_mode("warn")
        try:
            guidedstyle.render(recipe, note, device=target.device)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return seen, count()


def sum_waits(seen: list[tuple[int, int, int]]) -> int:
    """Sum the waits between consecutive steps of a stage, without those at which the losses are looked at.

    `seen` are the stage, the steps done in all stages and the waits so far, after each step.
    """
    first = dict[int, int]()
    for stage, done, _ in seen:
        first.setdefault(stage, done)
    return sum(
        after[2] - before[2]
        for before, after in pairwise(seen)
        if before[0] == after[0] and (before[1] - first[before[0]] + 1) % PATIENCE
    )


def check_graph(target: Target) -> Iterator[Row]:
    """Compare a step as one graph with the eager one, once there is such a path: times and gradients belong here."""
    yield Row(what="step as one graph against eager", lacks="absent", note="the package has no graph path")
