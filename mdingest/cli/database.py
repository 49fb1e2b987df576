"""``migrate``: bring a database up to date."""

from argparse import Namespace

from mdingest.cli.common import DATABASE_ONLY, AddCommand, load_config, whole

_ASK_AGAIN_S = 0.5


def add(command: AddCommand) -> None:
    """The commands of this group."""
    migrate = command("migrate", "apply pending migrations; safe to run twice")
    migrate.add_argument("--status", action="store_true", help="only say what is applied and what is pending")
    migrate.add_argument(
        "--wait",
        type=whole(0, 86_400),
        default=0,
        metavar="SECONDS",
        help="for a server that is still starting",
    )
    migrate.set_defaults(handler=_migrate)


def _migrate(args: Namespace) -> int:
    url = load_config(args, unused=DATABASE_ONLY).database.url.get_secret_value()
    import asyncio

    from mdingest.store import migrate

    if args.status:
        status = asyncio.run(migrate.status(url))
        for name in status.applied:
            print(f"applied  {name}")
        for name in status.pending:
            print(f"pending  {name}")
        return 0
    applied = asyncio.run(_migrated(url, args.wait))
    for name in applied:
        print(f"applied  {name}")
    if not applied:
        print("nothing to do: the database is up to date")
    return 0


async def _migrated(url: str, wait_s: float) -> list[str]:
    """What was applied, once the server answers; it is said why we wait."""
    import asyncio
    import sys
    import time

    from mdingest.errors import StoreUnavailable
    from mdingest.store.migrate import migrate

    until, said = time.monotonic() + wait_s, ""
    while True:
        try:
            return await migrate(url)
        except StoreUnavailable as exc:
            if time.monotonic() >= until:
                raise
            if str(exc) != said:
                print(f"waiting: {exc}", file=sys.stderr)
            said = str(exc)
            await asyncio.sleep(_ASK_AGAIN_S)
