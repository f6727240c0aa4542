"""Arguments and options that commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, get_args

import typer

from guidedstyle.device.environment import check_device
from guidedstyle.encoders.registry import list_encoders
from guidedstyle.errors import GuidedStyleError
from guidedstyle.types import DRAFT, Convention, ProfileChoice, Setting, Subsampling

ENCODERS = list_encoders()
FIRST, RENDER, LOOK, RESEARCH = "First steps", "Render", "Look and check", "Research"  # headings of commands
QUICK_SIZE, QUICK_STEPS = 384, 60  # of `watch`: px and steps
QUICK = tuple(
    Setting(key, value, "guidedstyle watch") for key, value in (("size", QUICK_SIZE), ("solver.steps", QUICK_STEPS))
)

QUICK_COLOURS = {"style": "style", "match": "match", "keep": "content"}  # of `quick`: words of the key `colour`


def offer(*words: str) -> Callable[[str], list[str]]:
    """Complete one of these words in a shell."""

    def complete(incomplete: str) -> list[str]:  # the parameter's name is Typer's
        return [word for word in words if word.startswith(incomplete)]

    return complete


def whole_number(option: str, least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """Make the parser of a whole number from `least` to `most`: Typer's own would name neither the value nor a remedy.

    Keys of a recipe have no bounds here: the recipe reports theirs.
    """
    bounds = f" from {least} to {most}" if least is not None and most is not None else ""

    def read(text: str) -> int:
        try:
            if (least is None or least <= int(text)) and (most is None or int(text) <= most):
                return int(text)
        except ValueError:
            pass
        remedy = f"write, for example, {option} {least or 512}"
        raise GuidedStyleError.of(option, f"{text!r} is not a whole number{bounds}", remedy)

    return read


def read_number(option: str) -> Callable[[str], float]:
    """Make the parser of a number, whose bounds the recipe reports."""

    def read(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            rule, remedy = f"{text!r} is not a number", f"write, for example, {option} 1.5"
            raise GuidedStyleError.of(option, rule, remedy) from None

    return read


def read_convention(name: str | None, option: str = "--convention") -> Convention | None:
    """Read the input convention of weights; raises GuidedStyleError for an unknown one."""
    known: dict[str, Convention] = {word: word for word in get_args(Convention)}
    if name is not None and name not in known:
        raise GuidedStyleError.of(option, f"{name!r} is unknown", f"write one of {', '.join(known)}")
    return known[name] if name else None


# `readable=False`: the commands themselves report files that cannot be read, with a remedy.
Photo = Annotated[Path, typer.Argument(readable=False, help="The content image to paint over.")]
NewDocument = Annotated[Path, typer.Option("-o", "--output", help="The document to make: .ora, .psd or .kra.")]
StyleImages = Annotated[
    list[Path] | None, typer.Option("--style", help="A style image; several are assigned to the regions in turn.")
]
RecipeFiles = Annotated[
    list[Path],
    typer.Argument(metavar="RECIPE...", readable=False, help="Recipes (.yaml), or PNGs that guidedstyle rendered."),
]
Contents = Annotated[
    list[str] | None,
    typer.Option("--content", help="Content images instead of the recipe's: a file, folder or pattern."),
]
PreviewEvery = Annotated[str, typer.Option(help="Write the image so far: every 20 (steps), 5s, or off.")]
SaveEvery = Annotated[str | None, typer.Option(help="Write numbered frames: every 10 (steps), 5s, or off.")]
Timelapse = Annotated[Path | None, typer.Option(help="Make a time-lapse of the frames: .mp4, .avi, .gif or .webp.")]
CheckpointEvery = Annotated[str, typer.Option(help="Write a checkpoint for --resume: every 50 (steps), 30s, or off.")]
Report = Annotated[Path | None, typer.Option(help="Write a report, one file to open in a browser (.html).")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue an interrupted render; skip outputs that exist already.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files of these names that guidedstyle did not make.")
]
JsonProgress = Annotated[bool, typer.Option("--json-progress", help="Print progress as lines of JSON for programs.")]
RecipeFile = Annotated[
    Path, typer.Argument(readable=False, help="The recipe (.yaml), or a PNG that guidedstyle rendered.")
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="The image to write.")]
Size = Annotated[int | None, typer.Option(parser=whole_number("--size"), metavar="PX", help="Longest side in px.")]
Steps = Annotated[int | None, typer.Option(parser=whole_number("--steps"), metavar="NUMBER", help="Steps in all.")]
Seed = Annotated[int | None, typer.Option(parser=whole_number("--seed"), metavar="NUMBER", help="Seed of the noise.")]
Device = Annotated[
    str,
    typer.Option(
        help="auto, cpu, cuda, cuda:1 or mps.",
        callback=check_device,
        autocompletion=offer("auto", "cpu", "cuda", "mps"),
    ),
]
Tile = Annotated[
    str,
    typer.Option(
        help="Compute in tiles: auto (where needed), off, or their side in px.",
        autocompletion=offer("auto", "off", "512"),
    ),
]
MaxMemory = Annotated[str | None, typer.Option(metavar="GIB", help="Memory limit in GiB; default: the free memory.")]
Encoder = Annotated[str | None, typer.Option(help=f"{', '.join(ENCODERS)}.", autocompletion=offer(*ENCODERS))]
Draft = Annotated[bool, typer.Option("--draft", help="Take a few steps only, to look at, into an output of its own.")]
Fast = Annotated[
    Path | None, typer.Option("--fast", help="Paint in one pass with this network, as the recipe's key `network`.")
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, e.g. regions.sky.strength=2.")]
PROFILES, SUBSAMPLINGS = get_args(ProfileChoice), get_args(Subsampling)
Profile = Annotated[
    str | None,
    typer.Option(
        help=f"Colour profile of the image: {', '.join(PROFILES)}; default: keep the content image's.",
        autocompletion=offer(*PROFILES),
    ),
]
Depth = Annotated[
    int | None,
    typer.Option(
        parser=whole_number("--depth"),
        metavar="BITS",
        help="8 or 16 bits a channel; default: as the content image, where the format holds them.",
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(parser=whole_number("--quality"), metavar="1-100", help="Quality of .jpg, .webp and .avif."),
]
Subsampled = Annotated[
    str | None,
    typer.Option(
        "--subsampling",
        help=f"Chroma of .jpg and .avif: {', '.join(SUBSAMPLINGS)} (default: 4:4:4).",
        autocompletion=offer(*SUBSAMPLINGS),
    ),
]
KeepGPS = Annotated[bool, typer.Option("--keep-gps", help="Keep the position in the content image's EXIF.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Sandbox = Annotated[bool, typer.Option("--sandbox", help="Do not let the recipe read or write outside its own folder.")]
Strict = Annotated[bool, typer.Option("--strict", help="Make warnings errors, for programs: exit code 2.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")]
Teacher = Annotated[Path, typer.Option(help="Weights of VGG-19, the teacher (.safetensors or .pth).")]
TeacherConvention = Annotated[
    str | None,
    typer.Option(help=f"Input of the teacher's weights: {' or '.join(get_args(Convention))}."),
]
SECOND = "--second-convention"
SecondJudge = Annotated[
    Path | None,
    typer.Option(
        help="Weights of SqueezeNet 1.0, which no encoder is trained to resemble: adds a column of its judgement."
    ),
]
SecondConvention = Annotated[
    str | None,
    typer.Option(SECOND, help=f"Input of the second judge's weights: {' or '.join(get_args(Convention))}."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")]


def collect_settings(
    settings: list[str] | None,
    *,
    size: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    encoder: str | None = None,
    draft: bool = False,
    fast: Path | None = None,
    save: Mapping[str, object] = MappingProxyType({}),
) -> list[Setting]:
    """Collect the keys of the recipe that the command line sets; those of `save` are given by their flags."""
    from guidedstyle.recipe.loading.settings import parse_setting

    flags = {"size": size, "solver.steps": steps, "solver.seed": seed, "encoder": encoder}
    found = [Setting("solver.steps", None, "--fast")] if fast else []  # the recipe's are those without a network
    found += [Setting(f"solver.{key}", value, "--draft") for key, value in DRAFT.items() if draft]
    found += [parse_setting(setting) for setting in settings or ()]
    found += [Setting(key, value, f"--{key.split('.')[-1]}") for key, value in flags.items() if value is not None]
    found += [Setting("network", str(fast.absolute()), "--fast")] if fast else []
    found += [
        Setting(f"save.{flag.removeprefix('keep-')}", value, f"--{flag}")
        for flag, value in save.items()
        if value is not None and value is not False
    ]
    return found


def collect_quick_settings(
    *, size: int | None, steps: int | None, strength: float | None, colour: str | None
) -> list[Setting]:
    """Collect the keys of the recipe that `quick` sets."""
    found = collect_settings(None, size=size, steps=steps)
    if strength is not None:
        found.append(Setting("strength", strength, "--strength"))
    if colour is not None:
        if colour not in QUICK_COLOURS:
            raise GuidedStyleError.of("--colour", f"{colour!r} is unknown", f"write one of {', '.join(QUICK_COLOURS)}")
        found.append(Setting("colour", QUICK_COLOURS[colour], "--colour"))
    return found
