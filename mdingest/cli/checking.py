"""``check-config``: what is in force."""

from argparse import Namespace

from mdingest.cli.common import AddCommand, load_config


def add(command: AddCommand) -> None:
    """The commands of this group."""
    check = command("check-config", "validate and print the effective configuration, secrets masked")
    check.set_defaults(handler=_check)


def _check(args: Namespace) -> int:
    config = load_config(args)
    from mdingest.config import effective, read_clock

    read_clock(config)
    print(effective(config), end="")
    return 0
