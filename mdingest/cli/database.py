"""``migrate``: bring a database up to date."""

from argparse import Namespace

from mdingest.cli.common import AddCommand, load_config


def add(command: AddCommand) -> None:
    """The commands of this group."""
    migrate = command("migrate", "apply pending migrations; safe to run twice")
    migrate.add_argument("--status", action="store_true", help="only say what is applied and what is pending")
    migrate.set_defaults(handler=_migrate)


def _migrate(args: Namespace) -> int:
    url = load_config(args).database.url.get_secret_value()
    import asyncio

    from mdingest.store import migrate

    if args.status:
        status = asyncio.run(migrate.status(url))
        for name in status.applied:
            print(f"applied  {name}")
        for name in status.pending:
            print(f"pending  {name}")
        return 0
    applied = asyncio.run(migrate.migrate(url))
    for name in applied:
        print(f"applied  {name}")
    if not applied:
        print("nothing to do: the database is up to date")
    return 0
