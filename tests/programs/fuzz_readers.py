"""Fuzz the readers of files, guided by coverage: a program, not a test.

python tests/programs/fuzz_readers.py recipe --seconds 300

A reader may raise only GuidedStyleError, within 5 seconds and 1 GiB. Violations are printed once for each place in
the code and saved in the folder `--findings`; the program then exits with 1.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import FrameType

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests/support

from torch._weights_only_unpickler import Unpickler

with atheris.instrument_imports(include=["guidedstyle", "PIL", "psd_tools", "tifffile", "yaml"]):
    import fuzz_seeds
    from PIL import Image, PngImagePlugin

    Image.init()  # imports the readers of all formats

    from guidedstyle.app.variants import parse_axis
    from guidedstyle.cli.terminal.console import tabulate_differences
    from guidedstyle.errors import GuidedStyleError
    from guidedstyle.io.images.formats import containers
    from guidedstyle.io.images.formats import limits as images
    from guidedstyle.io.images.reading import read_image
    from guidedstyle.io.images.samples import read_frame
    from guidedstyle.io.images.writing import save_image
    from guidedstyle.io.layered import base as paper
    from guidedstyle.io.layered.formats import open_layered, read_layer
    from guidedstyle.io.ownership import RECIPE_KEY
    from guidedstyle.masks.files import read_alpha, read_grey, read_labels
    from guidedstyle.masks.labels import Palette
    from guidedstyle.recipe.loading.loader import read_recipe, write_recipe
    from guidedstyle.recipe.loading.settings import parse_setting
    from guidedstyle.results.comparison import compare_images
    from guidedstyle.run.checkpoint import read_checkpoint

SLOW = 5  # seconds of the processor
LARGE = 2**30  # bytes
PIXELS = 2**22  # of an image; the default limit of 400 million would need more than `LARGE`
SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass(frozen=True)
class Target:
    """A reader to fuzz: `read` gets the bytes as a file of this name in the working folder."""

    name: str
    read: Callable[[Path], object]
    seeds: Callable[[], Iterator[bytes]]
    zipped: bool = False


def attempt(action: Callable[[], object]) -> object:
    """Call an action that may raise GuidedStyleError."""
    try:
        return action()
    except GuidedStyleError:
        return None


def read_and_write_recipe(file: Path) -> None:
    """Read a recipe; a valid one must be the same after it is written and read again."""
    reading = read_recipe(file)
    if not reading.document.problems:
        file.write_text(write_recipe(reading.recipe, file.parent), encoding="utf-8")
        again = read_recipe(file)
        assert not again.document.problems, again.document.problems
        assert again.recipe == reading.recipe


def read_settings(file: Path) -> None:
    """Parse every line as a setting and as an axis, and apply it to a recipe."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[:3]:
        attempt(lambda line=line: parse_axis(line))
        if setting := attempt(lambda line=line: parse_setting(line)):
            attempt(lambda setting=setting: read_recipe(Path("several.yaml"), [setting]))


def read_masks(file: Path) -> None:
    """Read an image as a grey mask and as an opacity."""
    attempt(lambda: read_grey(file))
    attempt(lambda: read_alpha(file))


def select_labels(file: Path) -> None:
    """Read a colour-coded image, and select its colours."""
    labels = read_labels(file, Palette(((255, 0, 0), (0, 0, 0)), leave=True))
    for colour in ("red", "black"):
        attempt(lambda colour=colour: labels.select(colour))
    assert list(labels.warnings) is not None


def read_images(file: Path) -> None:
    """Read an image at a small and at full size, and its frame."""
    attempt(lambda: read_frame(file))
    attempt(lambda: read_image(file, 16))
    attempt(lambda: read_image(file))


def read_layers(file: Path) -> None:
    """Read every layer of a document."""
    document = open_layered(file)
    for layer in document.layers[:16]:
        attempt(lambda layer=layer: read_layer(document, layer.path))


def compare_records(file: Path) -> None:
    """Compare an image with this record to an image without one."""
    comparison = compare_images([Path("a.png"), Path("plain.png")])
    assert list(tabulate_differences(comparison, 80)) is not None


def compare_carried(file: Path) -> None:
    """Compare an image that carries this recipe to an image without one, and read the recipe."""
    picture, text = Path("carrier.png"), file.read_text(encoding="utf-8", errors="replace")
    save_image(Image.new("RGB", (16, 16)), picture, (RECIPE_KEY, text))
    attempt(lambda: list(tabulate_differences(compare_images([picture, Path("plain.png")]), 80)))
    read_recipe(picture)


