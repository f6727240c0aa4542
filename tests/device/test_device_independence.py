"""On a pretend GPU recipes render the CPU's image to the bit, and no step waits between two looks at the losses."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from device.pretend_gpu import GPU, MixedDevicesError, PretendGpu
from support.cases import needs_data, vgg19

import guidedstyle
import guidedstyle.scene.scene
from guidedstyle.device.environment import Limits
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine import combined_styles
from guidedstyle.engine.plan import ANYTHING, make_plan
from guidedstyle.engine.progress import Rendering, Snapshot, Update, load_encoder
from guidedstyle.engine.render import render
from guidedstyle.engine.solvers.first_order import Adam
from guidedstyle.engine.solvers.minimise import PATIENCE
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.run.options import Every, RenderOptions
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Setting

RECIPES = sorted(Path(__file__).parents[2].glob("recipes/*.yaml"))
HARBOUR = next(file for file in RECIPES if file.stem == "harbour")
STEPS = PATIENCE + 4
SMALL: dict[str, object] = {"size": 72, "precision": "float32"}
SMALL |= {"solver.steps": STEPS, "solver.tolerance": 0, "solver.sizes": 1}
MOST_WAITS, MOST_UPLOADS = 16, 24  # before the first step of a size
Opened = tuple[Scene, Encoder]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render small images at two sizes too, and synthesise style images in few steps."""
    monkeypatch.setattr(guidedstyle.scene.scene, "SMALLEST_START", 32)
    monkeypatch.setattr(combined_styles, "STEPS", STEPS)


@dataclass
class Watch:
    """Notes what a pretend GPU waited for: before the first step of each size, and between two steps.

    `looks` are the waits between a step after which the losses are looked at and the next one.
    """

    gpu: PretendGpu
    before: Counter[str] = field(default_factory=Counter)
    last: tuple[int, int] = (-1, 0)
    setups: list[Counter[str]] = field(default_factory=list)
    looks: list[Counter[str]] = field(default_factory=list)
    loop: Counter[str] = field(default_factory=Counter)

    def __call__(self, update: Update) -> bool:
        stage, number = update.stage, update.step.number
        waits = Counter({f"wait at {line}": count for line, count in self.gpu.waits.items()})
        waits += Counter({f"upload at {line}": count for line, count in self.gpu.uploads.items()})
        new, self.before = waits - self.before, waits
        if self.last != (stage, number - 1):
            self.setups.append(new)
        elif (number - 1) % PATIENCE == 0:
            self.looks.append(new)
        else:
            self.loop += new
        self.last = stage, number
        return True


def open_recipe(file: Path, **settings: object) -> Opened:
    named = SMALL | {key.replace("__", "."): value for key, value in settings.items()}
    scene = open_scene(read_recipe(file, [Setting(key, value, "here") for key, value in named.items()]))
    return scene, load_encoder(scene.recipe.encoder)


def render_on_cpu(opened: Opened, limits: Limits = ANYTHING, **changes: Any) -> Rendering:
    scene, encoder = opened
    return render(scene, encoder, replace(make_plan(scene, encoder, "cpu", limits=limits), **changes))


def render_on_gpu(opened: Opened, limits: Limits = ANYTHING) -> tuple[Rendering, Watch]:
    with PretendGpu() as gpu:
        watch, (scene, encoder) = Watch(gpu), opened
        return render(scene, encoder, make_plan(scene, encoder, "cuda:0", limits=limits), on_update=watch), watch


def assert_same(one: Rendering, other: Rendering) -> None:
    assert np.array_equal(one.image, other.image) and np.array_equal(one.opacity, other.opacity)
    for term in ("total", "style", "content", "smoothness"):
        assert torch.equal(getattr(one.history, term), getattr(other.history, term))
    assert one.endings == other.endings


def assert_no_waits(watch: Watch) -> None:
    assert not watch.loop
    for look in watch.looks:
        assert list(look.values()) == [1] and next(iter(look)).startswith("wait at engine/solvers/minimise.py")
    for setup in watch.setups:
        assert sum(count for line, count in setup.items() if line.startswith("wait")) <= MOST_WAITS
        assert sum(count for line, count in setup.items() if line.startswith("upload")) <= MOST_UPLOADS


