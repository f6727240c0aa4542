"""The calling program's modes of torch, NumPy, OpenCV and Pillow neither change a render nor are changed by it."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

import guidedstyle
from guidedstyle.engine.progress import Update
from guidedstyle.errors import GuidedStyleError, Problem, RenderFailedError

SETTINGS = {"size": 48, "solver.steps": 2, "solver.tolerance": 0, "precision": "float32"}
RENDER = f"guidedstyle.render(guidedstyle.load_recipe('recipe.yaml', {SETTINGS}), device='cpu')"


@pytest.fixture
def new_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no render find what another one has computed."""
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photo(project: Path, new_cache: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def render(on_update: Callable[[Update], bool] | None = None) -> str:
    """Render the recipe in the working folder, and return the hash of the image before it is rounded."""
    recipe = guidedstyle.load_recipe("recipe.yaml", SETTINGS)
    return hash_image(guidedstyle.render(recipe, on_update, device="cpu").rendering.image)


def hash_image(image: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keep the hash of the image that a new process renders; all projects are the same."""
    return {}


def find_expected(expected: dict[str, str], folder: Path) -> str:
    """Render in a new process, once."""
    if not expected:
        threads = f"import torch; torch.set_num_threads({torch.get_num_threads()})"
        code = f"{threads}; import guidedstyle, hashlib; image = {RENDER}.rendering.image"
        code += "; print(hashlib.sha256(image.tobytes()).hexdigest())"
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
        expected["image"] = done.stdout.strip()
    return expected["image"]


@contextmanager
def setting(write: Callable[[Any], object], value: object, before: object) -> Iterator[None]:
    write(value)
    try:
        yield
    finally:
        write(before)


def setting_attribute(owner: object, name: str, value: object) -> AbstractContextManager[None]:
    return setting(lambda given: setattr(owner, name, given), value, getattr(owner, name))


class RefusingFunctions(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), more: Any = None) -> Any:
        if function is torch.device:  # which `read_modes` needs
            return function(*arguments)
        raise AssertionError(f"{function} is called in the caller's mode")


class RefusingOperators(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), more: Any = None) -> Any:
        raise AssertionError(f"{function} is called in the caller's mode")


@contextmanager
def refusing_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "gradients off": lambda: torch.set_grad_enabled(False),
    "float64": lambda: setting(torch.set_default_dtype, torch.float64, torch.float32),
    "float16": lambda: setting(torch.set_default_dtype, torch.float16, torch.float32),
    "bfloat16": lambda: setting(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "meta": lambda: torch.device("meta"),
    "default meta": lambda: setting(torch.set_default_device, "meta", None),
    "default cpu:0": lambda: setting(torch.set_default_device, "cpu:0", None),
    "autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "deterministic": lambda: setting(torch.use_deterministic_algorithms, True, False),
    "medium precision": lambda: setting(torch.set_float32_matmul_precision, "medium", "highest"),
    "no oneDNN": lambda: setting(torch._C._set_mkldnn_enabled, False, True),
    "no NNPACK": lambda: torch.backends.nnpack.flags(enabled=False),
    "denormals": lambda: setting(torch.set_flush_denormal, True, False),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "functions": RefusingFunctions,
    "operators": RefusingOperators,
    "fake tensors": FakeTensorMode,
    "saved on the CPU": torch.autograd.graph.save_on_cpu,
    "NumPy raises": lambda: np.errstate(all="raise"),
    "no OpenCV kernels": lambda: setting(cv2.setUseOptimized, False, True),
    "small images": lambda: setting_attribute(Image, "MAX_IMAGE_PIXELS", 10),
    "truncated images": lambda: setting_attribute(ImageFile, "LOAD_TRUNCATED_IMAGES", True),
    "large blocks": lambda: setting_attribute(ImageFile, "MAXBLOCK", 2**24),
    "warnings": refusing_warnings,
}


def read_modes() -> dict[str, object]:
    """Read everything that a program could have set, in the modes that it has set."""
    return {
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "default": (torch.get_default_dtype(), torch.get_default_device()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "precision": torch.get_float32_matmul_precision(),
        "backends": (torch._C._get_mkldnn_enabled(), torch._C._get_nnpack_enabled(), torch.get_num_threads()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomalies": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "denormals": sys.float_info.min / 2,
        "stacks": (torch._C._len_torch_function_stack(), _get_current_dispatch_mode_stack()),
        "NumPy": np.geterr(),
        "OpenCV": (cv2.useOptimized(), cv2.getNumThreads()),
        "Pillow": (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, ImageFile.MAXBLOCK),
        "process": (Path.cwd(), dict(os.environ), [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]),
        "warnings": list(warnings.filters),
    }


def read_generators() -> tuple[object, ...]:
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()


@pytest.mark.parametrize("mode", MODES)
def test_an_image_does_not_depend_on_modes_and_does_not_change_them(
    photo: Path, expected: dict[str, str], mode: str
) -> None:
    image, generators = find_expected(expected, photo), read_generators()
    with MODES[mode]():
        before = read_modes()
        rendered = render()
        assert read_modes() == before
    assert rendered == image
    assert read_generators() == generators


NEW_PRECISIONS = pytest.mark.skipif(
    not hasattr(torch._C, "_get_fp32_precision_getter"), reason="this torch has one precision for all libraries"
)


@NEW_PRECISIONS
@pytest.mark.parametrize("library", ["backends", "backends.mkldnn", "backends.mkldnn.conv", "backends.mkldnn.matmul"])
def test_the_precision_of_a_library_does_not_count(photo: Path, expected: dict[str, str], library: str) -> None:
    owner: Any = torch
    for name in library.split("."):
        owner = getattr(owner, name)
    image = find_expected(expected, photo)
    with setting_attribute(owner, "fp32_precision", "bf16"):
        assert render() == image
        assert owner.fp32_precision == "bf16"


@pytest.mark.parametrize("mode", ["no_grad", "float64", "meta", "functions", "operators", "NumPy raises"])
def test_a_callback_is_called_in_the_modes_of_the_caller_and_can_draw(photo: Path, mode: str) -> None:
    seen = list[tuple[dict[str, object], np.ndarray, object]]()

    def note(update: Update) -> bool:
        seen.append((read_modes(), update.preview(24), update.snapshot()))
        return True

    with MODES[mode]():
        found = read_modes()
        render(note)
    assert [modes == found for modes, _, _ in seen] == [True] * 2
    assert all(drawn.shape == (1, 3, 16, 24) and drawn.dtype == np.float32 for _, drawn, _ in seen)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, guidedstyle.StoppedEarlyError])
def test_modes_are_as_they_were_after_an_error(photo: Path, error: type[BaseException]) -> None:
    def fail(update: Update) -> bool:
        raise error

    with torch.no_grad(), setting(torch.set_default_dtype, torch.float64, torch.float32), np.errstate(all="raise"):
        before = read_modes()
        with pytest.raises(error):
            render(fail)
        assert read_modes() == before


def test_modes_may_be_changed_by_a_callback(photo: Path, expected: dict[str, str]) -> None:
    def change(update: Update) -> bool:
        torch.set_default_dtype(torch.float64)
        return True

    try:
        assert render(change) == find_expected(expected, photo)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_threads_that_render_side_by_side_do_not_change_modes_for_each_other(
    photo: Path, expected: dict[str, str]
) -> None:
    images, image = list[str](), find_expected(expected, photo)
    threads = [threading.Thread(target=lambda: images.append(render())) for _ in range(3)]
    with setting(torch.set_default_dtype, torch.float64, torch.float32):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert torch.get_default_dtype() == torch.float64
    assert images == [image] * 3


@pytest.mark.parametrize("transform", [torch.vmap, torch.func.grad])
def test_a_function_transform_does_not_count(photo: Path, expected: dict[str, str], transform: Any) -> None:
    images = list[str]()

    def function(x: torch.Tensor) -> torch.Tensor:
        images.append(render())
        return (x * x).sum()

    transform(function)(torch.ones(3))
    assert images == [find_expected(expected, photo)]


@pytest.mark.slow
def test_a_compiled_function_can_render(photo: Path, expected: dict[str, str]) -> None:
    code = f"""
import hashlib, guidedstyle, torch
torch.set_num_threads({torch.get_num_threads()})
def function(x):
    image = {RENDER}.rendering.image
    print(hashlib.sha256(image.tobytes()).hexdigest())
    return x + 1
torch.compile(function, backend="eager")(torch.ones(3))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=photo, capture_output=True, text=True)
    assert done.stdout.split() == [find_expected(expected, photo)], done.stderr


def test_a_check_does_not_depend_on_modes(photo: Path) -> None:
    shares = guidedstyle.check("recipe.yaml").shares
    for mode in ("no_grad", "meta", "functions", "NumPy raises", "small images", "warnings"):
        with MODES[mode]():
            assert guidedstyle.check("recipe.yaml").shares == shares


def test_half_an_image_is_an_error_also_where_the_caller_reads_such(photo: Path) -> None:
    whole = (photo / "photo.png").read_bytes()
    (photo / "photo.png").write_bytes(whole[: len(whole) // 2])
    with MODES["truncated images"](), pytest.raises(GuidedStyleError, match="damaged"):
        guidedstyle.check("recipe.yaml")


FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="only there processes fork")
FORKS = f"""
import sys, torch, guidedstyle, multiprocessing as processes
from concurrent.futures import ProcessPoolExecutor
torch.set_num_threads(2)
def render():
    return {RENDER}.rendering.steps
def attempt(how):
    with ProcessPoolExecutor(1, processes.get_context(how)) as pool:
        return pool.submit(render).result(timeout=60)
if __name__ == "__main__":
    print(attempt("fork"), flush=True)
    print(render(), flush=True)
    try:
        attempt("fork")
    except guidedstyle.GuidedStyleError as error:
        (problem,) = error.problems
        print(problem.remedy, flush=True)
    print(attempt("spawn"), flush=True)
"""


@FORK
@pytest.mark.slow
def test_a_fork_renders_before_but_not_after_a_render_and_the_error_reaches_the_parent(photo: Path) -> None:
    (photo / "forks.py").write_text(FORKS)
    done = subprocess.run([sys.executable, "forks.py"], cwd=photo, capture_output=True, text=True, timeout=200)
    assert done.stdout.splitlines() == ["2", "2", 'start processes with multiprocessing.get_context("spawn")', "2"], (
        done.stderr
    )


@FORK
def test_a_fork_after_a_render_is_told_to_use_spawn(photo: Path) -> None:
    render()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about threads
        child = os.fork()
    if not child:
        try:
            render()
        except GuidedStyleError as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert 'multiprocessing.get_context("spawn")' in answer.read()
    os.waitpid(child, 0)


@pytest.mark.parametrize("kind", [GuidedStyleError, RenderFailedError])
def test_errors_can_be_sent_between_processes(kind: type[GuidedStyleError]) -> None:
    error = kind([Problem("a", "b", "c"), Problem("d", "e", "f")])
    sent = pickle.loads(pickle.dumps(error))
    assert (type(sent), sent.problems, str(sent)) == (kind, error.problems, str(error))
