"""Recolouring matches the colours of a style image to any target, under any mask, with every method."""

from __future__ import annotations

import numpy as np
import pytest

from guidedstyle.engine.objective.colour import Swatch, match_colours, match_luminance, match_palette, take_swatch

LINEAR = ("symmetric", "pca", "cholesky")
METHODS = (*LINEAR, "histogram")
LUMA = np.array([0.299, 0.587, 0.114])


def draw(seed: int, height: int, width: int) -> np.ndarray:
    """Draw correlated colours with a skewed distribution."""
    noise = np.random.default_rng(seed)
    mix = np.array([[0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [0.2, 0.1, 0.5]]) + seed / 20
    return np.einsum("ij,bjhw->bihw", mix, noise.random((1, 3, height, width)) ** (1 + seed)).astype(np.float32)


def flatten(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return image[0][:, mask > 0].astype(np.float64)


def moments(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return colours.mean(1), np.cov(colours, ddof=0)


@pytest.fixture
def mask() -> np.ndarray:
    half = np.zeros((40, 50), np.float32)
    half[:, :25] = 1
    return half


@pytest.mark.parametrize("method", METHODS)
def test_the_used_part_gets_mean_and_covariance_of_the_target(method: str, mask: np.ndarray) -> None:
    image, target = draw(1, 40, 50), draw(3, 30, 20)
    image[0, :, :, 25:] = 0.9  # outside the mask
    matched = match_colours(image, mask, take_swatch(target, np.ones((30, 20), np.float32)), method)
    mean, covariance = moments(flatten(matched, mask))
    expected_mean, expected = moments(target[0].reshape(3, -1).astype(np.float64))
    tolerance = 2e-4 if method in LINEAR else 6e-3
    np.testing.assert_allclose(mean, expected_mean, atol=tolerance)
    np.testing.assert_allclose(covariance, expected, atol=tolerance)


def test_only_the_pixels_of_the_region_are_the_target() -> None:
    source, region = draw(1, 10, 10), np.zeros((10, 10), np.float32)
    source[0, :, :, :4] = np.array([0.2, 0.5, 0.7]).reshape(3, 1, 1)
    region[:, :4] = 0.5
    matched = match_colours(draw(2, 9, 9), np.ones((9, 9), np.float32), take_swatch(source, region))
    np.testing.assert_allclose(matched.mean((0, 2, 3)), [0.2, 0.5, 0.7], atol=1e-5)
    assert matched.std((2, 3)).max() < 0.01


def test_histogram_matches_the_whole_distribution_and_linear_methods_do_not(mask: np.ndarray) -> None:
    """Every decile of the target's distribution, also along axes other than red, green and blue."""
    image, target = draw(1, 40, 50), draw(3, 60, 40)
    apart = {}
    for method in METHODS:
        matched = match_colours(image, np.ones_like(mask), take_swatch(target, np.ones((60, 40))), method)
        axes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, -0.8, 0], [0.5, 0.5, 0.7]])
        found, expected = (axes @ one[0].reshape(3, -1) for one in (matched, target))
        tenths = np.linspace(0.05, 0.95, 10)
        apart[method] = np.abs(np.quantile(found, tenths, axis=1) - np.quantile(expected, tenths, axis=1)).max()
    assert apart["histogram"] < 0.02
    assert min(apart[method] for method in LINEAR) > 2 * apart["histogram"]


@pytest.mark.parametrize("method", METHODS)
def test_an_image_matched_to_itself_is_unchanged(method: str) -> None:
    image, whole = draw(1, 30, 30), np.ones((30, 30), np.float32)
    tolerance = 1e-4 if method in LINEAR else 0.02
    np.testing.assert_allclose(match_colours(image, whole, take_swatch(image, whole), method), image, atol=tolerance)


def test_symmetric_moves_colours_least() -> None:
    """Its cost is the closed form of optimal transport between Gaussians."""
    image, target, whole = draw(1, 40, 40), draw(2, 40, 40), np.ones((40, 40), np.float32)
    moved = {
        method: float(((match_colours(image, whole, take_swatch(target, whole), method) - image) ** 2).sum(1).mean())
        for method in LINEAR
    }
    (mean, one), (expected_mean, other) = (moments(array[0].reshape(3, -1).astype(float)) for array in (image, target))
    cross = np.sqrt(np.linalg.eigvals(one @ other)).real.sum()
    least = ((mean - expected_mean) ** 2).sum() + np.trace(one) + np.trace(other) - 2 * cross
    assert moved["symmetric"] == pytest.approx(least, rel=0.01)
    assert moved["symmetric"] <= min(moved.values())


