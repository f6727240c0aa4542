"""Distillation: its losses, its checkpoints and its command."""

from __future__ import annotations

import signal
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from support.commands import run
from support.images import draw_tensor
from support.processes import spawn

from guidedstyle.encoders.encoder import ConvEncoder
from guidedstyle.encoders.vgg import IMAGENET, LITE, make_vgg
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.errors import GuidedStyleError
from guidedstyle.training.data import Crops, find_images
from guidedstyle.training.descent import DECAY, load_checkpoint, save_checkpoint, schedule
from guidedstyle.training.distil import LEARNING_RATE, Student, Training, compute_grams, feature_error, gram_error

pytestmark = pytest.mark.slow


def test_gram_error_vanishes_for_the_teachers_differences() -> None:
    truth = draw_tensor(6, 4, 5, 5)
    assert gram_error(truth, truth) == 0
    assert gram_error(2 * truth, truth) > 1
    shifted = truth.clone()
    shifted[2:] = draw_tensor(1, 4, 5, 5)  # the optimised image and its style image have the same error,
    truth[2:] = draw_tensor(2, 4, 5, 5)[:1]  # and the teacher sees no difference between them
    assert gram_error(shifted, truth) == 0
    assert feature_error(torch.zeros_like(truth), truth) == 1


def test_gram_matrices_of_a_batch_are_those_of_each_image() -> None:
    features = draw_tensor(2, 3, 4, 5)
    expected = [sum(one[:, y, x].outer(one[:, y, x]) for y in range(4) for x in range(5)) / 20 for one in features]
    torch.testing.assert_close(compute_grams(features), torch.stack(expected))


def make_teacher() -> ConvEncoder:
    torch.manual_seed(0)
    whole = make_vgg("vgg19", ((64, 64), (128, 128), (256,) * 4))
    return ConvEncoder(whole, IMAGENET).requires_grad_(False)


def start_training(images: Path, steps: int) -> Training:
    """Start to train a student that was not reduced, under a teacher with random weights."""
    teacher, student = make_teacher(), ConvEncoder(LITE, IMAGENET)
    channels = {layer: (teacher.layers[layer].channels, student.layers[layer].channels) for layer in LITE.style_layers}
    heads = {layer: draw_tensor(*shape) for layer, shape in channels.items()}
    crops, cpu = Crops(find_images([images]), seed=0), torch.device("cpu")
    return Training(Student(student, heads), teacher, crops, steps=steps, device=cpu, precision=torch.float32)


def test_resumed_training_ends_like_an_uninterrupted_one(tmp_path: Path, images: Path) -> None:
    whole, interrupted = start_training(images, 4), start_training(images, 4)
    assert [progress.step for progress in whole.run()] == [1, 2, 3, 4]
    assert len(list(islice(interrupted.run(), 2))) == 2
    save_checkpoint(interrupted, tmp_path / "half.ckpt")
    resumed = start_training(images, 4)
    load_checkpoint(resumed, tmp_path / "half.ckpt")
    assert [progress.step for progress in resumed.run()] == [3, 4]
    for key, value in whole.descent.average.state_dict().items():
        torch.testing.assert_close(resumed.descent.average.state_dict()[key], value, rtol=0, atol=0)


def test_each_step_uses_its_learning_rate_and_moves_the_average(images: Path) -> None:
    training, history = start_training(images, 3), list[list[torch.Tensor]]()
    for progress in training.run():
        (group,) = training.descent.optimisers[0].param_groups
        assert group["lr"] == pytest.approx(LEARNING_RATE * schedule(progress.step, 3))
        history.append([value.detach().clone() for value in training.student.parameters()])
    expected = history[0]
    for number, values in enumerate(history[1:], 1):
        decay = min(DECAY, (1 + number) / (10 + number))
        expected = [decay * mean + (1 - decay) * value for mean, value in zip(expected, values, strict=True)]
    torch.testing.assert_close(list(training.descent.average.module.parameters()), expected)


@pytest.mark.parametrize("content", [b"nonsense", None, {"step": 3}])
def test_other_checkpoints_are_refused(content: object, tmp_path: Path, images: Path) -> None:
    file = tmp_path / "other.ckpt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        torch.save(content, file)
    with pytest.raises(GuidedStyleError, match=r"(?s)is not a checkpoint of this training.*start without --resume"):
        load_checkpoint(start_training(images, 2), file)


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    state = {key: value.contiguous() for key, value in make_teacher().state_dict().items()}
    note = {"input": "RGB 0..255 minus the mean", "source": "somebody, CC BY 4.0"}
    save_file(state, tmp_path / "teacher.safetensors", note)
    return tmp_path / "teacher.safetensors"


def test_command_writes_an_encoder_with_a_card(tmp_path: Path, images: Path, teacher: Path) -> None:
    files = ("--images", images, "--teacher", teacher, "--out", tmp_path / "mine.safetensors")
    done = run("train", "distil", *files, "--stills", 8, "--steps", 1, "--hold-out", "2.png", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 images" in done.stdout
    assert load_by_name("lite", tmp_path / "mine.safetensors").metrics.keys() == set(LITE.style_layers)
    with safe_open(tmp_path / "mine.safetensors", "pt") as stored:
        assert "somebody, CC BY 4.0" in stored.metadata()["teacher"]


def test_command_is_interrupted_and_resumed(tmp_path: Path, images: Path, teacher: Path) -> None:
    command = ["train", "distil", "--images", images, "--teacher", teacher, "--out", tmp_path / "mine.safetensors"]
    process = spawn([sys.executable, "-u", "-m", "guidedstyle", *map(str, command), "--stills", "8"], cwd=tmp_path)
    assert process.stdout
    while "features" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    step = int(out.split("Interrupted at step ")[1].split(".")[0])
    done = run(*command, "--resume", "--steps", step + 1, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    with safe_open(tmp_path / "mine.safetensors", "pt") as stored:
        assert stored.metadata()["training"].startswith(f"{step + 1} steps")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--images": "nowhere"}, "nowhere: it is not a folder"),
        ({"--hold-out": "typo"}, "typo: no image has that in its name"),
        ({"--out": "mine.pth"}, "mine.pth is not a .safetensors file"),
        ({"--teacher": "none.pth"}, "none.pth: no network weights can be read"),
        ({"--device": "cuda:99"}, "not a device of this machine"),
        ({"--convention": "mine"}, "'mine' is unknown"),
    ],
)
def test_errors_are_reported_without_a_traceback(
    change: dict[str, str], message: str, tmp_path: Path, images: Path
) -> None:
    options = {"--images": str(images), "--teacher": "teacher.safetensors", "--out": "mine.safetensors"} | change
    done = run("train", "distil", *(word for pair in options.items() for word in pair), folder=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
