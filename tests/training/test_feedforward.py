"""Training of networks that paint in one pass: its steps, its files and its command."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.commands import run
from support.images import draw_image
from support.processes import spawn

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import lock_output
from guidedstyle.networks.card import read_card
from guidedstyle.networks.files import load_network
from guidedstyle.training.data import Layouts
from guidedstyle.training.descent import name_checkpoint, save_checkpoint, schedule
from guidedstyle.training.feedforward import LEARNING_RATE, TIMED, Run, Training, choose_evenly, prepare_run

pytestmark = pytest.mark.slow

RECIPE = """
content: photo.png
size: 160
styles: {ink: ink.png, oil: {image: oil.png, scale: 0.5}}
style: ink
"""


@pytest.fixture
def recipe(tmp_path: Path, images: Path) -> Path:
    for seed, name in enumerate(("photo", "ink", "oil", "wax"), 10):
        draw_image(180, 140, seed).save(tmp_path / f"{name}.png")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def prepare(recipe: Path, **options: object) -> Run:
    values: dict[str, object] = {"steps": 4, "width": 4, "device": "cpu"}
    return prepare_run(recipe, [recipe.parent / "images"], recipe.parent / "out.safetensors", **values | options)  # type: ignore[arg-type]


def command(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run("train", "fast", "recipe.yaml", *arguments, folder=folder)


def take(training: Training, steps: int) -> list[float]:
    return [progress.loss for progress in islice(training.run(), steps)]


def compare(one: Training, other: Training) -> None:
    for key, value in one.descent.average.state_dict().items():
        torch.testing.assert_close(other.descent.average.state_dict()[key], value, rtol=0, atol=0)


def test_layouts_cover_everything_with_mixes_that_sum_to_one() -> None:
    layouts, counts, alone = Layouts([0, 2], 4, seed=0), set(), 0
    for _ in range(40):
        weights, mixes = layouts.draw(3, 32)
        counts.add(weights.shape[1])
        torch.testing.assert_close(weights.sum(1), torch.ones(3, 32, 32))
        torch.testing.assert_close(mixes.sum(2), torch.ones(mixes.shape[:2]))
        assert not mixes[..., [1, 3]].any()
        alone += int((mixes.amax(2) == 1).sum())
    assert counts == {1, 2, 3}
    assert alone > 40


def test_resumed_training_ends_like_an_uninterrupted_one(recipe: Path) -> None:
    whole, interrupted = prepare(recipe).training, prepare(recipe).training
    losses = take(whole, 4)
    before = take(interrupted, 2)
    save_checkpoint(interrupted, name_checkpoint(recipe.parent / "out.safetensors"))
    resumed = prepare(recipe, resume=True).training
    assert before + take(resumed, 4) == losses
    compare(whole, resumed)


def test_equal_seeds_train_equal_networks_and_other_seeds_do_not(recipe: Path) -> None:
    one, same, other = (prepare(recipe, seed=seed).training for seed in (0, 0, 1))
    assert take(one, 2) == take(same, 2) != take(other, 2)
    compare(one, same)


def test_training_lowers_the_loss(recipe: Path) -> None:
    losses = take(prepare(recipe, steps=60).training, 60)
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.1


def test_minutes_choose_the_number_of_steps_once(recipe: Path) -> None:
    training = prepare(recipe, minutes=1.0).training
    training.descent.steps = TIMED[1] + 1
    for step in range(1, TIMED[1] + 3):
        training.step = step
        training._choose_steps(0.5 if step <= TIMED[1] else 100.0)
    assert training.steps == 120
    take(training, 1)
    assert training.descent.schedulers[0].get_last_lr()[0] == pytest.approx(LEARNING_RATE * schedule(1, 120))


def test_added_styles_leave_all_others_to_the_bit(recipe: Path) -> None:
    first = prepare(recipe)
    list(first.training.run())
    first.save()
    recipe.write_text(RECIPE.replace("ink: ink.png", "wax: wax.png, ink: ink.png"))
    second = prepare_run(
        recipe,
        [recipe.parent / "images"],
        recipe.parent / "more.safetensors",
        add_to=recipe.parent / "out.safetensors",
        steps=3,
        device="cpu",
    )
    list(second.training.run())
    second.save()
    (before, _), (after, card) = (load_network(recipe.parent / f"{name}.safetensors") for name in ("out", "more"))
    assert after.styles == ("ink", "oil", "wax")
    new = 0.0
    for (name, old), (_, weights) in zip(before.named_parameters(), after.named_parameters(), strict=True):
        if weights.shape == old.shape:
            assert torch.equal(weights, old), name
        else:
            assert torch.equal(weights[:2], old), name
            new += float((weights[2] - old.mean(0)).abs().sum())
    assert new > 0
    assert card.base == read_card(recipe.parent / "out.safetensors")
    assert "the network knows the style ink already: it stays as it is" in second.notes
    assert card.recipe["styles"]["oil"]["scale"] == 0.5
    assert {"styles.wax.image", "styles.oil.image"} <= card.inputs.keys()
    assert card.steps == 7


def test_a_base_gives_its_kernels_and_the_mean_of_its_styles(recipe: Path) -> None:
    prepare(recipe).save()
    base, _ = load_network(recipe.parent / "out.safetensors")
    recipe.write_text("content: photo.png\nsize: 160\nstyles: {oil: oil.png, wax: wax.png}\nstyle: wax\n")
    second = prepare_run(
        recipe,
        [recipe.parent / "images"],
        recipe.parent / "other.safetensors",
        base=recipe.parent / "out.safetensors",
        device="cpu",
    )
    assert second.training.network.styles == ("oil", "wax")
    for old, new in zip(base.style_weights.values(), second.training.network.style_weights.values(), strict=True):
        assert torch.equal(new[0], old[1])
        assert torch.equal(new[1], old.mean(0))
    kernels = zip(base.list_matrices(), second.training.network.list_matrices(), strict=True)
    assert all(torch.equal(*pair) for pair in kernels)


def test_the_command_writes_a_network_its_card_a_sheet_and_a_checkpoint(recipe: Path) -> None:
    options = ["--images", "images", "--steps", "2", "--width", "4", "-o", "styles.safetensors"]
    done = command(recipe.parent, *options)
    assert done.returncode == 0, done.stderr
    assert "3 images are few" in done.stderr
    assert "no region uses" not in done.stderr
    card = read_card(recipe.parent / "styles.safetensors")
    assert (card.styles, card.width, card.size, card.images, card.steps) == (("ink", "oil"), 4, 160, 3, 2)
    assert card.recipe["styles"]["oil"]["image"] == "oil.png"
    with Image.open(recipe.parent / "styles.sheet.png") as sheet:
        assert sheet.width > 3 * 160
    again = command(recipe.parent, *options, "--resume")
    assert again.returncode == 0, again.stderr
    (recipe.parent / "styles.sheet.png").write_bytes(b"mine")
    refused = command(recipe.parent, *options)
    assert refused.returncode == 2
    assert "guidedstyle did not make it" in refused.stderr


def test_two_processes_do_not_train_into_one_file(recipe: Path) -> None:
    with lock_output(recipe.parent / "out.safetensors"):
        done = command(recipe.parent, "--images", "images", "--steps", "2", "--width", "4", "-o", "out.safetensors")
    assert done.returncode == 2
    assert "out.safetensors" in done.stderr
    assert not (recipe.parent / "out.safetensors").exists()


def test_a_killed_training_resumes_to_the_bit(recipe: Path) -> None:
    whole = prepare(recipe, steps=5)
    list(whole.training.run())
    code = (
        "import os, signal, sys\nfrom guidedstyle.training import feedforward as f\nf.SAVE_EVERY = 2\n"
        "old = f.Run.save\n"
        "def save(run):\n    old(run)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "f.Run.save = save\nfrom guidedstyle.__main__ import main\nmain()"
    )
    options = ["--steps", "5", "--width", "4", "--device", "cpu", "-o", "out.safetensors"]
    start = [sys.executable, "-c", code, "train", "fast", "recipe.yaml", "--images", "images", *options]
    process = spawn(start, cwd=recipe.parent)
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL
    resumed = prepare(recipe, steps=5, resume=True).training
    assert resumed.step == 2
    list(resumed.run())
    compare(whole.training, resumed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": "missing"}, "--images missing: it is not a folder"),
        ({"images": "empty"}, "there is no image to train on"),
        ({"images": "corrupt"}, "b.png"),
        ({"output": "styles.pt"}, "styles.pt is not a .safetensors file"),
        ({"--base": "photo.png"}, "it is damaged, or no .safetensors file"),
        ({"--add-to": "missing.safetensors"}, "No such file"),
        ({"--base": "a.safetensors", "--add-to": "b.safetensors"}, "--base: --add-to is given too"),
        ({"--base": "a.safetensors", "--width": "8"}, "the network has the width of a.safetensors"),
        ({"--minutes": "0"}, "0.0 is no length of time"),
        ({"--minutes": "soon"}, "'soon' is not a number"),
        ({"--width": "2"}, "'2' is not a whole number from 4 to 128"),
        ({"--resume": None}, "--resume: there is no out.ckpt"),
        ({"output": "ink.sheet.safetensors"}, "ink.sheet.sheet.png would overwrite styles.ink.image"),
        ({"--encoder": "vgg11"}, "vgg11"),
    ],
)
def test_what_is_wrong_is_told_before_the_work(change: dict[str, str | None], message: str, recipe: Path) -> None:
    folder = recipe.parent
    (folder / "empty").mkdir()
    (folder / "corrupt").mkdir()
    draw_image(64, 64, 1).save(folder / "corrupt" / "a.png")
    (folder / "corrupt" / "b.png").write_bytes((folder / "corrupt" / "a.png").read_bytes()[:300])
    flags = {key: value for key, value in change.items() if key.startswith("--")}
    images, output = change.get("images", "images"), change.get("output", "out.safetensors")
    extra = [part for pair in flags.items() for part in pair if part]
    if "sheet" in str(output):
        (folder / "ink.png").rename(folder / "ink.sheet.sheet.png")
        (folder / "recipe.yaml").write_text(RECIPE.replace("ink.png", "ink.sheet.sheet.png"))
    done = command(folder, "--images", images, "-o", output, *extra)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "options"),
    [("oil.png, scale: 0.5", {}), ("size: 160", {}), ("", {"seed": 4}), ("", {"hold_out": ["0"]})],
)
def test_checkpoints_of_other_recipes_images_and_seeds_are_refused(
    change: str, options: dict[str, object], recipe: Path
) -> None:
    save_checkpoint(prepare(recipe).training, recipe.parent / "out.ckpt")
    prepare(recipe, resume=True)
    recipe.write_text(RECIPE.replace(change, {"oil": "wax.png, scale: 0.5", "siz": "size: 150", "": ""}[change[:3]]))
    with pytest.raises(GuidedStyleError, match="its recipe, images, base or seed are others"):
        prepare(recipe, resume=True, **options)


def test_large_style_images_are_read_at_the_size_of_their_strokes(recipe: Path) -> None:
    draw_image(1500, 1200, 5).save(recipe.parent / "ink.png")
    recipe.write_text(RECIPE.replace("size: 160", "size: 1400"))
    scene = prepare(recipe).scene
    assert max(scene.style_images["ink"].image.shape) == 1400
    draw_image(200, 100, 5).save(recipe.parent / "ink.png")
    assert any("style ink is enlarged 7.0 times" in note for note in prepare(recipe).notes)


def test_images_are_chosen_evenly() -> None:
    files = [Path(f"{number}.jpg") for number in range(11)]
    assert choose_evenly(files, 20) == files
    assert [file.stem for file in choose_evenly(files, 5)] == ["0", "2", "4", "6", "8"]