def fit_change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Fit the matrix A (3, 3) of x' = A x + b to colours (3, N)."""
    rows = np.vstack([before, np.ones(before.shape[1])]).T
    return np.linalg.lstsq(rows, after.T)[0][:3].T


def root(matrix: np.ndarray) -> np.ndarray:
    """Take the square root of a symmetric matrix by Newton's iteration (Denman and Beavers 1976)."""
    found, inverse = matrix, np.eye(3)
    for _ in range(60):
        found, inverse = (found + np.linalg.inv(inverse)) / 2, (inverse + np.linalg.inv(found)) / 2
    return found


def test_each_linear_method_is_the_map_of_its_name() -> None:
    """Of all A with A S A^T = T one is symmetric, one triangular, one has a symmetric A sqrt(S), all positive."""
    image, target, whole = draw(1, 40, 40), draw(2, 40, 40), np.ones((40, 40), np.float32)
    before, goal = (one[0].reshape(3, -1).astype(np.float64) for one in (image, target))
    expected, change = Swatch(goal, np.ones(1600)), {}
    for method in LINEAR:
        change[method] = fit_change(before, match_colours(image, whole, expected, method)[0].reshape(3, -1))
    change["pca"] = change["pca"] @ root(moments(before)[1])
    np.testing.assert_allclose(np.triu(change["cholesky"], 1), 0, atol=1e-3)
    assert (np.diag(change["cholesky"]) > 0).all()
    for method in ("symmetric", "pca"):
        np.testing.assert_allclose(change[method], change[method].T, atol=1e-3)
        assert (np.linalg.eigvalsh(change[method]) > 0).all()
    assert (match_colours(image, whole, expected) == match_colours(image, whole, expected, "symmetric")).all()


