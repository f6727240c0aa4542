"""Fixtures that tests share: a cache, a server of commands, and a folder with a small recipe."""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch is loaded, since tests may run alongside other processes
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.command_server import CommandServer, start_command_server
from support.images import draw_image
from support.processes import end_all

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))

for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):  # a shell ignores them for background jobs
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that would be skipped for want of a program, where GUIDEDSTYLE_TEST_PROGRAMS says it is needed."""
    report = yield
    if report.skipped and "GUIDEDSTYLE_TEST_PROGRAMS" in os.environ and "installed" in str(report.longrepr):
        report.outcome, report.longrepr = "failed", f"GUIDEDSTYLE_TEST_PROGRAMS is set, but: {report.longrepr}"
    return report


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Use a cache of style statistics of our own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUIDEDSTYLE_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _end_processes() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture(scope="module")
def server(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandServer]:
    """Start a process that runs commands one after another, each in a forked child."""
    with start_command_server(tmp_path_factory.mktemp("server") / "scratch") as server:
        yield server


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a folder with a content image (96 x 64), two style images, a mask of its left half and a recipe."""
    draw_image(96, 64, 1).save(tmp_path / "photo.png")
    draw_image(80, 80, 2).save(tmp_path / "ink.png")
    draw_image(90, 60, 3).save(tmp_path / "oil.png")
    half = np.zeros((64, 96), np.uint8)
    half[:, :48] = 255
    Image.fromarray(half).save(tmp_path / "left.png")
    (tmp_path / "recipe.yaml").write_text(
        "content: photo.png\n"
        "styles:\n"
        "  ink: ink.png\n"
        "  oil: {image: oil.png}\n"
        "regions:\n"
        "  - {name: right, mask: rest, style: ink}\n"
        "  - name: left\n"
        "    mask: left.png\n"
        "    style: {oil: 0.75, ink: 0.25}\n"
        "solver: {steps: 4}\n"
    )
    return tmp_path
