"""The command line says what is wrong and ends with the promised code."""

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from mdingest import cli
from mdingest.cli import main
from mdingest.errors import AlreadyRunning, ConfigError, StoreUnavailable

COMMANDS = (
    "migrate",
    "login",
    "instruments",
    "backfill",
    "realtime",
    "run",
    "serve",
    "mock",
    "demo",
    "status",
    "replay",
    "check-config",
    "gaps",
)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MDINGEST_CONFIG", raising=False)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Every command raises this."""

    def with_error(exc: BaseException) -> None:
        def handler(_: Namespace) -> int:
            raise exc

        parser = ArgumentParser()
        parser.set_defaults(handler=handler)
        monkeypatch.setattr(cli, "parser", lambda: parser)

    return with_error


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    assert ended.value.code == 0
    said = capsys.readouterr().out
    for command in COMMANDS:
        assert f"    {command} " in said


@pytest.mark.parametrize(("command", "told"), [("copy", 0), ("mock", 0), ("status", 2)])
def test_help_offers_no_configuration_to_a_command_that_reads_none(
    command: str, told: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])

    said = capsys.readouterr().out
    assert ("--config" in said) + ("--database" in said) == told
    assert "--log-level" in said


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from mdingest.cli.parsing import parser\n"
        "parser().format_help()\n"
        "heavy = {'numpy', 'pydantic', 'aiohttp', 'structlog', 'yaml', 'asyncio', 'orjson'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["run", "--bogus"],
        ["check-config", "extra"],
        ["migrate", "--log-level", "loud"],
        ["mock"],
        ["mock", "nobody"],
        ["mock", "kite", "--speed", "61"],
        ["mock", "kite", "--speed", "nan"],
        ["mock", "kite", "--seed", "-1"],
        ["mock", "kite", "--seed", str(2**63)],
        ["mock", "kite", "--port", "65536"],
        ["mock", "kite", "--host", ""],
        ["mock", "kite", "--rate", "inf"],
        ["mock", "kite", "--synthetic", "1000000"],
        ["migrate", "--wait", "nan"],
        ["instruments", "find", "INFY", "--limit", "0"],
        ["replay"],
        ["realtime", "--symbols"],
        ["run", "--conf", "x"],
    ],
)
def test_bad_usage_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: mdingest")


@pytest.mark.parametrize(
    "argv",
    [
        ["login", "upstox"],
        ["mock", "upstox"],
    ],
)
def test_what_comes_later_says_so_and_ends_with_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err.endswith("not available yet\n")


@pytest.mark.parametrize(
    ("exc", "code", "said"),
    [
        (ConfigError("c.yaml:\n  api.port: no"), 2, "c.yaml:\n  api.port: no\n"),
        (ConfigError("which feed?"), 2, "mdingest: which feed?\n"),
        (StoreUnavailable("disk I/O error"), 1, "mdingest: disk I/O error\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "mdingest: [Errno 13] Permission denied: '/x'\n"),
        (KeyboardInterrupt(), 1, ""),
        (ExceptionGroup("g", [ExceptionGroup("h", [AlreadyRunning("by 7")])]), 1, "mdingest: by 7\n"),
        (ExceptionGroup("g", [ConfigError("a"), StoreUnavailable("b")]), 1, "mdingest: a\nmdingest: b\n"),
        (ExceptionGroup("g", [ConfigError("a")]), 2, "mdingest: a\n"),
        (ExceptionGroup("g", [StoreUnavailable("b"), StoreUnavailable("b")]), 1, "mdingest: b\n"),
    ],
)
def test_errors_become_lines_and_codes(
    failing: Callable[[BaseException], None],
    exc: BaseException,
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing(exc)

    assert main([]) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "bug", [ZeroDivisionError(), ExceptionGroup("g", [ZeroDivisionError(), ConfigError("a")])]
)
def test_a_bug_is_not_hidden(failing: Callable[[BaseException], None], bug: BaseException) -> None:
    failing(bug)

    with pytest.raises(type(bug)):
        main([])


def test_a_reader_that_went_away_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"symbols: [{', '.join(f'SIM{n}.NS' for n in range(9000))}]")
    argv = [sys.executable, "-m", "mdingest", "check-config", "--config", "c.yaml"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "database:\n"
        process.stdout.close()

        assert process.stderr.read() == ""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_standard_output_may_be_closed(closed: str) -> None:
    command = f"{sys.executable} -m mdingest check-config {closed}; echo $? >code"

    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)

    assert (Path("code").read_text(), done.stderr) == ("0\n", "")


