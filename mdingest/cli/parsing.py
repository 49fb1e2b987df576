"""What may be typed. Handlers stand with their group of commands."""

import argparse
from argparse import SUPPRESS, ArgumentParser

from mdingest import __version__
from mdingest.cli import (
    backfill,
    checking,
    copying,
    daemon,
    database,
    exporting,
    gaps,
    instruments,
    login,
    mock,
    reconcile,
    replaying,
    status,
)

_GROUPS = (
    daemon,
    database,
    copying,
    login,
    instruments,
    backfill,
    exporting,
    replaying,
    status,
    checking,
    gaps,
    reconcile,
    mock,
)


def parser() -> ArgumentParser:
    """The whole command line; `handler` of the parsed arguments runs the command."""
    top = ArgumentParser(
        prog="mdingest",
        description="An honest, complete and queryable record of candles.",
        epilog="exit codes: 0 done, 1 failed, 2 bad usage or configuration, "
        "3 finished but some symbols or ranges failed",
        parents=[_everywhere()],
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"mdingest {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, title="commands")

    def command(name: str, text: str) -> ArgumentParser:
        return commands.add_parser(
            name, help=text, description=text, parents=[_everywhere()], allow_abbrev=False
        )

    for group in _GROUPS:
        group.add(command)
    return top


def _everywhere() -> ArgumentParser:
    """Options that may stand before or behind the command.

    A value that was not given is absent, so that the command does not undo what stood before it.
    """
    options = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    group: argparse._ArgumentGroup = options.add_argument_group("options of every command")
    group.add_argument(
        "--config",
        metavar="PATH",
        help="default: $MDINGEST_CONFIG, else config/config.yaml, else built-in defaults",
    )
    group.add_argument(
        "--database",
        metavar="URL",
        help="default: $MDINGEST_DATABASE, else database.url of the configuration",
    )
    group.add_argument("--log-format", choices=("console", "json"), help="default: console on a terminal")
    group.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="default: info")
    return options
