"""What commands share: the configuration they were given, and running until told to stop."""

import os
import signal
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # heavy, and wanted by the type checker only
    import asyncio

    from mdingest.config import Config

NOT_YET = "not available yet"
_DIGITS = 20
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
DATABASE_ONLY = ("alerts", "providers")
"""`unused` for commands that neither ask a provider nor alert anybody."""


class AddCommand(Protocol):
    """Adds a command and gives its parser."""

    def __call__(self, name: str, text: str, *, configured: bool = True) -> ArgumentParser:
        """``text`` is one line; ``configured``: see `everywhere`."""
        ...


def everywhere(*, configured: bool = True) -> ArgumentParser:
    """Options that may stand before or behind the command.

    A value that was not given is absent, so that the command does not undo what stood before it.
    ``configured`` False: the command reads no configuration, so its help does not offer one.
    """
    options = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    group = options.add_argument_group("options of every command")
    group.add_argument(
        "--config",
        metavar="PATH",
        help="default: $MDINGEST_CONFIG, else config/config.yaml, else built-in defaults"
        if configured
        else SUPPRESS,
    )
    group.add_argument(
        "--database",
        metavar="URL",
        help="default: $MDINGEST_DATABASE, else database.url of the configuration"
        if configured
        else SUPPRESS,
    )
    group.add_argument("--log-format", choices=("console", "json"), help="default: console on a terminal")
    group.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="default: info")
    return options


def whole(least: int, most: int) -> Callable[[str], int]:
    """For ``type`` of an option: a whole number in this range."""

    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else -1
        if not least <= number <= most:
            raise ArgumentTypeError(f"must be a whole number from {least} to {most}, was {text!r}")
        return number

    return read


def set_up_logging(args: Namespace) -> None:
    """As the options say."""
    from mdingest.telemetry.logging import configure

    configure(getattr(args, "log_format", None), getattr(args, "log_level", "info"))


def load_config(
    args: Namespace,
    overrides: Mapping[str, object] | None = None,
    *,
    forgive: Sequence[str] = (),
    unused: Sequence[str] = (),
) -> "Config":
    """The configuration of the options. Raises ConfigError. Also sets up logging.

    ``forgive``: keys of providers whose variables need not be set. ``unused``: whole sections.
    """
    set_up_logging(args)
    from mdingest.config import load

    given = dict(overrides or {})
    if "database" in args:
        given["database.url"] = args.database
    return load(getattr(args, "config", None), overrides=given, forgive=forgive, unused=unused)


class Stopping:
    """Whether and when a person or a supervisor asked us to stop.

    In force from the first moment of a command, so that a signal during start is not lost.
    The first signal asks; a second one ends the process at once, which costs no data. With
    ``reloads`` SIGHUP sets `reload` instead of ending the process.
    """

    def __init__(self, *, reloads: bool = False) -> None:
        from asyncio import Event

        self.reload = Event()
        self._signals = (*_SIGNALS, signal.SIGHUP) if reloads else _SIGNALS
        self._asked = False
        self._stop: asyncio.Event | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals while the block runs."""
        before = {number: signal.signal(number, lambda n, _: self.received(n)) for number in self._signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def received(self, number: int) -> None:
        """One signal came."""
        if number == signal.SIGHUP:
            self.reload.set()
            return
        if self._asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._asked = True
        if self._stop is not None:
            self._stop.set()

    def tell(self, stop: "asyncio.Event") -> None:
        """From now on set ``stop``; at once, if somebody has asked already. Inside the loop."""
        from asyncio import get_running_loop

        for number in self._signals:  # through the loop, which wakes up for them while it waits
            get_running_loop().add_signal_handler(number, self.received, number)
        self._stop = stop
        if self._asked:
            stop.set()


def run_until_stopped(
    main: "Callable[[asyncio.Event], Coroutine[Any, Any, None]]", stopping: Stopping, *, uvloop: bool
) -> None:
    """Run ``main(stop)``; SIGINT and SIGTERM set ``stop``."""
    import asyncio

    from mdingest.cli.memory import keep_the_heap_small, spare_the_collector

    keep_the_heap_small()

    async def told() -> None:
        spare_the_collector()
        stop = asyncio.Event()
        stopping.tell(stop)
        await main(stop)

    with asyncio.Runner(loop_factory=_loop_factory(uvloop=uvloop)) as runner:
        runner.run(told())


def _loop_factory(*, uvloop: bool) -> "Callable[[], asyncio.AbstractEventLoop] | None":
    if not uvloop:
        return None
    try:
        from uvloop import new_event_loop
    except ImportError:  # not made for every platform; the standard loop does the same, slower
        return None
    return new_event_loop
