"""The suite's own rules, tried on a suite of one test."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"


def outcome(tmp_path: Path, reason: str, *, ci: bool, whole_module: bool = False) -> int:
    """Exit code of pytest on one test that is skipped for ``reason``."""
    shutil.copy(CONFTEST, tmp_path)
    skip = f"pytest.skip({reason!r}, allow_module_level={whole_module})"
    body = f"{skip}\ndef test(): pass\n" if whole_module else f"def test(): {skip}\n"
    (tmp_path / "test_it.py").write_text(f"import pytest\n{body}")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    env = {key: value for key, value in os.environ.items() if key != "MDINGEST_CI"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=tmp_path, env=env | ({"MDINGEST_CI": "1"} if ci else {}), check=False, timeout=50
    )
    return done.returncode


@pytest.mark.parametrize("whole_module", [False, True])
def test_a_skip_fails_on_ci(tmp_path: Path, whole_module: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert outcome(tmp_path, "no server", ci=True, whole_module=whole_module) in (1, 2)


def test_a_skip_passes_elsewhere(tmp_path: Path) -> None:
    assert outcome(tmp_path, "no server", ci=False) == 0


def test_what_the_machine_cannot_do_may_be_skipped_on_ci(tmp_path: Path) -> None:
    assert outcome(tmp_path, "not possible here: no user namespaces", ci=True) == 0


def test_no_test_reaches_another_machine() -> None:
    with socket.socket() as sock, pytest.raises(PermissionError):
        sock.connect(("192.0.2.1", 9))
    with pytest.raises(PermissionError):
        socket.getaddrinfo("example.invalid", 80)
