"""The doctor reports this machine as it is, and finds each fault a test makes, with a remedy."""

from __future__ import annotations

import json
import os
import platform
import pty
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import guidedstyle
from guidedstyle.app.doctor.devices import examine_device, examine_memory
from guidedstyle.device.precision import choose_precision, find_file, has_bfloat16_instructions, name_precision

pytestmark = pytest.mark.slow

Findings = dict[str, dict[str, object]]


def examine(folder: Path, **environment: object) -> tuple[int, Findings]:
    """Run the doctor in a folder whose modules take precedence over installed ones."""
    command = [sys.executable, "-m", "guidedstyle", "doctor", "--json"]
    named = {key: str(value) for key, value in environment.items()}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, env=os.environ | named)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["can_render"] == (done.returncode == 0)
    return done.returncode, {finding["what"]: finding for finding in report["findings"]}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Examine a machine on which an image has been rendered."""
    choose_precision(torch.device("cpu"))
    code, findings = examine(tmp_path_factory.mktemp("healthy"))
    assert code == 0
    return findings


def test_a_healthy_machine_has_no_problem(healthy: Findings) -> None:
    assert not [finding for finding in healthy.values() if finding["mark"] == "problem" or finding["prevents"]]
    assert healthy["python"]["found"] == platform.python_version()
    for package in ("guidedstyle", "torch", "torchvision", "numpy", "pillow", "opencv-python-headless"):
        assert healthy[package]["found"] == version(package)


def test_the_precision_is_the_one_that_renders_choose(healthy: Findings) -> None:
    chosen, found = name_precision(choose_precision(torch.device("cpu"))), str(healthy["cpu precision"]["found"])
    assert found.startswith(f"{chosen} (")
    assert (f"stored in {find_file()}; " in found) == find_file().exists()
    assert found.endswith("a recipe's key precision overrides it)")


@pytest.mark.skipif(not has_bfloat16_instructions(), reason="nothing is measured on this processor")
def test_a_missing_measurement_is_reported_and_not_made(tmp_path: Path) -> None:
    _, findings = examine(tmp_path, GUIDEDSTYLE_CACHE=tmp_path / "cache")
    found = str(findings["cpu precision"]["found"])
    assert found.startswith("not measured yet; the first render")
    assert found.endswith(str(tmp_path / "cache" / find_file().name))
    assert not list(tmp_path.iterdir())


def test_the_default_device_is_the_one_that_renders_choose(healthy: Findings) -> None:
    default = [what for what, finding in healthy.items() if str(finding["found"]).endswith(", the default")]
    assert default == ["cuda:0" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu"]


def test_free_memory_is_not_more_than_the_machine_has(healthy: Findings) -> None:
    free = float(str(healthy["cpu memory"]["found"]).removesuffix(" GiB free"))
    assert 0 < free < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def limit_spinning(code: str, **environment: str) -> str:
    """Run code in a process of its own and return the three variables at its end."""
    ending = (
        "; import os; print([os.environ.get(name) for name in ('GOMP_SPINCOUNT', 'KMP_BLOCKTIME', 'OMP_WAIT_POLICY')])"
    )
    plain = {
        name: value
        for name, value in os.environ.items()
        if name not in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")
    }
    command = [sys.executable, "-c", code + ending]
    return subprocess.run(command, capture_output=True, text=True, env=plain | environment, check=True).stdout.strip()


def test_waiting_threads_spin_briefly_unless_the_user_says_otherwise_or_torch_is_loaded() -> None:
    assert limit_spinning("import guidedstyle") == "['10000', '1', None]"
    assert limit_spinning("import guidedstyle.cli, torch") == "['10000', '1', None]"
    assert limit_spinning("import guidedstyle", GOMP_SPINCOUNT="5") == "['5', None, None]"
    assert limit_spinning("import guidedstyle", OMP_WAIT_POLICY="PASSIVE") == "[None, None, 'PASSIVE']"
    assert limit_spinning("import torch, guidedstyle") == "[None, None, None]"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how often threads are interrupted")
def test_that_threads_sleep_beside_busy_processes_is_reported() -> None:
    report = "from guidedstyle.app.doctor.packages import examine_threads; print(examine_threads().found)"
    assert limit_spinning(report).startswith("GOMP_SPINCOUNT=10000, KMP_BLOCKTIME=1 (less beside busy processes)")


def test_torch_loaded_before_guidedstyle_is_reported(tmp_path: Path) -> None:
    loaded = "import torch; from guidedstyle.app.doctor.packages import examine_threads"
    loaded += "; print(examine_threads().found, end='; ')"
    assert limit_spinning(loaded).startswith("torch was loaded before guidedstyle: waiting threads spin")
    code, findings = examine(tmp_path, GOMP_SPINCOUNT="7")
    assert (code, findings["threads"]["mark"], findings["threads"]["found"]) == (0, "ok", "GOMP_SPINCOUNT=7")


@pytest.mark.parametrize(("module", "package"), [("torch", "torch"), ("cv2", "opencv-python-headless")])
def test_a_package_that_cannot_be_imported_is_a_problem_and_exits_with_2(
    tmp_path: Path, module: str, package: str
) -> None:
    (tmp_path / f"{module}.py").write_text("raise ImportError('libmissing.so.1: cannot open shared object file')")
    code, findings = examine(tmp_path)
    assert code == 2
    assert findings[package]["mark"] == "problem"
    assert "libmissing.so.1" in str(findings[package]["found"])
    assert f"pip install --force-reinstall {package}" in str(findings[package]["remedy"])


def test_damaged_weights_are_a_problem_and_exit_with_2(tmp_path: Path) -> None:
    shutil.copytree(Path(guidedstyle.__file__).parent, tmp_path / "guidedstyle")
    weights = tmp_path / "guidedstyle" / "encoders" / "lite.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    code, findings = examine(tmp_path)
    assert (code, findings["encoder lite"]["mark"]) == (2, "problem")
    assert findings["encoder lite"]["remedy"]


def test_a_cache_that_cannot_be_written_is_a_problem_that_does_not_prevent_renders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, findings = examine(tmp_path, GUIDEDSTYLE_CACHE=tmp_path / "file" / "cache")
    assert (code, findings["cache"]["mark"]) == (0, "problem")
    assert "GUIDEDSTYLE_CACHE" in str(findings["cache"]["remedy"])


def test_it_writes_and_downloads_nothing(tmp_path: Path) -> None:
    code, findings = examine(tmp_path, GUIDEDSTYLE_CACHE=tmp_path / "cache", TORCH_HOME=tmp_path / "torch")
    assert (code, findings["cache"]["mark"], findings["encoder vgg19"]["mark"]) == (0, "ok", "missing")
    assert not list(tmp_path.iterdir())


def test_downloaded_weights_are_found(tmp_path: Path) -> None:
    file = tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"  # as torchvision names it
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    _, findings = examine(tmp_path, TORCH_HOME=tmp_path)
    assert (findings["encoder vgg19"]["mark"], findings["encoder vgg19"]["found"]) == ("ok", str(file))


def test_missing_extras_are_listed_with_the_command_that_installs_them(tmp_path: Path) -> None:
    about = tmp_path / "guidedstyle-9.9.dist-info" / "METADATA"
    about.parent.mkdir()
    needs = (
        "numpy",
        "pillow>=1; extra == 'drawn'",
        "no-such-thing[a]>=2; extra == 'report'",
        "pytest; extra == 'test'",
        "no-other-thing; extra == 'drawn' and sys_platform == 'abacus'",
    )
    lines = ["Metadata-Version: 2.4", "Name: guidedstyle", "Version: 9.9"]
    lines += [f"Provides-Extra: {extra}" for extra in ("drawn", "report", "test")]
    about.write_text("\n".join([*lines, *(f"Requires-Dist: {need}" for need in needs), ""]))
    _, findings = examine(tmp_path)
    assert findings["extra drawn"]["found"] == f"pillow {version('pillow')}"
    assert findings["extra report"]["mark"] == "missing"
    assert findings["extra report"]["found"] == "pip install no-such-thing"
    assert "extra test" not in findings


@pytest.mark.parametrize(("free", "mark"), [(100 * 2**20, "problem"), (64 * 2**30, "ok")])
def test_too_little_memory_prevents_renders_on_the_default_device(free: int, mark: str) -> None:
    for default in (True, False):
        finding = examine_memory(torch.device("cpu"), free, default)
        assert (finding.mark, finding.prevents) == (mark, mark == "problem" and default)
        assert bool(finding.remedy) == (mark == "problem")


@pytest.mark.skipif(torch.cuda.is_available(), reason="it needs a machine without a GPU")
def test_a_device_that_cannot_compute_is_a_problem_with_a_remedy() -> None:
    (finding,) = examine_device(torch.device("cuda", 1))
    assert (finding.mark, finding.what) == ("problem", "cuda:1")
    assert "--device cpu" in finding.remedy
    assert not finding.prevents  # it is not the default


def test_without_colour_every_line_starts_with_its_mark_or_is_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = os.environ | {"GUIDEDSTYLE_CACHE": str(tmp_path / "file" / "cache")}
    command = [sys.executable, "-m", "guidedstyle", "doctor"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, env=environment)
    lines = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert {line.split(" ")[0] for line in lines} == {"ok", "missing", "problem", ""}
    (remedy,) = (index for index, line in enumerate(lines) if line.startswith("    "))
    assert lines[remedy - 1].startswith("problem  cache")
    assert [line for line in lines if line.startswith("ok       progress") and line.endswith("not a terminal")]


def test_on_a_terminal_progress_is_a_bar(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "guidedstyle", "doctor", "--json"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, timeout=100)
    os.close(theirs)
    os.close(ours)
    (shown,) = (one["found"] for one in json.loads(done.stdout)["findings"] if one["what"] == "progress")
    assert shown == "a bar"
