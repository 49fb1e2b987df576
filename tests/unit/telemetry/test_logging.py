"""Logging says what happened, where asked, and never a secret."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from mdingest.telemetry.logging import Repeats, configure, mask


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_is_one_json_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")

    structlog.get_logger().info("feed.connected", feed="kite_ws", after_s=1.5)

    (line,) = lines(capsys)
    assert line["event"] == "feed.connected"
    assert (line["feed"], line["after_s"], line["level"]) == ("kite_ws", 1.5, "info")
    assert str(line["timestamp"]).endswith("Z")


def test_a_pipe_gets_json_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    configure()

    structlog.get_logger().info("app.started")

    assert lines(capsys)[0]["event"] == "app.started"


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "warning")

    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")

    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_libraries_write_the_same_kind_of_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")

    logging.getLogger("aiohttp.server").error("went wrong for token=abc123")

    (line,) = lines(capsys)
    assert line["logger"] == "aiohttp.server"
    assert line["event"] == "went wrong for token=***"


@pytest.mark.parametrize("lost", ["a full disk", "a reader that left"])
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(lost: str) -> None:
    program = """
import logging, structlog
from mdingest.telemetry.logging import configure
configure("json")
structlog.get_logger().warning("disk.parked")
logging.getLogger("aiohttp.server").error("went wrong")
print("went on")
"""
    reader, writer = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("wb") as full:
        stderr = full.fileno() if lost == "a full disk" else writer
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=stderr, text=True, check=False
        )
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, "went on\n")


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_nothing_that_looks_like_a_credential_is_written(
    capsys: pytest.CaptureFixture[str], fmt: str
) -> None:
    configure(fmt)
    secret = "deadbeef99"

    def fails(url: str) -> None:
        raise ValueError(f"no answer from {url}")

    log = structlog.get_logger()
    log.info("a", url=f"wss://h/?api_key={secret}&access_token={secret}", access_token=secret)
    log.info("b", database=f"postgresql://me:{secret}@h/db")
    try:
        fails(f"https://h/?access_token={secret}")
    except ValueError:
        log.exception("c")

    err = capsys.readouterr().err
    assert secret not in err
    assert "wss://h/?api_key=***&access_token=***" in err
    assert "postgresql://me:***@h/db" in err
    assert "ValueError" in err


def test_masking_leaves_ordinary_text_alone() -> None:
    text = "tokens left: 12; see https://example.org/a?b=c and me@example.org"

    assert mask(text) == text


passwords = st.text("ab1/@:?#%=&", max_size=12).map(lambda text: f"S{text}S")  # S: nothing else has one
query_passwords = st.text("ab1/@:?#%=,;'\"", max_size=12).map(lambda text: f"S{text}S")


@given(passwords, query_passwords)
def test_no_part_of_a_password_survives_in_an_address(password: str, another: str) -> None:
    shown = mask(
        f"copies postgresql://u@me:{password}@h/db?sslpassword={another}&x=1 "
        f"to postgresql://h:5432/db?x=1&password={another} (postgresql://u:{password}@k/db)"
    )

    assert "S" not in shown
    assert shown.startswith("copies postgresql://u@me:***@")
    assert "&x=1 to postgresql://h:" in shown
    assert "S" not in mask(f"postgresql://h/db?sslpassword={another}")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:pa/ss@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p@ss@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:pw@h/db?sslpassword=def&x=1", "postgresql://u:***@h/db?sslpassword=***&x=1"),
        (
            "from postgresql://u:a@h/d to postgresql://v:b@k/d",
            "from postgresql://u:***@h/d to postgresql://v:***@k/d",
        ),
        ("ws://127.0.0.1:8765/?a=b", "ws://127.0.0.1:8765/?a=b"),
    ],
)
def test_the_rest_of_an_address_is_still_told(address: str, shown: str) -> None:
    assert mask(address) == shown


def test_repeats_are_counted_instead_of_written() -> None:
    now = [100.0]
    repeats = Repeats(every_s=10, now=lambda: now[0])

    assert repeats.allow("frame.undecodable") == 0
    assert repeats.allow("frame.undecodable") is None
    assert repeats.allow("batch.shed") == 0
    now[0] += 9.9
    assert repeats.allow("frame.undecodable") is None
    now[0] += 0.1
    assert repeats.allow("frame.undecodable") == 2
    now[0] += 10
    assert repeats.allow("frame.undecodable") == 0


def test_the_memory_of_repeats_is_bounded() -> None:
    repeats = Repeats(every_s=10, now=lambda: 1.0)

    for kind in range(5_000):
        repeats.allow(str(kind))

    assert repeats.allow("0") == 0
    assert repeats.allow("4999") is None


@pytest.mark.parametrize(
    "modules", ["mdingest.telemetry.logging", "mdingest.app.backfilling, mdingest.app.exporting"]
)
def test_logging_brings_no_heavy_library_along_and_hides_none_from_others(modules: str) -> None:
    program = (
        "import sys\n"
        f"import {modules}\n"
        "assert not {'rich', 'twisted'} & set(sys.modules)\n"
        "import rich.console"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
