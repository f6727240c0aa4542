"""Judge large forms by SqueezeNet, which takes no part in training encoders: a student may please its teacher alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from guidedstyle.encoders.encoder import Described, Encoder
from guidedstyle.engine.cache import StatisticsCache
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.recipe.model import EncoderChoice
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Array

LAYERS = ("fire3", "fire5", "fire7", "fire8")


@dataclass(frozen=True)
class LayerDistances:
    """The style distances of an image by layer: squared norms of differences of statistics, relative to the targets'.

    A layer's distance is the mean over regions, by the recipe's `balance`; 0: the statistics of the style, mixed as
    the regions mix it.
    """

    layers: Mapping[str, float]

    @property
    def mean(self) -> float:
        """The mean over the layers."""
        return fmean(self.layers.values())


class SecondJudge:
    """Measure style distances at deep layers of SqueezeNet, at the image's own size, in float32."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.statistics = encoder, StatisticsCache()

    def measure(self, scene: Scene, image: Array) -> LayerDistances:
        """Measure a result (1, 3, H, W) in [0, 1] of a scene; raises GuidedStyleError where memory is short."""
        return LayerDistances({layer: self._measure_layer(scene, image, layer) for layer in LAYERS})

    def _measure_layer(self, scene: Scene, image: Array, layer: str) -> float:
        scene = aim_at(scene, layer)
        plan = make_plan(scene, self.encoder)
        encoder = self.encoder.move(plan.device, plan.precision)
        objective = Objective(scene, encoder, plan, plan.stages[-1], statistics=self.statistics)
        with torch.no_grad():
            losses = objective.measure(torch.from_numpy(image).to(plan.device))
        return float(objective.weights.balance @ losses.style)


def check_scene(scene: Scene, encoder: Described) -> None:
    """Raise GuidedStyleError if a scene cannot be judged: the weights end before a layer, or memory is short."""
    for layer in LAYERS:
        make_plan(aim_at(scene, layer), encoder)


def aim_at(scene: Scene, layer: str) -> Scene:
    """Return a scene whose regions match their styles at one layer of SqueezeNet, at one size, and no content."""
    recipe = scene.recipe
    ours = {"style_layers": {layer: 1.0}, "octaves": (1.0,), "content_strength": 0.0}
    regions = tuple(region.model_copy(update=dict.fromkeys(ours)) for region in recipe.regions)
    whole = {
        "regions": regions,
        "encoder": EncoderChoice(name="squeezenet"),
        "method": "octaves",  # distances of `classic` are not relative
        "precision": "float32",
        "solver": recipe.solver.model_copy(update={"sizes": 1}),
    }
    return replace(scene, recipe=recipe.model_copy(update=ours | whole))
