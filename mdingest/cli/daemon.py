"""``realtime``, ``run``, ``serve`` and ``demo``: what goes on until it is stopped."""

from argparse import Namespace
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING

from mdingest.cli.common import (
    DATABASE_ONLY,
    AddCommand,
    Stopping,
    load_config,
    run_until_stopped,
)

if TYPE_CHECKING:
    from mdingest.config import Config


def add(command: AddCommand) -> None:
    """The commands of this group."""
    realtime = command("realtime", "live ticks to candles until stopped, without HTTP")
    realtime.add_argument(
        "--symbols",
        nargs="+",
        metavar="SYMBOL",
        help="for feeds without a list of their own; default: those of the configuration",
    )
    realtime.add_argument(
        "--provider", metavar="NAME", help="kite_ws, ...; default: those of the configuration"
    )
    realtime.set_defaults(handler=_realtime)
    command("run", "the daemon: everything the configuration enables").set_defaults(handler=_run)
    serve = command("serve", "HTTP only, read-only over an existing database")
    serve.set_defaults(handler=_serve)
    demo = command("demo", "simulated broker, daemon and HTTP: no keys, no network, at any hour")
    demo.set_defaults(handler=_demo)


def _realtime(args: Namespace) -> int:
    with (stopping := Stopping(reloads=True)).installed():
        config = _realtime_config(args)
        from mdingest.app import run_daemon
        from mdingest.config import read_clock

        clock = read_clock(config)
        run_until_stopped(
            lambda stop: run_daemon(config, clock, stop, serve_http=False, reload=stopping.reload),
            stopping,
            uvloop=config.runtime.uvloop,
        )
    return 0


def _realtime_config(args: Namespace) -> "Config":
    """The options win; feeds without a list of their own carry what ``--symbols`` says."""
    from mdingest.errors import ConfigError

    overrides: dict[str, object] = {}
    if args.symbols:
        overrides["symbols"] = args.symbols
    if args.provider:
        overrides["realtime"] = [{"provider": args.provider, "symbols": "all"}]
    config = load_config(args, overrides)
    if not config.realtime:
        raise ConfigError("which feed? give --provider, or list one under realtime in the configuration")
    if args.symbols and not any(entry.symbols == "all" for entry in config.realtime):
        raise ConfigError("each feed has a list of its own: give --provider with --symbols")
    return config


def _run(args: Namespace) -> int:
    with (stopping := Stopping(reloads=True)).installed():
        config = load_config(args)
        from mdingest.app import run_daemon
        from mdingest.config import read_clock

        clock = read_clock(config)
        run_until_stopped(
            lambda stop: run_daemon(config, clock, stop, reload=stopping.reload),
            stopping,
            uvloop=config.runtime.uvloop,
        )
    return 0


def _serve(args: Namespace) -> int:
    with (stopping := Stopping()).installed():
        config = load_config(args, unused=DATABASE_ONLY)
        from mdingest.app import run_serve
        from mdingest.config import read_clock

        clock = read_clock(config)
        run_until_stopped(lambda stop: run_serve(config, clock, stop), stopping, uvloop=config.runtime.uvloop)
    return 0


def _demo(args: Namespace) -> int:
    with (stopping := Stopping()).installed():
        if "config" not in args:
            args.config = _demo_file()
            environ.pop("MDINGEST_DATABASE", None)  # is not for made-up candles either
        config = load_config(args)
        from mdingest.app import run_demo
        from mdingest.config import read_clock, real_addresses
        from mdingest.errors import ConfigError

        if real := real_addresses(config):
            raise ConfigError(f"the demo is for the simulator, but {real[0]}")
        clock = read_clock(config)
        run_until_stopped(lambda stop: run_demo(config, clock, stop), stopping, uvloop=config.runtime.uvloop)
    return 0


def _demo_file() -> Path:
    """The demo's own configuration; never the user's, whose database is not for made-up candles."""
    import mdingest
    from mdingest.errors import ConfigError

    package = Path(mdingest.__file__).parent
    for file in (package.parent / "config/demo.yaml", package / "_config/demo.yaml"):
        if file.exists():
            return file
    raise ConfigError("config/demo.yaml is not installed: give it with --config")