def compare(opened: Opened, limits: Limits = ANYTHING) -> None:
    found, watch = render_on_gpu(opened, limits)
    assert found.plan.device == GPU
    assert_no_waits(watch)
    assert_same(found, render_on_cpu(opened, limits))


slow = pytest.mark.slow


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=file.stem, marks=[] if file.stem == "keep" else slow) for file in RECIPES]
)
def test_every_recipe_renders_as_on_the_cpu(file: Path) -> None:
    settings = {"size": None, "canvas": [72, 48]} if file.stem == "texture" else {}
    compare(open_recipe(file, **settings))


@slow
@pytest.mark.parametrize("tile", ["off", 48])
@pytest.mark.parametrize("method", ["lbfgs", "adam", "sgd"])
def test_every_solver_renders_as_on_the_cpu_whole_and_in_tiles(method: str, tile: Any) -> None:
    opened = open_recipe(HARBOUR, solver__method=method, solver__sizes=2, solver__steps=18)
    found, watch = render_on_gpu(opened, Limits(tile=tile))
    assert_no_waits(watch)
    assert len(watch.setups) == len(found.plan.stages) == 2 and len(watch.looks) >= 1
    assert found.plan.tiled == (tile != "off")
    assert_same(found, render_on_cpu(opened, Limits(tile=tile)))


COLOURS = (
    ("match", "{match: pca}", "{match: cholesky}"),
    ("{match: histogram}", "{palette: [gold, navy, white]}", "content"),
)
CONTROLS: dict[str, dict[str, object]] = {
    "inside": {"guides": "inside", "statistics": "covariance", "balance": "equal"},
    "mean": {"statistics": "mean", "octaves": "coarse", "init": "noise"},
    "half": {"precision": "bfloat16"},
}
SHALLOW: dict[str, object] = {"style_layers": ["relu1_1", "relu2_1"], "content_layers": "relu2_1"}


@slow
@pytest.mark.parametrize("colours", COLOURS, ids=["matched", "others"])
def test_colours_render_as_on_the_cpu(project: Path, colours: tuple[str, ...]) -> None:
    """Every mode, also where weights vary and paint is not opaque."""
    ramp = "{ink: 1, oil: {gradient: {from: [0, 0], to: [1, 0]}}}"
    masks = ("rest", "left.png", "{ellipse: [0.3, 0.2, 0.8, 0.9], feather: 8%}")
    regions = "".join(
        f"  - {{name: r{index}, mask: {mask}, style: {ramp}, colour: {colour}, opacity: {1 - index / 10}}}\n"
        for index, (mask, colour) in enumerate(zip(masks, colours, strict=True))
    )
    text = f"content: photo.png\nstyles: {{ink: ink.png, oil: oil.png}}\ncolour_strength: 0.7\nregions:\n{regions}"
    (project / "colours.yaml").write_text(text)
    compare(open_recipe(project / "colours.yaml", size=64))


@slow
@pytest.mark.parametrize("name", CONTROLS)
def test_controls_render_as_on_the_cpu(name: str) -> None:
    compare(open_recipe(HARBOUR, size=64, **CONTROLS[name]))


@slow
@needs_data
def test_classic_renders_as_on_the_cpu() -> None:
    compare(open_recipe(HARBOUR, size=48, encoder=vgg19(), method="classic", init="style", **SHALLOW))


def count_waits_of_setup(project: Path, count: int, octaves: list[int], layers: list[str]) -> list[Counter[str]]:
    """Count the waits before the first step of each of two sizes, for stripes of new styles."""
    masks = ["rest", *(f"{{rectangle: [{index / count}, 0, {(index + 1) / count}, 1]}}" for index in range(1, count))]
    regions = "".join(
        f"  - {{name: r{index}, mask: {mask}, style: {{ink: 1, oil: {{weight: 2, scale: {1 + index / 8}}}}}}}\n"
        for index, mask in enumerate(masks)
    )
    text = f"content: photo.png\nstyles: {{ink: ink.png, oil: oil.png}}\nregions:\n{regions}"
    (project / "stripes.yaml").write_text(text + f"octaves: {octaves}\nstyle_layers: {layers}\n")
    return render_on_gpu(open_recipe(project / "stripes.yaml", solver__steps=4, solver__sizes=2))[1].setups


