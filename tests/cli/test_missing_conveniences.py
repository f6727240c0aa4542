"""What is only nice to have may be missing: a home folder, a cache, chmod, fsync, locks, renames, threads, /tmp."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.renders import RENDER, check_image, end, list_temporary, start

import guidedstyle
from guidedstyle.app.render import save
from guidedstyle.errors import RenderFailedError
from guidedstyle.io.paths import CACHE_VARIABLE, NO_CACHE, find_cache
from guidedstyle.run.reporter import SilentReporter

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the shim is for Linux")
NICE = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.EACCES)
LOST = (errno.ENOSPC, errno.EIO, errno.EDQUOT)

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
static int refused(const char *name) {
    const char *calls = getenv("REFUSED");
    if (!calls || !strstr(calls, name)) return 0;
    errno = atoi(getenv("REFUSED_CODE"));
    return 1;
}
#define SHIM(name, parameters, arguments) \\
    int name parameters { \\
        if (refused("," #name ",")) return -1; \\
        return ((int (*) parameters) dlsym(RTLD_NEXT, #name)) arguments; \\
    }
SHIM(chmod, (const char *file, mode_t mode), (file, mode))
SHIM(fchmod, (int file, mode_t mode), (file, mode))
SHIM(fchmodat, (int folder, const char *file, mode_t mode, int flags), (folder, file, mode, flags))
SHIM(fsync, (int file), (file))
SHIM(flock, (int file, int how), (file, how))
SHIM(rename, (const char *from, const char *to), (from, to))
SHIM(unlink, (const char *file), (file))
SHIM(utimensat, (int folder, const char *file, const struct timespec *times, int flags), (folder, file, times, flags))
SHIM(socketpair, (int domain, int type, int protocol, int *pair), (domain, type, protocol, pair))
SHIM(inotify_init1, (int flags), (flags))
"""
CALLS = ("chmod", "fchmod", "fchmodat", "fsync", "flock", "rename", "unlink", "utimensat", "socketpair",
         "inotify_init1")  # fmt: skip


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile a library that makes calls of the system fail: a share that cannot do what a disk can."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("there is no C compiler; tests/io/test_files.py makes the same functions of Python fail")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c", "-ldl"], check=True)
    return folder / "shim.so"


WRITE = """
import json, os, pathlib
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import check_writable, lock_output, write_file
found, file = {}, pathlib.Path("a.png")
for call, code in json.loads(os.environ["CASES"]):
    os.environ["REFUSED"] = ""
    write_file(file, b"old")
    os.environ["REFUSED_CODE"], os.environ["REFUSED"] = str(code), f",{call},"
    try:
        check_writable(pathlib.Path("."))
        with lock_output(file):
            write_file(file, b"new")
        said = "written"
    except GuidedStyleError as error:
        said = error.problems[0].rule
    os.environ["REFUSED"] = ""
    found[f"{call} {code}"] = said, file.read_bytes().decode()
print(json.dumps(found))
"""