TARGETS = {
    "recipe": Target("recipe.yaml", read_and_write_recipe, fuzz_seeds.make_recipes),
    "settings": Target("settings.txt", read_settings, fuzz_seeds.make_settings),
    "picture": Target("picture.png", read_images, fuzz_seeds.make_images),
    "masks": Target("mask.png", read_masks, fuzz_seeds.make_images),
    "labels": Target("labels.png", select_labels, fuzz_seeds.make_images),
    "openraster": Target("layers.ora", read_layers, fuzz_seeds.make_openrasters, zipped=True),
    "krita": Target("layers.kra", read_layers, fuzz_seeds.make_kritas, zipped=True),
    "photoshop": Target("layers.psd", read_layers, fuzz_seeds.make_photoshops),
    "checkpoint": Target("picture.png.state", read_checkpoint, fuzz_seeds.make_checkpoints, zipped=True),
    "record": Target("a.png.json", compare_records, fuzz_seeds.make_records),
    "carried": Target("carried.yaml", compare_carried, fuzz_seeds.make_recipes),
}


class Overtime(BaseException):
    """A reader took too long; not an Exception, which it could catch."""


def give_up(signal_number: int, frame: FrameType | None) -> None:
    """Interrupt a reader that takes too long."""
    raise Overtime


@contextmanager
def noting(content: bytes, findings: Path) -> Iterator[None]:
    """Report violations by the place in the code that raised them."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_VIRTUAL, SLOW)
    try:
        yield
    except GuidedStyleError:
        pass
    except (Exception, Overtime) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "guidedstyle" in frame.filename][-1:]
        note(content, findings, f"{type(error).__name__} at {[f'{f.name}:{f.lineno}' for f in (*own, frames[-1])]}")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > LARGE // 1024:
        note(content, findings, "more than 1 GiB")


def note(content: bytes, findings: Path, what: str) -> None:
    """Save and print a finding, unless one of its kind is known."""
    file = findings / sha256(what.encode()).hexdigest()[:12]
    if not file.exists():
        file.write_bytes(content)
        file.with_suffix(".txt").write_text(f"{what}\n\n{traceback.format_exc()}")
        print(f"finding {file}: {what}", flush=True)


def fuzz(target: Target, seconds: int, findings: Path) -> None:
    """Fuzz for `seconds`; never returns."""
    images.MOST_PIXELS = paper.MOST_PIXELS = PIXELS
    PngImagePlugin.ChunkStream.crc = PngImagePlugin.ChunkStream.crc_skip  # mutations must get past it
    containers._is_valid = lambda *_: True  # and this
    Unpickler.load = atheris.instrument_func(Unpickler.load)
    signal.signal(signal.SIGVTALRM, give_up)
    resource.setrlimit(resource.RLIMIT_AS, (64 * LARGE, 64 * LARGE))

    def run(content: bytes) -> None:
        with noting(content, findings):
            Path(target.name).write_bytes(fuzz_seeds.join_parts(content) if target.zipped else content)
            target.read(Path(target.name))

    options = [f"-max_total_time={seconds}", "-max_len=16384", "-timeout=60", "-rss_limit_mb=8192"]
    options += ["-print_final_stats=1", f"-artifact_prefix={findings}/", "corpus"]
    atheris.Setup([sys.argv[0], *options], run)
    atheris.Fuzz()


def prepare(target: Target) -> None:
    """Write the seeds, and the files recipes name, into the working folder."""
    Path("corpus").mkdir()
    for index, seed in enumerate(target.seeds()):
        Path(f"corpus/{index}").write_bytes(seed)
    for name in ("photo", "ink", "oil", "left", "a", "plain"):
        Image.new("RGB", (32, 24), "red").save(f"{name}.png")
    Path("several.yaml").write_text(fuzz_seeds.RECIPES[1])


def main() -> None:
    """Fuzz in a child process, restarted after crashes; exit with 1 if anything was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    chosen = parser.parse_args()
    findings, until = chosen.findings.resolve() / chosen.target, time.monotonic() + chosen.seconds
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        os.chdir(folder)
        prepare(TARGETS[chosen.target])
        while (left := round(until - time.monotonic())) > 2:
            if (child := os.fork()) == 0:
                fuzz(TARGETS[chosen.target], left, findings)
            os.waitpid(child, 0)  # restarted after a crash
    raise SystemExit(any(findings.iterdir()))


if __name__ == "__main__":
    main()
