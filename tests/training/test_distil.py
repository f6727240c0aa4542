"""What the embedded encoder is made with: least squares, the pool, and a training that can be taken up again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from support.pictures import draw_picture
from torch import Tensor, nn

from guidedstyle.encoders.architecture import LITE, Architecture
from guidedstyle.encoders.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder
from guidedstyle.encoders.weights import load_lite
from guidedstyle.training.data import CROP, Crops, find_images
from guidedstyle.training.distil import (
    Pupil,
    Training,
    compute_grams,
    feature_error,
    gram_error,
    save_checkpoint,
    schedule,
)
from guidedstyle.training.pool import Pool
from guidedstyle.training.reduction import (
    choose_channels,
    fill,
    find_subspace,
    predict_linearly,
    reduce,
    reduce_to_metric,
)

pytestmark = pytest.mark.slow


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(3):
        draw_picture(160, 120, seed).save(folder / f"{seed}.png")
    return folder


def test_the_metric_measures_gram_distances_as_the_head_does() -> None:
    head, grams = draw(20, 6), draw(5, 6, 6)
    metric = reduce_to_metric(head)
    torch.testing.assert_close(metric, metric.T)
    through_head = (head @ (grams + grams.mT) @ head.T).norm(dim=(1, 2))
    through_metric = (metric @ (grams + grams.mT) @ metric.T).norm(dim=(1, 2))
    torch.testing.assert_close(through_metric / through_metric[0], through_head / through_head[0])


def test_least_squares_finds_the_map_there_is() -> None:
    known, wanted = draw(4, 500), draw(7, 4)
    torch.testing.assert_close(predict_linearly(known, wanted @ known), wanted, rtol=0, atol=1e-3)


def test_chosen_channels_explain_the_others() -> None:
    """Of twelve channels that are mixtures of three, any right choice of three predicts all."""
    rows = draw(12, 3) @ draw(3, 400)
    chosen = choose_channels(rows, 3)
    assert len(set(chosen)) == 3
    residual = predict_linearly(rows[chosen], rows) @ rows[chosen] - rows
    assert residual.square().mean() < 1e-2 * rows.square().mean()


def test_the_strongest_channel_is_chosen_first() -> None:
    rows = torch.eye(4).repeat(1, 10) * torch.tensor([1.0, 5.0, 2.0, 3.0])[:, None]
    assert choose_channels(rows, 4) == [1, 3, 2, 0]


def test_a_subspace_holds_responses_that_lie_in_it() -> None:
    responses = draw(300, 3) @ draw(3, 8) + draw(8)
    basis, left = find_subspace(responses, 3)
    torch.testing.assert_close(responses @ basis @ basis.T + left, responses, rtol=0, atol=1e-4)


def test_a_convolution_of_limited_rank_computes_what_the_full_one_would() -> None:
    """Where the filters have that rank, factoring them changes nothing."""
    filters, bias, image = draw(8, 2) @ draw(2, 5 * 9), draw(8), draw(1, 5, 12, 12)
    patches = nn.functional.unfold(image, 3, padding=1)[0].T
    factored = nn.Sequential(nn.Conv2d(5, 2, 3, padding=1, bias=False), nn.Conv2d(2, 8, 1))
    fill(factored, filters, bias, patches)
    wanted = nn.functional.conv2d(image, filters.view(8, 5, 3, 3), bias, padding=1)
    torch.testing.assert_close(factored(image), wanted, rtol=0, atol=1e-3)


def test_a_student_of_the_teachers_shape_becomes_the_teacher() -> None:
    shape = Architecture("small", ((6, 6), (8,)), style_layers=("relu1_1", "relu2_1"))
    teacher, student = (Encoder(shape, IMAGENET_MEAN, IMAGENET_STD).requires_grad_(False) for _ in range(2))
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    heads = reduce(student, teacher, images, seed=0)
    for layer, wanted in teacher.encode(images, shape.style_layers).items():
        found = torch.einsum("dc,bchw->bdhw", heads[layer], student.encode(images, [layer])[layer])
        assert (found - wanted).square().sum() < 1e-3 * wanted.square().sum()


def test_the_gram_error_is_zero_only_for_the_teachers_differences() -> None:
    truth = draw(6, 4, 5, 5)
    assert gram_error(truth, truth) == 0
    assert gram_error(2 * truth, truth) > 1
    tilted = truth.clone()
    tilted[2:] = draw(1, 4, 5, 5)  # painted and style are both wrong in the same way, and the teacher's agree
    truth[2:] = draw(2, 4, 5, 5)[:1]
    assert gram_error(tilted, truth) == 0
    assert feature_error(torch.zeros_like(truth), truth) == 1


def test_gram_matrices_of_a_batch_are_those_of_each() -> None:
    features = draw(2, 3, 4, 5)
    wanted = [sum(one[:, y, x].outer(one[:, y, x]) for y in range(4) for x in range(5)) / 20 for one in features]
    torch.testing.assert_close(compute_grams(features), torch.stack(wanted))


def test_the_rate_rises_and_falls() -> None:
    rates = [schedule(step, 1000) for step in range(1000)]
    assert rates.index(max(rates)) == 199
    assert rates[0] < 0.01
    assert rates[-1] < 0.01


def test_the_pool_goes_downhill_and_renews_itself(pictures: Path) -> None:
    pool = Pool(Crops(find_images([pictures], []), seed=0), 4)

    def measure(images: Tensor) -> Tensor:
        return (images.mean((2, 3)) - pool.styles.mean((2, 3))).square().sum(1)

    pool.life[:] = torch.tensor([100, 100, 100, 15])
    styles, before = pool.styles.clone(), measure(pool.images)
    for _ in range(15):
        pool.advance(measure)
    assert (measure(pool.images)[:3] < before[:3]).all()
    assert torch.equal(styles[:3], pool.styles[:3])
    assert not torch.equal(styles[3], pool.styles[3])
    assert pool.images.min() >= 0
    assert pool.images.max() <= 1


def test_held_out_pictures_are_not_looked_at(pictures: Path) -> None:
    assert [file.name for file in find_images([pictures], ["1"])] == ["0.png", "2.png"]


def test_crops_are_the_same_for_the_same_seed(pictures: Path) -> None:
    files = find_images([pictures], [])
    one, again, other = (Crops(files, seed).cut(5) for seed in (0, 0, 1))
    assert one.shape == (5, 3, CROP, CROP)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def make_teacher() -> Encoder:
    torch.manual_seed(0)
    whole = Architecture("vgg19", ((64, 64), (128, 128), (256,) * 4))
    return Encoder(whole, IMAGENET_MEAN, IMAGENET_STD).requires_grad_(False)


def begin_training(pictures: Path, steps: int) -> Training:
    """Begin to train a student that was not reduced, under a teacher with random weights."""
    teacher, student = make_teacher(), Encoder(LITE, IMAGENET_MEAN, IMAGENET_STD)
    heads = {layer: draw(teacher.layers[layer].channels, student.layers[layer].channels) for layer in LITE.style_layers}
    crops = Crops(find_images([pictures], []), seed=0)
    return Training(Pupil(student, heads), teacher, crops, steps, torch.device("cpu"), torch.float32)


def test_a_training_taken_up_again_ends_where_an_unbroken_one_does(tmp_path: Path, pictures: Path) -> None:
    whole, broken = begin_training(pictures, 4), begin_training(pictures, 4)
    assert [progress.step for progress in whole.run()] == [1, 2, 3, 4]
    next(steps := broken.run())
    next(steps)
    save_checkpoint(broken, tmp_path / "half.ckpt")
    again = begin_training(pictures, 4)
    again.load_state_dict(torch.load(tmp_path / "half.ckpt", weights_only=False))
    assert [progress.step for progress in again.run()] == [3, 4]
    for key, value in whole.average.state_dict().items():
        torch.testing.assert_close(again.average.state_dict()[key], value, rtol=0, atol=0)


def test_the_command_writes_an_encoder_with_a_card(tmp_path: Path, pictures: Path) -> None:
    state = {key: value.contiguous() for key, value in make_teacher().state_dict().items()}
    save_file(
        state, tmp_path / "teacher.safetensors", {"input": "RGB 0..255 minus the mean", "source": "somebody, CC BY 4.0"}
    )
    where = [
        "--images",
        pictures,
        "--teacher",
        tmp_path / "teacher.safetensors",
        "--out",
        tmp_path / "mine.safetensors",
    ]
    command = [
        sys.executable,
        "-m",
        "guidedstyle.cli.train",
        *where,
        "--stills",
        "8",
        "--steps",
        "1",
        "--hold-out",
        "2.png",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 images" in done.stdout
    assert load_lite(tmp_path / "mine.safetensors").metrics.keys() == set(LITE.style_layers)
    with safe_open(tmp_path / "mine.safetensors", "pt") as stored:
        assert "somebody, CC BY 4.0" in stored.metadata()["teacher"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"--images": "nowhere"}, "nowhere: it is no folder"),
        ({"--hold-out": "typo"}, "typo: no image has that in its name"),
        ({"--out": "mine.pth"}, "mine.pth is no .safetensors file"),
        ({"--teacher": "none.pth"}, "none.pth: no network weights can be read"),
        ({"--device": "cuda:99"}, "no device that can be used here"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    change: dict[str, str], told: str, tmp_path: Path, pictures: Path
) -> None:
    asked = {"--images": str(pictures), "--teacher": "teacher.safetensors", "--out": "mine.safetensors"} | change
    command = [sys.executable, "-m", "guidedstyle.cli.train", *(word for pair in asked.items() for word in pair)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
