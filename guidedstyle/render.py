"""From an opened scene to the picture: the only place where everything meets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from guidedstyle.encoder import Encoder
from guidedstyle.images import Array, read_picture, to_array
from guidedstyle.losses import Losses
from guidedstyle.objective import Canvas, Objective, resize
from guidedstyle.plan import Plan
from guidedstyle.recipe import EncoderChoice
from guidedstyle.scene import Scene
from guidedstyle.solver import Step, minimise
from guidedstyle.weights import load_lite, load_vgg19


@dataclass(frozen=True)
class Update:
    """Where a render is: its stage from 0, the steps done of all, and the solver's step."""

    stage: int
    done: int
    total: int
    step: Step[Losses]


Watch = Callable[[Update], bool]


@dataclass(frozen=True)
class Rendering:
    """A picture (1, 3, H, W) in [0, 1], the losses at its end, why it ended, its steps and seconds.

    `paint` is the picture before it was laid over what is kept.
    """

    image: Array
    paint: Array
    losses: Losses
    reason: str
    finished: bool
    steps: int
    seconds: float


def load_encoder(choice: EncoderChoice) -> Encoder:
    """Load the encoder a recipe asks for."""
    return load_lite(choice.weights) if choice.name == "lite" else load_vgg19(choice.weights, choice.convention)


def render(scene: Scene, encoder: Encoder, plan: Plan, watch: Watch = lambda update: True) -> Rendering:
    """Paint a scene from coarse to fine (Gatys et al. 2017, sec. 6.2), all targets computed anew at each size.

    Ends when all steps are done, or when `watch` returns False, with the picture so far at full size.
    """
    began, done, total = time.monotonic(), 0, sum(stage.steps for stage in plan.stages)
    encoder = encoder.to(plan.device, plan.precision).to(memory_format=torch.channels_last)
    image = begin_image(scene).to(plan.device)
    for index, stage in enumerate(plan.stages):
        objective = Objective(scene, encoder, plan, stage)

        def watch_stage(step: Step[Losses], index: int = index, before: int = done) -> bool:
            return watch(Update(index, before + step.number, total, step))

        method = scene.recipe.solver.method
        solution = minimise(objective, resize(image, stage.size), method, stage.steps, watch_stage)
        image, done = solution.image, done + solution.steps
        if not solution.finished:
            break
    with torch.no_grad():
        losses = objective(image)
        picture, paint = finish_image(scene, plan, image)
    reason = f"{solution.reason} ({done} of {total})"
    return Rendering(picture, paint, losses, reason, solution.finished, done, time.monotonic() - began)


def begin_image(scene: Scene) -> Tensor:
    """Make the image (1, 3, H, W) that the recipe starts from."""
    init = scene.recipe.solver.init
    content = torch.from_numpy(scene.content)
    if isinstance(init, Path):
        return resize(torch.from_numpy(to_array(read_picture(init))), (content.shape[3], content.shape[2]))
    if init == "noise":
        generator = torch.Generator().manual_seed(scene.recipe.solver.seed)
        return torch.rand(content.shape, generator=generator)
    return content if init == "content" else _lay_paintings(scene)


def _lay_paintings(scene: Scene) -> Tensor:
    """Put into every region the painting that weighs most in it."""
    height, width = scene.content.shape[2:]
    image = torch.from_numpy(scene.content) * torch.from_numpy(scene.weights[-1])
    for region, weights in zip(scene.recipe.regions, scene.weights, strict=False):
        name = max(region.style, key=lambda style: region.style[style], default=None)
        source = scene.paintings[name].image if name else scene.content
        image = image + resize(torch.from_numpy(source), (width, height)) * torch.from_numpy(weights)
    return image


def finish_image(scene: Scene, plan: Plan, image: Tensor) -> tuple[Array, Array]:
    """Bring an image to full size: laid over what is kept, and as it is."""
    canvas = Canvas.at_size(scene, plan.stages[-1].size, plan.device)
    paint = canvas.colour(resize(image, plan.stages[-1].size))
    return canvas.lay(paint).cpu().numpy(), paint.cpu().numpy()
