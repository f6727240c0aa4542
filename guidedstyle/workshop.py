"""Where recipes are rendered one after another; they share encoders and what is measured of paintings."""

from __future__ import annotations

from guidedstyle.device.limits import Limits
from guidedstyle.device.memory import keep_freed_memory
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.objective.targets import Memory
from guidedstyle.engine.plan import ANYTHING, Plan, make_plan
from guidedstyle.engine.render import render
from guidedstyle.engine.rendering import Snapshot, Watch, load_encoder
from guidedstyle.recipe.loading.loader import Reading
from guidedstyle.recipe.model import EncoderChoice
from guidedstyle.record import describe_origin
from guidedstyle.result import Result
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene


class Workshop:
    """Renders on a device within limits: plan a scene opened small, open it whole, render it."""

    def __init__(self, device: str = "auto", limits: Limits = ANYTHING) -> None:
        self.device, self.limits = device, limits
        self.encoders, self.memory = dict[EncoderChoice, Encoder](), Memory()
        keep_freed_memory()

    def plan(self, scene: Scene) -> Plan:
        """Plan the render of a scene, whatever size it was opened at; raises GuidedStyleError where it cannot be."""
        return make_plan(scene, self.load(scene.recipe.encoder), self.device, self.limits)

    def open(self, reading: Reading, plan: Plan) -> Scene:
        """Open a scene at its full size."""
        keep_freed_memory(large_too=not plan.tiled)
        return open_scene(reading)

    def render(
        self, scene: Scene, plan: Plan, watch: Watch, snapshot: Snapshot | None = None, notes: tuple[str, ...] = ()
    ) -> Result:
        """Render a scene as planned, from its beginning or from a snapshot; `notes` are added to what is told of it."""
        encoder, origin = self.load(scene.recipe.encoder), describe_origin(scene.recipe)
        return Result(scene, render(scene, encoder, plan, watch, self.memory, snapshot), notes, origin)

    def load(self, choice: EncoderChoice) -> Encoder:
        """Load the encoder that a recipe asks for, once."""
        if choice not in self.encoders:
            self.encoders[choice] = load_encoder(choice)
        return self.encoders[choice]
