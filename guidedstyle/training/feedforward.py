"""Train networks that paint in one pass, in several styles and any regions (Johnson et al. 2016)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from PIL import Image

from guidedstyle.device.threads import sharing_cores
from guidedstyle.engine.objective.canvas import resize, resize_layers
from guidedstyle.engine.plan import Plan, make_plan
from guidedstyle.engine.progress import load_encoder
from guidedstyle.engine.render import make_style_images_for
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import make_folder
from guidedstyle.io.images.reading import fit_size
from guidedstyle.io.images.writing import save_image, to_pillow
from guidedstyle.io.ownership import protect
from guidedstyle.networks.card import SUFFIX, Card
from guidedstyle.networks.files import load_network, save_network
from guidedstyle.networks.normalisation import PERIOD
from guidedstyle.networks.painting import paint
from guidedstyle.networks.transformer import COARSEST, WIDTH, StyleNetwork
from guidedstyle.recipe.inputs import find_overwritten, identify, list_given
from guidedstyle.recipe.loading.effects import UNUSED_STYLE
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.model import Recipe
from guidedstyle.results.record import identify_recipe
from guidedstyle.results.sheets import arrange, make_sheet
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import CHECK_SIZE, Scene
from guidedstyle.training.criterion import Batch, Criterion
from guidedstyle.training.data import Crops, Layouts, find_images
from guidedstyle.training.descent import Descent, load_checkpoint, name_checkpoint, save_checkpoint
from guidedstyle.types import Array, Setting

FORMAT = 1  # of checkpoints
CROP = 128  # px, of a side
BATCH = 4  # crops in a step
LONGEST = 768  # px, of images that crops are cut from
WIDEST = 2.0  # times a crop's side that it shows
LEARNING_RATE = 3e-3
MAX_NORM = 1.0  # of the gradient
NOISE = 0.02  # of pixels, in half of the batches: small changes from frame to frame must not show
STEPS = 16_000
SAVE_EVERY = 500  # steps
SIZE = 512  # px: longest side of images for which strokes have their size, where the recipe has none
SHEET = 512  # px
FEW_IMAGES, MOST_IMAGES = 20, 2000
TIMED = (5, 25)  # steps between which the pace is measured


@dataclass(frozen=True)
class Progress:
    """The losses of a step: the one that is minimised, and the means of style and content."""

    step: int
    loss: float
    style: float
    content: float

    @property
    def values(self) -> dict[str, float]:
        """The losses by name."""
        return {"loss": self.loss, "style": self.style, "content": self.content}


class Training:
    """A training run whose state can be saved and restored.

    `added` are the indices of the styles that are trained alone, in a network whose other weights stay as they are;
    None: all are trained. `minutes` choose the number of `steps`, once, by the pace of the first ones. Only states of
    the same `identity` are restored.
    """

    def __init__(
        self,
        network: StyleNetwork,
        criterion: Criterion,
        crops: Crops,
        *,
        steps: int,
        minutes: float | None = None,
        added: Sequence[int] | None = None,
        seed: int = 0,
        precision: torch.dtype = torch.float32,
        identity: str = "",
    ) -> None:
        self.identity = identity
        self.network, self.criterion, self.crops = network.compute_in(precision), criterion, crops
        self.step, self.minutes = 0, minutes
        if added is not None:
            network.train_styles_only()
        self.own = list(range(len(network.styles)) if added is None else added)  # whose targets are known
        matrices = network.list_matrices()
        self.descent = Descent(network, steps=steps, learning_rate=LEARNING_RATE, most_norm=MAX_NORM, matrices=matrices)
        self.layouts = Layouts(self.own, len(network.styles), seed)
        self.seconds = 0.0  # of the steps that are timed

    @property
    def steps(self) -> int:
        """The number of steps in all."""
        return self.descent.steps

    def run(self) -> Iterator[Progress]:
        """Train to the last step; yields the losses of each step."""
        with sharing_cores():
            while self.step < self.steps:
                began = time.monotonic()
                progress = self._learn()
                self.step += 1
                self._choose_steps(time.monotonic() - began)
                yield progress

    def _choose_steps(self, seconds: float) -> None:
        """Choose the number of steps that fit into the time, when enough of them are measured."""
        first, last = TIMED
        if self.minutes and first < self.step <= last:
            self.seconds += seconds
            if self.step == last:
                self.descent.steps = max(last + 1, round(60 * self.minutes / self.seconds * (last - first)))

    def _learn(self) -> Progress:
        batch = self._draw()
        noise = self.layouts.draw_noise(batch.content.shape) * (self.step % 2)
        seen = (batch.content + NOISE * noise.to(batch.content)).clamp(0, 1)
        painted = self.network(seen, batch.regions, batch.mixes, origin=self.layouts.draw_origin(COARSEST, PERIOD))
        losses = self.criterion(painted, replace(batch, mixes=batch.mixes[..., self.own]))
        loss = self.criterion.weigh(losses, batch.regions)
        self.descent.descend(loss)
        return Progress(self.step + 1, *(float(one.detach().mean()) for one in (loss, losses.style, losses.content)))

    def _draw(self) -> Batch:
        device = next(self.network.parameters()).device
        regions, mixes = self.layouts.draw(BATCH, self.crops.side)
        content = self.crops.cut(BATCH).contiguous(memory_format=torch.channels_last)
        return Batch(content.to(device), regions.to(device), mixes.to(device))

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to continue."""
        return {
            "format": FORMAT,
            "identity": self.identity,
            "descent": self.descent.state_dict(),
            "crops": self.crops.random.getstate(),
            "layouts": self.layouts.generator.get_state(),
            "step": self.step,
            "steps": self.steps,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state; raises ValueError for one of another format or identity."""
        if state.get("format") != FORMAT:
            raise ValueError(f"its format is {state.get('format')}, not {FORMAT}")
        if state["identity"] != self.identity:
            raise ValueError("its recipe, images, base or seed are others")
        self.descent.load_state_dict(state["descent"])
        self.crops.random.setstate(state["crops"])
        self.layouts.generator.set_state(state["layouts"])
        self.step, self.descent.steps, self.seconds = state["step"], state["steps"], state["seconds"]


@dataclass(frozen=True)
class Run:
    """A training run and its files: the network, its checkpoint, and a sheet of what it paints."""

    training: Training
    card: Card
    scene: Scene
    out: Path
    notes: tuple[str, ...]

    def save(self) -> None:
        """Write the checkpoint, the network with its card, and the sheet."""
        save_checkpoint(self.training, name_checkpoint(self.out))
        network = cast(StyleNetwork, self.training.descent.average.module)
        steps = self.training.step + (self.card.base.steps if self.card.base else 0)
        save_network(network, self.card.model_copy(update={"steps": steps}), self.out)
        save_image(draw_sheet(network, self.scene.content), name_sheet(self.out), overwrite=True)


def name_sheet(out: Path) -> Path:
    """Name the sheet next to a network."""
    return out.with_suffix(".sheet.png")


@torch.no_grad()
def draw_sheet(network: StyleNetwork, content: Array) -> Image.Image:
    """Draw a content image (1, 3, H, W) and what a network paints of it: in each style, and in all, side by side."""
    height, width = content.shape[2:]
    size = fit_size((width, height), SHEET)
    small = resize(torch.from_numpy(content), size).to(next(network.parameters()).device)
    whole, count = small.new_ones(1, *small.shape[2:]), len(network.styles)
    edges = torch.linspace(0, count, size[0], device=small.device).long().clamp(max=count - 1)
    stripes = (edges == torch.arange(count, device=small.device)[:, None])[:, None].expand(-1, size[1], -1).float()
    each = torch.eye(count, device=small.device)
    images = [paint(network, small, whole, each[number : number + 1]).image for number in range(count)]
    images.append(paint(network, small, stripes, each).image)
    labels = [*network.styles, "side by side"]
    cells = [("content", to_pillow(small.cpu().numpy()))]
    cells += [(label, to_pillow(image.cpu().numpy())) for label, image in zip(labels, images, strict=True)]
    return make_sheet(list(arrange(cells, len(cells))))


class Beginning(NamedTuple):
    """The network that a training begins with, the indices of styles that are added to it, and the card of its base.

    None: all styles are trained; the network has no base.
    """

    network: StyleNetwork
    added: Sequence[int] | None
    base: Card | None


def prepare_run(
    recipe: Path,
    images: Sequence[Path],
    out: Path,
    *,
    settings: Sequence[Setting] = (),
    hold_out: Sequence[str] = (),
    base: Path | None = None,
    add_to: Path | None = None,
    width: int | None = None,
    steps: int = STEPS,
    minutes: float | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> Run:
    """Prepare the training of a network in the styles of a recipe, whose file is `out`.

    Training begins with the network `base`, or adds styles to the network `add_to`, whose other weights stay as they
    are; without one, the network has `width` channels. `images` are folders of photographs; files with one of
    `hold_out` in their names are left out. Raises GuidedStyleError where anything is wrong, before the first step.
    """
    _check_choices(out, base, add_to, width, minutes)
    files = find_images(images, hold_out)
    reading = read_recipe(recipe, [*settings, Setting("network", None, "train fast")])
    scene = open_scene(reading, max(CHECK_SIZE, reading.recipe.size or 0))
    given = [("the recipe", recipe), *list_given(scene.recipe), *((f"the image {file}", file) for file in files)]
    _check_files(out, given, resume=resume, overwrite=overwrite)
    beginning = _begin(_name_styles(scene.recipe), base, add_to, width=width or WIDTH, seed=seed)
    crops = Crops(choose_evenly(files, MOST_IMAGES), seed, side=CROP, widest=WIDEST, longest=LONGEST)
    card = _make_card(scene, beginning, images=len(crops.images), seed=seed)
    criterion, plan = _make_criterion(scene, beginning, device)
    training = Training(
        beginning.network.to(plan.device),
        criterion,
        crops,
        steps=steps,
        minutes=minutes,
        added=beginning.added,
        seed=seed,
        precision=plan.precision,
        identity=card.model_dump_json(exclude={"versions"}),
    )
    make_folder(out.parent, "--output")
    if resume:
        load_checkpoint(training, name_checkpoint(out))
    return Run(training, card, scene, out, tuple(_warn(scene, beginning, len(files))))


def _check_files(out: Path, given: Iterable[tuple[str, Path]], *, resume: bool, overwrite: bool) -> None:
    """Check that what is written replaces nothing that is `given` or of someone else, and what is resumed exists."""
    checkpoint = name_checkpoint(out)
    written = [out, checkpoint, name_sheet(out)]
    if overwritten := find_overwritten(identify(given), written):
        raise GuidedStyleError.of("--output", overwritten, "choose another name")
    protect(written, overwrite=overwrite)
    if resume and not checkpoint.exists():
        raise GuidedStyleError.of("--resume", f"there is no {checkpoint}", "start without --resume")


def choose_evenly(files: Sequence[Path], most: int) -> list[Path]:
    """Choose at most so many files, evenly among all."""
    count = min(len(files), most)
    return [files[index * len(files) // count] for index in range(count)]


def _check_choices(out: Path, base: Path | None, add_to: Path | None, width: int | None, minutes: float | None) -> None:
    """Check the name of the file to write, choices that exclude each other, and that training can run at all."""
    before, other = base or add_to, "choose another name"
    if out.suffix != SUFFIX:
        raise GuidedStyleError.of("--output", f"{out} is not a {SUFFIX} file", f"choose a name ending in {SUFFIX}")
    if before and out.exists() and before.exists() and out.samefile(before):
        raise GuidedStyleError.of("--output", f"{out} is what it begins with", other)
    if base and add_to:
        raise GuidedStyleError.of("--base", "--add-to is given too", "give one of them")
    if before and width:
        raise GuidedStyleError.of("--width", f"the network has the width of {before}", "leave it out")
    if minutes is not None and not 0 < minutes < inf:
        raise GuidedStyleError.of("--minutes", f"{minutes} is no length of time", "write, for example, --minutes 60")
    if not hasattr(torch.optim, "Muon"):
        rule = f"torch {torch.__version__} has no optimiser Muon"
        raise GuidedStyleError.of("train fast", rule, "pip install --upgrade 'torch>=2.9' torchvision")


def _name_styles(recipe: Recipe) -> list[str]:
    """Name the styles to train: all, but those that are only parts of others."""
    used = {name for region in recipe.regions for name in region.mix}
    parts = {part for style in recipe.styles.values() for part in style.parts}
    return [name for name in recipe.styles if name in used or name not in parts]


def _begin(names: Sequence[str], base: Path | None, add_to: Path | None, *, width: int, seed: int) -> Beginning:
    """Make the network that training begins with."""
    torch.manual_seed(seed)
    if not (file := base or add_to):
        return Beginning(StyleNetwork(names, width=width), None, None)
    network, card = load_network(file)
    if base:
        return Beginning(network.with_styles(names).requires_grad_(), None, card)
    new = [name for name in names if name not in network.styles]
    if not new:
        rule = f"it knows all styles of the recipe: {', '.join(names)}"
        raise GuidedStyleError.of(f"--add-to {add_to}", rule, "name the new style otherwise in the recipe")
    known = len(network.styles)
    return Beginning(network.with_styles([*network.styles, *new]), range(known, known + len(new)), card)


def _make_criterion(scene: Scene, beginning: Beginning, device: str) -> tuple[Criterion, Plan]:
    """Make the criterion of the styles to train, and the plan of a render, whose device and precision it uses."""
    encoder = load_encoder(scene.recipe.encoder)
    plan = make_plan(scene, encoder, device)
    encoder = plan.place(encoder)
    style_images, styles = make_style_images_for(scene, encoder, plan), beginning.network.styles
    drawn = []
    for name in styles if beginning.added is None else [styles[index] for index in beginning.added]:
        size = style_images[name].fit(scene.recipe.scale(name) * _choose_size(scene))
        image = resize(torch.from_numpy(style_images[name].image), size)
        mask = resize_layers(style_images[name].mask[None], size)
        drawn.append((image.to(plan.device), mask.to(plan.device)))
    return Criterion(encoder, scene.recipe, drawn, side=CROP), plan


def _choose_size(scene: Scene) -> int:
    """Choose the longest side of images, in px, for which strokes have their size."""
    return scene.recipe.size or min(SIZE, max(scene.size))


def _make_card(scene: Scene, beginning: Beginning, *, images: int, seed: int) -> Card:
    """Make the card of a network; styles that it keeps from a base are described as they were trained."""
    identity, network, base = identify_recipe(scene.recipe), beginning.network, beginning.base
    recipe, inputs = identity.recipe, identity.inputs
    if base and beginning.added is not None:
        kept = _name_kept(base)
        styles = {name: one for name, one in base.recipe["styles"].items() if name in kept}
        recipe = recipe | {"styles": recipe["styles"] | styles}
        others = {key: one for key, one in inputs.items() if not _is_of(key, kept)}
        inputs = others | {key: one for key, one in base.inputs.items() if _is_of(key, kept)}
    return Card(
        styles=network.styles,
        width=network.width,
        size=_choose_size(scene),
        encoder=scene.recipe.encoder.name,
        recipe=recipe,
        inputs=inputs,
        images=images,
        steps=0,
        seed=seed,
        versions=identity.versions,
        base=base,
    )


def _name_kept(base: Card) -> set[str]:
    """Name the styles of a base, and those that they are made of."""
    parts = {base.describe_style(name).get(key) for name in base.styles for key in ("fine", "coarse")}
    return {*base.styles, *(part for part in parts if part)}


def _is_of(key: str, styles: Iterable[str]) -> bool:
    """Whether a file, by its key path, belongs to one of some styles."""
    return any(key.startswith(f"styles.{name}.") for name in styles)


def _warn(scene: Scene, beginning: Beginning, images: int) -> Iterator[str]:
    """Warn of what may not be as intended."""
    yield from (warning for warning in scene.warnings if UNUSED_STYLE not in warning)
    if beginning.base and beginning.added is not None:
        known = [name for name in _name_styles(scene.recipe) if name in beginning.base.styles]
        yield from (f"the network knows the style {name} already: it stays as it is" for name in known)
    if images < FEW_IMAGES:
        yield f"{images} images are few: the network may paint little else well (give folders with more)"
    if images > MOST_IMAGES:
        yield f"of {images} images {MOST_IMAGES}, evenly chosen, are held in memory and used"