def test_known_answer_of_diagonal_covariances() -> None:
    """Independent channels are scaled by the ratio of their deviations, by every linear method alike."""
    base = np.array([[-1, -1, 1, 1], [-1, 1, -1, 1], [1, -1, -1, 1]]) * 0.1
    image = (0.5 + base * np.array([[1], [2], [0.5]])).reshape(1, 3, 2, 2).astype(np.float32)
    target = 0.4 + base * np.array([[2], [1], [1]])
    for method in LINEAR:
        matched = match_colours(image, np.ones((2, 2), np.float32), Swatch(target, np.ones(4)), method)
        np.testing.assert_allclose(matched[0].reshape(3, 4), target, atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_grey_flat_and_one_pixel_images_stay_finite(method: str) -> None:
    whole = np.ones((8, 8), np.float32)
    grey = np.repeat(draw(1, 8, 8).mean(1, keepdims=True), 3, 1)
    flat, one = np.full((1, 3, 8, 8), 0.4, np.float32), Swatch(np.array([[0.1], [0.2], [0.3]]), np.ones(1))
    for image in (grey, flat, draw(2, 8, 8)):
        for target in (take_swatch(grey, whole), take_swatch(flat, whole), take_swatch(draw(2, 8, 8), whole), one):
            matched = match_colours(image, whole, target, method)
            assert np.isfinite(matched).all()
            assert np.isfinite(match_luminance(image, whole, target)).all()
        np.testing.assert_allclose(matched.mean((0, 2, 3)), [0.1, 0.2, 0.3], atol=2e-3)


def test_a_flat_style_image_takes_the_median_of_the_target() -> None:
    flat, target = np.full((1, 3, 8, 8), 0.4, np.float32), draw(2, 30, 30)
    matched = match_colours(flat, np.ones((8, 8), np.float32), take_swatch(target, np.ones((30, 30))), "histogram")
    assert np.abs(matched.mean((0, 2, 3)) - target.mean((0, 2, 3))).max() < 0.1
    assert matched.std((2, 3)).max() < 1e-5


PALETTE = [(255, 0, 0), (0, 0, 255), (255, 255, 0), (0, 51, 0)]


def test_a_palette_gives_its_mean_and_deviation_and_its_colours() -> None:
    """Colours are nearer to the palette's than after a linear map, but not flat."""
    image, whole, expected = draw(1, 60, 60), np.ones((60, 60), np.float32), np.array(PALETTE).T / 255
    found = match_palette(image, whole, PALETTE)
    linear, flat = (match_colours(image, whole, Swatch(expected, np.ones(4)), m) for m in ("symmetric", "histogram"))
    mean, covariance = moments(found[0].reshape(3, -1).astype(float))
    np.testing.assert_allclose(mean, expected.mean(1), atol=0.01)
    assert np.linalg.norm(covariance - np.cov(expected, ddof=0)) < 0.25 * np.linalg.norm(np.cov(expected, ddof=0))
    apart = [
        np.linalg.norm(p.reshape(3, -1, 1) - expected[:, None], axis=0).min(1).mean() for p in (flat, found, linear)
    ]
    assert 1.3 * apart[0] < apart[1] < 0.85 * apart[2]


def test_a_palette_of_one_colour_gives_that_colour() -> None:
    found = match_palette(draw(1, 20, 20), np.ones((20, 20), np.float32), [(255, 51, 102)])
    np.testing.assert_allclose(found.mean((0, 2, 3)), [1, 0.2, 0.4], atol=1e-4)
    assert found.std((2, 3)).max() < 0.01
    assert found.dtype == np.float32


def weigh_pixels() -> np.ndarray:
    """Weigh the pixels of an image (30, 30) by integers, the bright ones most, so that weights matter."""
    return np.random.default_rng(4).integers(0, 4, (30, 30)).astype(np.float32)


def repeat(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Repeat each pixel by its weight: (3, N)."""
    return np.repeat(image[0].reshape(3, -1), weights.reshape(-1).astype(int), axis=1).astype(np.float64)


def light(target: np.ndarray) -> np.ndarray:
    """Weigh the bright half of an image four times as much as the dark one, and some pixels not at all."""
    return weigh_pixels() * (1 + 3 * (target[0, 0] > np.median(target[0, 0])))


@pytest.mark.parametrize("method", LINEAR)
def test_a_weight_of_2_counts_as_two_pixels(method: str) -> None:
    image, target, weights = draw(1, 30, 30), draw(3, 30, 30), weigh_pixels()
    many = repeat(target, light(target))[None, :, None]
    found = match_colours(image, weights, take_swatch(target, light(target)), method)
    expected = match_colours(image, weights, take_swatch(many, np.ones(many.shape[2:], np.float32)), method)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    mean, covariance = moments(repeat(found, weights))
    for seen, goal in zip((mean, covariance), moments(many[0, :, 0]), strict=True):
        np.testing.assert_allclose(seen, goal, atol=2e-4)


def test_histogram_matches_weighted_distributions_of_red_green_and_blue() -> None:
    """At every twentieth of the weighted distribution, and with the same result in every run."""
    image, target, weights = draw(1, 30, 30), draw(3, 30, 30), weigh_pixels()
    found, again = (match_colours(image, weights, take_swatch(target, light(target)), "histogram") for _ in range(2))
    twentieths = np.linspace(0.025, 0.975, 20)
    seen, expected = (
        np.quantile(one, twentieths, axis=1) for one in (repeat(found, weights), repeat(target, light(target)))
    )
    np.testing.assert_allclose(seen, expected, atol=0.01)
    assert found.dtype == np.float32
    assert (found == again).all()


def test_matched_luminance_is_grey_with_mean_and_deviation_of_the_target(mask: np.ndarray) -> None:
    image, target = draw(1, 40, 50), draw(2, 30, 30)
    matched = match_luminance(image, mask, take_swatch(target, np.ones((30, 30))))
    assert np.ptp(matched, axis=1).max() == 0
    seen, expected = matched[0, 0][mask > 0], LUMA @ target[0].reshape(3, -1)
    assert seen.mean() == pytest.approx(expected.mean(), abs=1e-4)
    assert seen.std() == pytest.approx(expected.std(), rel=1e-3)
    assert matched.dtype == np.float32


def test_matched_luminance_counts_pixels_by_their_weight() -> None:
    image, target, weights = draw(1, 30, 30), draw(3, 30, 30), weigh_pixels()
    matched = match_luminance(image, weights, take_swatch(target, light(target)))
    seen, expected = repeat(matched, weights)[0], LUMA @ repeat(target, light(target))
    assert seen.mean() == pytest.approx(expected.mean(), abs=1e-4)
    assert seen.std() == pytest.approx(expected.std(), rel=1e-3)
