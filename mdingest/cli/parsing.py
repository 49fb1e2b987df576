"""What may be typed. Handlers stand with their group of commands."""

from argparse import ArgumentParser

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
from mdingest.cli.common import everywhere

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
        parents=[everywhere()],
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"mdingest {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, title="commands")

    def command(name: str, text: str, *, configured: bool = True) -> ArgumentParser:
        options = everywhere(configured=configured)
        return commands.add_parser(name, help=text, description=text, parents=[options], allow_abbrev=False)

    for group in _GROUPS:
        group.add(command)
    return top