def write_while_refused(shim: Path, folder: Path, cases: list[tuple[str, int]]) -> dict[str, tuple[str, str]]:
    environment = os.environ | {"LD_PRELOAD": str(shim), "CASES": json.dumps(cases)}
    done = subprocess.run(
        [sys.executable, "-c", WRITE], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return {case: (said, content) for case, (said, content) in json.loads(done.stdout).items()}


@LINUX
def test_a_file_is_written_whatever_else_a_share_refuses(shim: Path, tmp_path: Path) -> None:
    calls = ("chmod", "fchmod", "fchmodat", "fsync", "flock", "rename", "unlink", "utimensat")
    cases = [(call, code) for call in calls for code in NICE]
    cases += [("rename", errno.EXDEV), ("rename", errno.EBUSY), ("rename", errno.EEXIST), ("flock", errno.ENOLCK)]
    found = write_while_refused(shim, tmp_path, cases)
    assert set(found.values()) == {("written", "new")}, found
    assert len(found) == len(cases)


@LINUX
def test_a_file_that_did_not_reach_the_disk_is_told_and_the_old_one_stays(shim: Path, tmp_path: Path) -> None:
    cases = [(call, code) for call in ("fsync", "rename") for code in LOST]
    found = write_while_refused(shim, tmp_path, cases)
    expected = {f"{call} {code}": (f"it cannot be written: {os.strerror(code)}", "old") for call, code in cases}
    assert found == expected
    assert not list_temporary(tmp_path)


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS])
def test_a_share_that_refuses_everything_at_once_gets_the_same_image(
    shim: Path, project: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    assert end(start(project, *RENDER, "-q", "-o", "normal.png")) == (0, "")
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    monkeypatch.setenv("REFUSED", f",{','.join(CALLS)},")
    monkeypatch.setenv("REFUSED_CODE", str(code))
    exit_code, said = end(start(project, *RENDER, "--preview-every", "1", "--checkpoint-every", "1"))
    assert exit_code == 0, said
    assert "recipe.preview.png is not needed any more and cannot be deleted" in said
    check_image(project / "recipe.png")
    assert np.array_equal(
        np.asarray(Image.open(project / "recipe.png")), np.asarray(Image.open(project / "normal.png"))
    )


HOMELESS = f"""
import os, pwd
def refuse(number):
    raise KeyError(number)
pwd.getpwuid = pwd.getpwnam = refuse
for name in ("HOME", "XDG_CACHE_HOME", "TORCH_HOME", "USER", "LOGNAME", "{CACHE_VARIABLE}"):
    os.environ.pop(name, None)
"""


@pytest.mark.skipif(os.name != "posix", reason="only there is HOME")
def test_without_a_home_folder_nothing_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def refuse(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", refuse)
    for name in ("HOME", "XDG_CACHE_HOME", CACHE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    assert find_cache() == NO_CACHE
    monkeypatch.setenv("HOME", "relative")
    assert find_cache() == NO_CACHE
    monkeypatch.setenv("HOME", "/home/someone")
    assert find_cache().is_relative_to("/home/someone")
    with pytest.raises(OSError):
        NO_CACHE.mkdir(parents=True, exist_ok=True)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="only there is HOME")
@pytest.mark.parametrize(
    ("arguments", "expected", "code"),
    [
        (RENDER, "recipe.png", 0),
        (("doctor",), "there is no home folder: every render measures its style images again", 0),
        ((*RENDER, "--set", "precision=auto", "--report", "r.html"), "recipe.png", 0),
        (("--install-completion", "bash"), "HOME: there is no home folder\n    hint: set HOME", 2),
    ],
)
def test_commands_run_without_a_home_folder(
    project: Path, arguments: tuple[str, ...], expected: str, code: int
) -> None:
    found, said = end(start(project, *arguments, fault=HOMELESS))
    assert (found, expected in said) == (code, True), said


@LINUX
@pytest.mark.slow
def test_a_user_that_the_system_does_not_know_can_render(project: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root can become a user that does not exist")
    project.chmod(0o777)
    files = "+dac_read_search,+dac_override"  # so that it can read Python, wherever that is
    user = [
        "setpriv",
        "--reuid",
        "4242",
        "--clear-groups",
        f"--inh-caps={files}",
        f"--ambient-caps={files}",
        "env",
        "-i",
    ]
    path = [f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}", "OMP_NUM_THREADS=1"]
    code = "import guidedstyle; print(guidedstyle.render('recipe.yaml', device='cpu').rendering.steps)"
    for call, expected in ((["-m", "guidedstyle", *RENDER], "recipe.png"), (["-c", code], "4")):
        done = subprocess.run([*user, *path, sys.executable, *call], cwd=project, capture_output=True, text=True)
        assert (done.returncode, expected in done.stdout) == (0, True), done.stderr
    check_image(project / "recipe.png")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the variables are those of POSIX")
@pytest.mark.parametrize(
    "variables",
    [
        {"HOME": "/nonexistent", CACHE_VARIABLE: ""},
        {"HOME": "/proc", CACHE_VARIABLE: ""},
        {CACHE_VARIABLE: "photo.png"},
        {CACHE_VARIABLE: "/dev/full"},
        {"LC_ALL": "C", "TERM": "dumb", "COLUMNS": "0", "LINES": "x"},
        {"LC_ALL": "xx_YY.none", "TERM": "", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda variables: "-".join(variables.values()),
)
def test_odd_variables_do_not_stop_a_render(
    project: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code, said = end(start(project, *RENDER))
    assert code == 0, said
    check_image(project / "recipe.png")


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))",
        "import os; os.environ['TMPDIR'] = '/nonexistent'",
        "import tempfile\ndef fail():\n    raise FileNotFoundError\ntempfile.gettempdir = fail",
        'import threading\ndef fail(thread):\n    raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = fail",
        "import os\ndef fail(*a):\n    raise PermissionError(1, 'no')\nos.sched_getaffinity = os.cpu_count = fail",
    ],
    ids=["few files", "no TMPDIR", "no /tmp", "no threads", "no processors"],
)
def test_a_poor_machine_can_render(project: Path, fault: str) -> None:
    code, said = end(start(project, *RENDER, "--timelapse", "a.mp4", fault=fault))
    assert code == 0, said
    check_image(project / "recipe.png")
    assert (project / "a.mp4").stat().st_size > 1000


def test_an_image_is_kept_where_it_can_be(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder has become a file, and there is no folder for temporary files."""
    recipe = guidedstyle.load_recipe(project / "recipe.yaml", {"size": 32, "solver.steps": 1, "output": "out/a.png"})
    result = guidedstyle.render(recipe, device="cpu")
    (project / "out").write_text("a file")
    monkeypatch.chdir(project)

    def fail() -> str:
        raise FileNotFoundError(errno.ENOENT, "no usable temporary directory")

    monkeypatch.setattr("tempfile.gettempdir", fail)
    with pytest.raises(RenderFailedError, match=r"is not written, but kept as .*guidedstyle-"):
        save(result, SilentReporter())
    (kept,) = project.glob("guidedstyle-*/a.png")
    check_image(kept, (21, 32, 3))