def test_waits_of_setup_depend_on_sizes_alone(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One region with one layer and octave waits as often as six with several; no statistics are cached before."""
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(tmp_path / "cache"))
    few = count_waits_of_setup(project, 1, [1], ["relu1_1"])
    many = count_waits_of_setup(project, 6, [1, 1, 1], ["relu1_1", "relu2_1", "relu3_1", "relu3_4"])
    assert len(few) == len(many) == 2
    assert few == many


@pytest.mark.parametrize(("first", "then"), [("cuda:0", "cuda:0"), pytest.param("cpu", "cuda:0", marks=slow)])
def test_a_render_resumes_to_the_same_bits(first: str, then: str) -> None:
    opened = open_recipe(HARBOUR, size=64, solver__sizes=2)
    scene, encoder = opened
    snapshots = list[Snapshot]()

    def stop(update: Update) -> bool:
        if update.done == STEPS - 2:
            snapshots.append(deepcopy(update.snapshot()))
        return not snapshots

    with PretendGpu() as gpu:
        render(scene, encoder, make_plan(scene, encoder, first), on_update=stop)
        gpu.waits.clear()
        gpu.uploads.clear()
        watch = Watch(gpu)
        resumed = render(scene, encoder, make_plan(scene, encoder, then), snapshot=snapshots[0], on_update=watch)
    assert_no_waits(watch)
    assert_same(resumed, render_on_cpu(opened))


def test_where_memory_runs_out_smaller_tiles_render_the_image() -> None:
    opened = scene, encoder = open_recipe(HARBOUR, size=192, solver__steps=2)
    with PretendGpu(largest=5 * 2**19) as gpu:
        watch = Watch(gpu)
        found = render(scene, encoder, make_plan(scene, encoder, "cuda:0"), on_update=watch)
    assert found.plan.tilings[0].side == 128
    assert "not enough memory at 192 px: computed in tiles of 128 px" in found.notes[0]
    assert_no_waits(watch)
    expected = render_on_cpu(opened, tilings=found.plan.tilings)
    assert np.array_equal(found.image, expected.image)


def test_a_gpu_is_asked_for_its_memory_precision_and_name(project: Path) -> None:
    recipe = project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("steps: 4", "steps: 4, sizes: 1, tolerance: 0"))
    with PretendGpu():
        options = RenderOptions(previews=Every(steps=2), checkpoints=Every(steps=1))
        result = guidedstyle.render(recipe, options=options, device="cuda:0")
    assert result.record.plan.device == "cuda:0 (Pretend GPU)"
    assert result.record.plan.precision == "bfloat16"
    assert_same(result.rendering, render_on_cpu(open_recipe(recipe, size=96, solver__steps=4, precision="bfloat16")))


@pytest.mark.parametrize("fault", ["wait", "upload", "mixture"])
def test_a_fault_in_the_loop_is_caught(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    step = Adam.step

    def fail(self: Adam, loss: torch.Tensor, gradient: torch.Tensor) -> None:
        if fault == "wait" and self.count == 2:
            loss.item()
        if fault == "upload" and self.count == 2:
            gradient = gradient + torch.zeros(gradient.shape).to(gradient.device)
        if fault == "mixture":
            gradient = gradient + torch.zeros(gradient.shape)
        step(self, loss, gradient)

    monkeypatch.setattr(Adam, "step", fail)
    opened = open_recipe(HARBOUR, size=64, solver__steps=5, solver__method="adam")
    if fault == "mixture":
        with pytest.raises(MixedDevicesError, match=r"engine/solvers/minimise.py:\d+ optimiser.step"):
            render_on_gpu(opened)
        return
    _, watch = render_on_gpu(opened)
    ((line, count),) = watch.loop.items()
    assert count == 1 and line.startswith(f"{fault} at engine/solvers/minimise.py")
