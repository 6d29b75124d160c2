"""The shim alone: what was synced stays, what was not is lost, and a lying disk loses what was acknowledged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("shim") / "synctrack.so"
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", path, HERE / "synctrack.c", "-ldl"]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def cut(library, tmp_path):
    """Runs a piece of Python in the root under the shim, kills it with -9 at its end, cuts back; gives the files."""
    root = tmp_path / "root"
    root.mkdir()

    def run(program, lie=False, expect=0):
        journal = tmp_path / "journal"
        script = f"import os, signal\nos.chdir({str(root)!r})\n{PRELUDE}{program}\nos.kill(os.getpid(), signal.SIGKILL)\n"
        environment = {**os.environ, "LD_PRELOAD": str(library), "SYNCTRACK_ROOT": str(root), "SYNCTRACK_LOG": str(journal)}
        if lie:
            environment["SYNCTRACK_LIE"] = "1"
        ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert ended.returncode == -9, ended.stderr
        cutback = subprocess.run([sys.executable, HERE / "cutback.py", root, journal], capture_output=True, text=True)
        assert cutback.returncode == expect, cutback.stdout + cutback.stderr
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    return run


PRELUDE = """
def write(name, data, sync=True, flags=0):
    fd = os.open(name, os.O_CREAT | os.O_RDWR | flags, 0o644)
    os.write(fd, data)
    if sync:
        os.fsync(fd)
    return fd
def sync_folder(name='.'):
    fd = os.open(name, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
"""


@pytest.mark.parametrize(
    ("program", "expect"),
    [
        ("write('a', b'kept'); sync_folder()", {"a": b"kept"}),
        ("fd = write('a', b'kept'); sync_folder(); os.write(fd, b'lost')", {"a": b"kept"}),
        ("fd = write('a', b'kept'); sync_folder(); os.write(fd, b'too'); os.fdatasync(fd)", {"a": b"kepttoo"}),
        ("write('a', b'lost', sync=False); sync_folder()", {}),
        ("write('a', b'its directory entry is lost')", {}),
        ("write('a', b'kept', sync=False, flags=os.O_SYNC); sync_folder()", {"a": b"kept"}),
        ("write('a', b'kept', sync=False, flags=os.O_DSYNC); sync_folder()", {"a": b"kept"}),
        # A duplicated descriptor syncs the same file.
        ("fd = write('a', b'kept', sync=False); os.fsync(os.dup(fd)); sync_folder()", {"a": b"kept"}),
        # Room that was allocated beforehand, with the length kept or not.
        ("fd = write('a', b'kept'); sync_folder(); os.posix_fallocate(fd, 0, 4096)", {"a": b"kept"}),
        # An overwrite of synced bytes.
        ("fd = write('a', b'kept'); sync_folder(); os.pwrite(fd, b'XX', 1)", {"a": b"kept"}),
        ("fd = write('a', b'kept'); sync_folder(); os.pwrite(fd, b'XX', 1); os.fsync(fd)", {"a": b"kXXt"}),
        ("fd = write('a', b'kept'); sync_folder(); os.pwrite(fd, b'XX', 3)", {"a": b"kept"}),
        ("fd = write('a', b'kept'); sync_folder(); os.writev(fd, [b'lo', b'st'])", {"a": b"kept"}),
        # Renames: durable with the folder.
        (
            "write('a', b'old'); sync_folder(); write('t', b'new'); os.rename('t', 'a'); sync_folder()",
            {"a": b"new"},
        ),
        ("write('a', b'old'); sync_folder(); write('t', b'new'); os.rename('t', 'a')", {"a": b"old"}),
        (
            "write('a', b'old'); write('t', b'new'); sync_folder(); os.rename('t', 'a')",
            {"a": b"old", "t": b"new"},
        ),
        ("write('a', b'gone'); sync_folder(); os.unlink('a')", {}),
        ("fd = write('a', b'kept'); sync_folder(); os.ftruncate(fd, 2)", {"a": b"ke"}),
        # A name and an inode used again.
        ("os.close(write('a', b'one')); sync_folder(); os.unlink('a'); write('a', b'two', sync=False); sync_folder()", {}),
        (
            "os.mkdir('d'); write('d/a', b'kept'); sync_folder('d'); write('d/b', b'lost', sync=False)",
            {"d/a": b"kept"},
        ),
    ],
)
def test_cut(cut, program, expect):
    assert cut(program) == expect


def test_what_was_there_before_stays(cut):
    cut("write('a', b'kept'); sync_folder()")
    assert cut("fd = os.open('a', os.O_WRONLY | os.O_APPEND); os.write(fd, b'lost')") == {"a": b"kept"}


def test_a_disk_that_lies_loses_what_was_synced(cut):
    assert cut("write('a', b'acknowledged'); sync_folder()", lie=True) == {}


def test_a_shared_mapping_is_refused(cut):
    program = "import mmap; fd = write('a', b'x' * 4096); mmap.mmap(fd, 4096)[0:1] = b'y'"
    cut(program, expect=2)


def test_many_threads(cut):
    program = """
import threading
def work(number):
    fd = write(f'f{number}', b'')
    for i in range(200):
        os.write(fd, b'%06d' % i)
        if i < 150:
            os.fdatasync(fd)
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
sync_folder()
"""
    files = cut(program)
    assert files == {f"f{n}": b"".join(b"%06d" % i for i in range(150)) for n in range(8)}
