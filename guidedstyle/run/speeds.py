"""How fast this machine renders: measured by every render, kept in the cache, and used to estimate the next one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, NamedTuple

from guidedstyle.device.environment import name_processor
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import read_small_file, write_file
from guidedstyle.io.paths import find_cache
from guidedstyle.run.eta import MAX_OVERHEAD, OVERHEAD, Forecast
from guidedstyle.scene.scene import Scene, Stage

if TYPE_CHECKING:
    from guidedstyle.engine.plan import Plan

MOST_SAMPLES = 15  # the latest are kept, those of about five renders: how busy a machine is changes
MOST_BYTES = 100_000  # of a file
FEWEST_STEPS = 2  # of a stage that is measured
SUSPENDED = 5  # times the median: a longer step was interrupted
PER_REGION = 0.1  # of a step's time, for each painted region after the first; measured on a CPU
TILED = 0.4  # of a step's time, for what is computed twice in tiles
OVERHEADS = tuple(10 ** (exponent / 8) for exponent in range(24, 57))  # px: 1e3 to 1e7


class Work(NamedTuple):
    """What the time of a render depends on: the encoder, the stages, how much is tiled (0 to 1), painted regions."""

    encoder: str
    stages: tuple[Stage, ...]
    tiled: tuple[float, ...]
    regions: int

    @classmethod
    def of(cls, scene: Scene, plan: Plan | None = None) -> Work:
        """Describe the render of a scene; without a plan nothing is tiled."""
        stages, regions = plan.stages if plan else scene.stages, scene.recipe.regions
        tilings = plan.tilings if plan else ()
        tiled = tuple(float(1 - one.kept if one.side else 0) for one in tilings) or (0.0,) * len(stages)
        return cls(scene.recipe.encoder.name, stages, tiled, sum(not region.keep for region in regions))

    def weigh(self, index: int, overhead: float) -> float:
        """Weigh a step of a stage, in px of a step with one region that is computed as a whole."""
        share = (1 + TILED * self.tiled[index]) * (1 + PER_REGION * max(0, self.regions - 1))
        return (math.prod(self.stages[index].size) + overhead) * share


class Sample(NamedTuple):
    """A measured stage: px of the image, the weight of each, seconds of a step, steps that its setup took."""

    pixels: float
    weight: float
    seconds: float
    setup: float


@dataclass(frozen=True)
class Speed:
    """The seconds for a pixel, the fixed cost of a step in pixels, and the setup of a stage in steps."""

    pixel: float
    overhead: float
    setup: float

    def estimate(self, work: Work) -> float:
        """Estimate the seconds of a render."""
        steps = [stage.steps + self.setup for stage in work.stages]
        return self.pixel * sum(count * work.weigh(index, self.overhead) for index, count in enumerate(steps))


@dataclass(frozen=True)
class Machine:
    """What speeds are kept for."""

    encoder: str
    processor: str
    device: str
    precision: str
    threads: int
    processes: int

    @classmethod
    def of(cls, encoder: str, plan: Plan) -> Machine:
        """Describe the machine of a plan."""
        import torch  # a plan needs it

        from guidedstyle.device.distributed import count_processes
        from guidedstyle.device.precision import name_precision

        gpu = plan.device.type == "cuda"
        device = torch.cuda.get_device_name(plan.device) if gpu else plan.device.type
        precision, threads = name_precision(plan.precision), 0 if gpu else torch.get_num_threads()
        return cls(encoder, name_processor(), device, precision, threads, count_processes())

    @property
    def file(self) -> Path:
        """The file of its speeds, whether it exists or not."""
        key = hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()
        return find_cache() / f"speed-{key[:16]}.json"


def load_speed(encoder: str, plan: Plan) -> Speed | None:
    """Load the speed that was measured with an encoder on the machine of a plan; None: there is none."""
    return fit_speed(_read_samples(Machine.of(encoder, plan).file))


def estimate_plan(scene: Scene, plan: Plan) -> float | None:
    """Estimate the seconds of a planned render; None: none has been measured like this."""
    work = Work.of(scene, plan)
    speed = load_speed(work.encoder, plan)
    return speed.estimate(work) if speed else None


def estimate_works(works: Sequence[Work]) -> float | None:
    """Estimate the seconds of renders that are not planned, on the device of the last render with each encoder.

    None: for one of them nothing has been measured on this machine. Does not need torch.
    """
    speeds = {encoder: _find_latest(encoder) for encoder in {work.encoder for work in works}}
    found = [speed.estimate(work) for work in works if (speed := speeds[work.encoder])]
    return sum(found) if len(found) == len(works) else None


def _find_latest(encoder: str) -> Speed | None:
    """Find the speed that was measured last with an encoder on this processor."""
    for file in sorted(_list_files(), key=lambda one: one[1], reverse=True):
        data = _read(file[0])
        if data.get("machine", {}).get("encoder") == encoder and data["machine"].get("processor") == name_processor():
            return fit_speed(_read_samples(file[0]))
    return None


def _list_files() -> list[tuple[Path, float]]:
    """List the files with their times of writing; none where the cache cannot be read."""
    with suppress(OSError):
        return [(file, file.stat().st_mtime) for file in find_cache().glob("speed-*.json")]
    return []


def is_any_measured() -> bool:
    """Whether a render has been measured on this machine."""
    return bool(_list_files())


def measure_stages(forecast: Forecast, work: Work) -> Iterator[Sample]:
    """Turn the times of a render into samples, one for each stage with enough steps."""
    for index, times in forecast.steps.items():
        if len(times) >= FEWEST_STEPS and (usual := median(times)) > 0:
            pace = fmean(time for time in times if time <= SUSPENDED * usual)
            pixels, setup = math.prod(work.stages[index].size), forecast.setups[index] / pace
            yield Sample(pixels, work.weigh(index, 0) / pixels, pace, setup)


def store_samples(samples: Iterable[Sample], machine: Machine) -> None:
    """Add samples to those of a machine; does nothing if there are none, or the cache cannot be written."""
    if not (new := list(samples)):
        return
    kept = [*_read_samples(machine.file), *new][-MOST_SAMPLES:]
    data = {"machine": asdict(machine), "samples": kept}
    with suppress(OSError, GuidedStyleError):
        machine.file.parent.mkdir(parents=True, exist_ok=True)
        write_file(machine.file, (json.dumps(data, indent=1) + "\n").encode())


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_small_file(file, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) and isinstance(data.get("machine"), dict) else {}


def _read_samples(file: Path) -> list[Sample]:
    """Read the samples of a file; damaged ones are left out."""
    found: object = _read(file).get("samples", [])
    return [Sample(*map(float, one)) for one in found if _is_sample(one)] if isinstance(found, list) else []


def _is_sample(values: object) -> bool:
    if not isinstance(values, list) or len(values) != len(Sample._fields):
        return False
    return all(isinstance(one, int | float) and math.isfinite(one) and 0 <= one <= 1e12 for one in values) and all(
        values[:3]
    )


def fit_speed(samples: Sequence[Sample]) -> Speed | None:
    """Fit the time of a step, pixels and a fixed cost, to samples; None: there are none."""
    if not samples:
        return None
    sizes = [one.pixels for one in samples]
    candidates = OVERHEADS if max(sizes) > 2 * min(sizes) else (OVERHEAD,)  # of one size: as on other machines
    fits = [_fit_pixel(samples, overhead) for overhead in candidates]
    _, pixel, overhead = min(fits)
    return Speed(pixel, min(overhead, MAX_OVERHEAD), median(one.setup for one in samples))


def _fit_pixel(samples: Sequence[Sample], overhead: float) -> tuple[float, float, float]:
    """Fit the seconds of a pixel for a fixed cost; returns the error, the seconds and the cost."""
    rates = [one.seconds / ((one.pixels + overhead) * one.weight) for one in samples]
    pixel = median(rates)
    return sum(abs(math.log(rate / pixel)) for rate in rates), pixel, overhead


def write_duration(seconds: float | None) -> str:
    """Write about how long something takes, as exactly as it is known: `about 35 s`, `about 12 min`."""
    if seconds is None:
        return "unknown yet: the first render here measures it"
    if seconds < 90:
        return f"about {max(1, round(seconds) if seconds < 10 else 5 * round(seconds / 5))} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    hours, minutes = divmod(10 * round(seconds / 600), 60)
    return f"about {hours} h {minutes} min" if minutes else f"about {hours} h"
