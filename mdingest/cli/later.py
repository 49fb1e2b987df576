"""Commands that this version knows of and does not have yet."""

from argparse import SUPPRESS, Namespace

from mdingest.cli.common import AddCommand
from mdingest.errors import ConfigError

NOT_YET = "not available yet"
_COMMANDS = {
    "gaps": "what is missing, why, and its state",
}


def add(command: AddCommand) -> None:
    """The commands of this group."""
    for name, text in _COMMANDS.items():
        later = command(name, f"{text} ({NOT_YET})")
        later.add_argument("rest", nargs="*", help=SUPPRESS)
        later.set_defaults(handler=_refuse, command=name, not_yet=True)


def _refuse(args: Namespace) -> int:
    raise ConfigError(f"{args.command}: {NOT_YET}")
