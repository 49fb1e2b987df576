"""``login``: today's access token of a broker."""

import sys
from argparse import Namespace
from datetime import datetime, timedelta, timezone

from mdingest.cli.common import NOT_YET, AddCommand, load_config
from mdingest.core.units import NS

_IST = timezone(timedelta(hours=5, minutes=30))


def add(command: AddCommand) -> None:
    """The commands of this group."""
    login = command("login", "get today's access token of a broker and keep it where the daemon finds it")
    login.add_argument("broker", choices=("kite", "upstox"), help=f"upstox: {NOT_YET}")
    login.add_argument(
        "request_token",
        nargs="?",
        metavar="REQUEST_TOKEN",
        help="or the whole address the browser was sent to; asked for if not given",
    )
    login.set_defaults(handler=_login)


def _login(args: Namespace) -> int:
    from mdingest.errors import ConfigError

    if args.broker != "kite":
        raise ConfigError(f"login {args.broker}: {NOT_YET}")
    import asyncio

    from mdingest.app.login import absent_at_login, log_in, login_address
    from mdingest.config import read_clock

    config = load_config(args, forgive=absent_at_login(args.broker))
    print("Log in here, in any browser:", login_address(config, args.broker), sep="\n", flush=True)
    pasted = args.request_token or _asked()
    token = asyncio.run(log_in(config, args.broker, pasted, read_clock(config)))
    print(f"The access token is in {token.source}, which only you can read.")
    if token.expires_ns is not None:
        print(f"It works until {datetime.fromtimestamp(token.expires_ns // NS, _IST):%Y-%m-%d %H:%M} IST.")
    print("A running daemon takes it within a few seconds.")
    return 0


def _asked() -> str:
    """What the person pastes. Raises ConfigError at the end of the input."""
    from mdingest.errors import ConfigError

    if sys.stdin.isatty():
        print("Then paste the address it sent you to, or the request_token in it:", flush=True)
    line = sys.stdin.readline()
    if not line.strip():
        raise ConfigError(
            "no request token: log in at the address above, then run `mdingest login kite REQUEST_TOKEN`, or "
            "paste the address that the browser was sent to"
        )
    return line
