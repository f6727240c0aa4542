"""Gradient descent of a network: optimisers, a schedule, a moving average of the weights, and checkpoints of all."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import atomic_write

WARM_UP = 200  # steps
DECAY = 0.998  # of the moving average of the weights
MOMENTUM = 0.95  # of Muon


class Descent:
    """Trains the weights of a model for some steps; `average` is a model with the moving average of its weights.

    `steps` may still change: they say how long the learning rate falls. `most_norm` limits the norm of the gradient.
    The parameters in `matrices` are trained by Muon (Jordan et al. 2024), which makes the change of a matrix
    orthogonal, in units of those of Adam; all others by Adam.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        steps: int,
        learning_rate: float,
        most_norm: float,
        matrices: Sequence[nn.Parameter] = (),
    ) -> None:
        self.model, self.steps, self.most_norm = model, steps, most_norm
        self.average = AveragedModel(model, avg_fn=average_weights).requires_grad_(False)
        known = {*map(id, matrices)}
        others = [one for one in model.parameters() if one.requires_grad and id(one) not in known]
        trained = [one for one in matrices if one.requires_grad]
        self.optimisers: list[Optimizer] = [torch.optim.Adam(others, lr=learning_rate)]
        if trained:
            muon = partial(torch.optim.Muon, momentum=MOMENTUM, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
            self.optimisers.append(muon(trained, lr=learning_rate))
        self.schedulers = [LambdaLR(one, lambda step: schedule(step, self.steps)) for one in self.optimisers]

    def descend(self, loss: Tensor) -> None:
        """Take a step down a loss, a scalar."""
        self.model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.most_norm)
        for optimiser, scheduler in zip(self.optimisers, self.schedulers, strict=True):
            optimiser.step()
            scheduler.step()
        self.average.update_parameters(self.model)

    @property
    def _parts(self) -> dict[str, Any]:
        """What has a state."""
        optimisers = {f"optimiser{number}": one for number, one in enumerate(self.optimisers)}
        schedulers = {f"scheduler{number}": one for number, one in enumerate(self.schedulers)}
        return {"model": self.model, "average": self.average} | optimisers | schedulers

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to continue."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])


def average_weights(average: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
    """Move the average towards a new value, faster during the first updates."""
    return average.lerp(value, 1 - min(DECAY, (1 + int(count)) / (10 + int(count))))


def schedule(step: int, steps: int) -> float:
    """Return the factor of the learning rate: a linear warm-up times half a cosine."""
    return min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps)))


class Resumable(Protocol):
    """A training run whose state can be saved and restored; restoring raises ValueError for one of another kind."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to continue."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state."""


def name_checkpoint(out: Path) -> Path:
    """Name the checkpoint next to a file of weights."""
    return out.with_suffix(".ckpt")


def load_checkpoint(training: Resumable, file: Path) -> None:
    """Restore a training run; raises GuidedStyleError where the file is not one of its checkpoints."""
    try:  # on the CPU first, where random numbers are drawn
        training.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except (OSError, pickle.UnpicklingError, EOFError, RuntimeError, KeyError, ValueError) as error:
        rule = f"{file} is not a checkpoint of this training ({str(error).splitlines()[0]})"
        raise GuidedStyleError.of("--resume", rule, "start without --resume") from error


def save_checkpoint(training: Resumable, file: Path) -> None:
    """Save the state of a training run atomically."""
    with atomic_write(file) as part:
        torch.save(training.state_dict(), part)
