import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdingest.errors import AlreadyRunning, JournalError
from mdingest.pipeline.lock import FileLock

HOLD = """
import sys, time, pathlib
from mdingest.pipeline.lock import FileLock
lock = FileLock(pathlib.Path(sys.argv[1]), "mdingest run")
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "LOCK"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(AlreadyRunning, match=f"pid {holder.pid} on .*: mdingest run"):
                FileLock(path, "mdingest realtime")
        finally:
            holder.kill()
    assert holder.returncode == -9
    for _ in range(100):  # the kernel closes the files of a killed process in its own time
        try:
            FileLock(path, "mdingest realtime").close()
        except AlreadyRunning:
            time.sleep(0.01)
        else:
            break
    with FileLock(path, "mdingest realtime"):
        assert "mdingest realtime" in path.read_text()
        assert "mdingest run" not in path.read_text()


def test_a_closed_lock_is_free(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "LOCK", "a")
    lock.close()
    lock.close()
    with FileLock(tmp_path / "LOCK", "b"):
        pass


def test_a_lock_file_that_can_not_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="can't be opened"):
        FileLock(tmp_path / "file" / "LOCK", "a")