class TestCheckConfig:
    def test_it_prints_what_is_in_force_without_secrets(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "c.yaml").write_text("api: {tokens: [hunter22]}\nalerts: {webhook: 'https://x/hunter23'}")

        assert main(["--config", "c.yaml", "check-config", "--database", "postgresql://me:hunter24@h/d"]) == 0

        shown = capsys.readouterr().out
        assert "hunter2" not in shown
        assert "postgresql://me:***@h/d" in shown
        assert "webhook: '**********'" in shown

    def test_options_may_stand_on_both_sides_of_the_command(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "c.yaml").write_text("api: {port: 7}")

        for argv in (["--config", "c.yaml", "check-config"], ["check-config", "--config", "c.yaml"]):
            assert main(argv) == 0
            assert "port: 7" in capsys.readouterr().out

    def test_mistakes_end_with_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check-config", "--config", "gone.yaml"]) == 2
        assert capsys.readouterr().err == "mdingest: gone.yaml: can't be read: No such file or directory\n"

    def test_a_shifted_clock_beside_a_real_broker_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("MDINGEST_CLOCK", "2026-11-20T09:10:00+05:30")
        (tmp_path / "c.yaml").write_text("symbols: [A]\nrealtime: [{provider: binance_ws}]")

        assert main(["check-config", "--config", "c.yaml"]) == 2
        assert "providers.binance_ws.url is wss://" in capsys.readouterr().err


def test_a_search_for_nothing_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instruments", "find", " ", "--database", "sqlite:///x.db"]) == 2
    assert "find what? give a part of a symbol or name" in capsys.readouterr().err


def test_migrate_says_what_it_did_and_may_run_twice(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--database", "sqlite:///data/x.db", "migrate"]

    assert main([*base, "--status"]) == 0
    assert "pending  0001_" in capsys.readouterr().out
    assert not Path("data/x.db").exists()
    assert main(base) == 0
    assert "applied  0001_" in capsys.readouterr().out
    assert main(base) == 0
    assert capsys.readouterr().out == "nothing to do: the database is up to date\n"
    assert main([*base, "--status"]) == 0
    assert "pending" not in capsys.readouterr().out


def test_the_demo_never_uses_the_users_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mdingest.cli.daemon import _demo_file

    (tmp_path / "real.yaml").write_text("symbols: [A]\nrealtime: [{provider: binance_ws}]")
    monkeypatch.setenv("MDINGEST_CONFIG", "real.yaml")

    assert _demo_file().name == "demo.yaml"
    assert main(["demo", "--config", "real.yaml"]) == 2
    assert "the demo is for the simulator" in capsys.readouterr().err


class TestRealtime:
    @pytest.fixture
    def config_of(self, tmp_path: Path) -> Callable[..., object]:
        from mdingest.cli.daemon import _realtime_config
        from mdingest.cli.parsing import parser

        (tmp_path / "c.yaml").write_text(
            "symbols: [A.NS]\nrealtime: [{provider: kite_ws}, {provider: binance_ws, symbols: [B]}]\n"
            "providers: {kite_ws: {api_key: a, access_token: b}}"
        )
        return lambda *argv: _realtime_config(parser().parse_args(["realtime", *argv]))

    def test_without_options_it_runs_the_feeds_of_the_configuration(
        self, config_of: Callable[..., object]
    ) -> None:
        config = config_of("--config", "c.yaml")

        assert [(entry.provider, config.symbols_of(entry)) for entry in config.realtime] == [  # type: ignore[attr-defined]
            ("kite_ws", ("A.NS",)),
            ("binance_ws", ("B",)),
        ]

    def test_symbols_are_for_feeds_without_a_list_of_their_own(
        self, config_of: Callable[..., object]
    ) -> None:
        config = config_of("--config", "c.yaml", "--symbols", "X.NS", "Y.NS")

        assert [(entry.provider, config.symbols_of(entry)) for entry in config.realtime] == [  # type: ignore[attr-defined]
            ("kite_ws", ("X.NS", "Y.NS")),
            ("binance_ws", ("B",)),
        ]

    def test_symbols_that_no_feed_would_carry_are_refused(
        self, tmp_path: Path, config_of: Callable[..., object]
    ) -> None:
        (tmp_path / "own.yaml").write_text("realtime: [{provider: binance_ws, symbols: [B]}]")

        with pytest.raises(ConfigError, match="give --provider"):
            config_of("--config", "own.yaml", "--symbols", "X")

    def test_symbols_and_provider_replace_them(self, config_of: Callable[..., object]) -> None:
        config = config_of("--config", "c.yaml", "--symbols", "X.NS", "Y.NS", "--provider", "kite_ws")

        assert [(entry.provider, config.symbols_of(entry)) for entry in config.realtime] == [  # type: ignore[attr-defined]
            ("kite_ws", ("X.NS", "Y.NS"))
        ]

    def test_a_feed_is_needed(self, config_of: Callable[..., object]) -> None:
        with pytest.raises(ConfigError, match="which feed"):
            config_of("--symbols", "X.NS")
        with pytest.raises(ConfigError, match=r"realtime\.0\.provider: no provider of this name"):
            config_of("--symbols", "X.NS", "--provider", "kitews")
