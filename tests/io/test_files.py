"""Files are written whole or not at all, and only leftovers of dead processes are deleted."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import TEMPORARY_SUFFIX, atomic_write, delete_leftovers, lock_output, write_file


def test_only_leftovers_of_dead_processes_are_deleted(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    names = [f".a.png.{number}.abc" for number in (process.pid, os.getpid(), 10**30, "mine")]
    dead, *others = (tmp_path / f"{name}{TEMPORARY_SUFFIX}" for name in (*names, f".b.png.{process.pid}.abc", "a.png"))
    for file in (dead, *others):
        file.touch()
    delete_leftovers(tmp_path / "a.png")
    assert {*tmp_path.iterdir()} == {*others}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "a") as temporary:
        temporary.write_bytes(b"ne")
        raise KeyboardInterrupt
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"old")]


@pytest.mark.skipif(sys.platform == "win32", reason="outputs are not locked there")
def test_an_output_is_locked_once_and_the_lock_is_deleted(tmp_path: Path) -> None:
    with lock_output(tmp_path / "a.png"):
        with (
            pytest.raises(GuidedStyleError, match=f"another process writes it: {os.getpid()}"),
            lock_output(tmp_path / "a.png"),
        ):
            pass
        with lock_output(tmp_path / "b.png"):
            pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="outputs are not locked there")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL], ids=errno.errorcode.get)
def test_an_output_on_a_disk_without_locks_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    import fcntl

    def fail(handle: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fail)
    with lock_output(tmp_path / "a.png"):
        write_file(tmp_path / "a.png", b"image")
    assert (tmp_path / "a.png").read_bytes() == b"image"


@pytest.mark.skipif(sys.platform == "win32", reason="outputs are not locked there")
def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, pathlib\nfrom guidedstyle.io.files import lock_output\n"
        "with lock_output(pathlib.Path('a.png')):\n    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == -9
    assert [file.name for file in tmp_path.iterdir()] == [".a.png.lock"]
    with lock_output(tmp_path / "a.png"):
        pass
    assert not list(tmp_path.iterdir())
