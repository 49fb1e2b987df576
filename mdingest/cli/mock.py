"""``mock``: a broker simulator that real client libraries can talk to."""

from argparse import ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mdingest.cli.common import NOT_YET, AddCommand, Stopping, run_until_stopped, set_up_logging, whole

if TYPE_CHECKING:
    from mdingest.telemetry.clock import Clock

_MAX_SPEED = 60
_MAX_RATE = 10_000
_FAULTS = """\
faults: a comma-separated list of KIND@WHEN (once, so long after the start) or KIND~MEAN (again and
again at random instants, the same for the same seed), for some kinds with /HOWLONG; units ms, s, m, h."""


class _WithFaults(RawDescriptionHelpFormatter):
    """Adds the kinds of faults, which are heavy to import, only where help is asked for."""

    def add_text(self, text: str | None) -> None:
        """Text as it is, and the kinds behind what introduces them."""
        if text == _FAULTS:
            from mdingest.simulators.faults import described

            text = f"{text}\n{described()}"
        super().add_text(text)


def add(command: AddCommand) -> None:
    """The commands of this group."""
    mock = command("mock", "a broker simulator that real client libraries can talk to", configured=False)
    mock.formatter_class, mock.epilog = _WithFaults, _FAULTS
    mock.add_argument("broker", choices=("kite", "upstox"), help=f"upstox: {NOT_YET}")
    mock.add_argument("--host", type=_host, default="127.0.0.1")
    mock.add_argument("--port", type=whole(0, 65_535), default=8765, help="default: 8765; 0: any free one")
    mock.add_argument("--symbols", nargs="+", default=[], metavar="SYMBOL", help="default: a few well-known")
    mock.add_argument(
        "--synthetic", type=whole(0, 100_000), default=0, metavar="N", help="SIM0001.NS and so on besides"
    )
    mock.add_argument("--rate", type=_rate, default=2.0, help="trades per second and instrument (default: 2)")
    mock.add_argument("--speed", type=_speed, default=1.0, help="how fast its clock runs, up to 60")
    mock.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, help="the same seed, the same market")
    mock.add_argument(
        "--faults", default="", metavar="LIST", help="such as disconnect@20s,mute~2m/15s; see below"
    )
    mock.add_argument(
        "--session",
        default="always",
        metavar="CLASS",
        help="hours of its shares, such as NSE.EQ.cas; auto: each instrument's own (default: always open)",
    )
    mock.add_argument(
        "--lively", action="store_true", help="bursts, pauses and wider steps instead of an even flow"
    )
    mock.add_argument(
        "--conflate", type=_span_s, default=0.0, metavar="SPAN", help="one packet per instrument in, say, 1s"
    )
    mock.add_argument(
        "--depth", type=_span_s, default=0.0, metavar="SPAN", help="a packet of the order book alone in each"
    )
    mock.add_argument(
        "--least-volume",
        type=whole(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="a share's day begins with at least that",
    )
    mock.add_argument(
        "--api-secret", default="secret", metavar="TEXT", help="what a login is signed with (default: secret)"
    )
    mock.add_argument("--tape", type=Path, metavar="FILE", help="write every trade here")
    mock.add_argument("--cuts", type=Path, metavar="FILE", help="write every fault here")
    mock.add_argument("--instruments", type=Path, metavar="FILE", help="write the instruments CSV here")
    mock.set_defaults(handler=_mock)


def _host(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("must be an address of this machine, such as 127.0.0.1")
    return text


def _span_s(text: str) -> float:
    from mdingest.errors import ConfigError
    from mdingest.simulators.faults import span_ns

    try:
        return span_ns(text) / 1e9
    except ConfigError as exc:
        raise ArgumentTypeError(str(exc)) from None


def _speed(text: str) -> float:
    return _above_0(text, _MAX_SPEED)


def _rate(text: str) -> float:
    return _above_0(text, _MAX_RATE)


def _above_0(text: str, most: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= most:
        raise ArgumentTypeError(f"must be a number above 0, up to {most}")
    return number


def _mock(args: Namespace) -> int:
    from mdingest.errors import ConfigError

    if args.broker != "kite":
        raise ConfigError(f"mock {args.broker}: {NOT_YET}")
    with (stopping := Stopping()).installed():
        set_up_logging(args)
        from mdingest.simulators import KiteMockOptions, run_mock

        options = KiteMockOptions(
            host=args.host,
            port=args.port,
            symbols=tuple(args.symbols),
            synthetic=args.synthetic,
            rate=args.rate,
            seed=args.seed,
            faults=args.faults,
            session=args.session,
            lively=args.lively,
            conflate_s=args.conflate,
            depth_s=args.depth,
            least_volume=args.least_volume,
            api_secret=args.api_secret,
            tape=args.tape,
            cuts=args.cuts,
            instruments=args.instruments,
        )
        clock = _clock(args.speed)
        run_until_stopped(lambda stop: run_mock(options, clock, stop), stopping, uvloop=True)
    return 0


def _clock(speed: float) -> "Clock":
    """The clock of the environment, or the machine's made faster."""
    from mdingest.config import read_clock
    from mdingest.errors import ConfigError
    from mdingest.telemetry.clock import parse_clock

    clock = read_clock()
    if speed == 1:
        return clock
    if clock.shifted:
        raise ConfigError("give the speed in MDINGEST_CLOCK or with --speed, not in both")
    return parse_clock(f"{datetime.now(UTC).isoformat()}x{speed}")
