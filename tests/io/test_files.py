"""Files are written whole or not at all, and only leftovers of dead processes are deleted."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import (
    TEMPORARY_SUFFIX,
    atomic_write,
    check_writable,
    delete_leftovers,
    lock_output,
    move_file,
    write_file,
)


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


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod", "unlink", "utime"])
@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL], ids=errno.errorcode.get)
def test_a_file_is_written_where_a_share_refuses_what_is_only_safer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise OSError(code, os.strerror(code))

    write_file(tmp_path / "a.png", b"old")
    monkeypatch.setattr(os, call, fail)
    check_writable(tmp_path)
    write_file(tmp_path / "a.png", b"new")
    move_file(tmp_path / "a.png", tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == b"new"


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS], ids=errno.errorcode.get)
def test_a_file_that_did_not_reach_the_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise OSError(code, os.strerror(code))

    write_file(tmp_path / "a.png", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(GuidedStyleError, match=f"it cannot be written: {os.strerror(code)}"):
            write_file(tmp_path / "a.png", b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.png", b"old")]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_a_new_file_has_the_permissions_that_the_user_gives_new_files(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    write_file(tmp_path / "a.png", b"image")
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.skipif(sys.platform == "win32", reason="outputs are not locked there")
def test_a_share_without_lasting_file_numbers_has_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "samestat", lambda one, other: False)
    with lock_output(tmp_path / "a.png"):
        write_file(tmp_path / "a.png", b"image")
    assert (tmp_path / "a.png").read_bytes() == b"image"
