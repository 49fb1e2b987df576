"""What an adapter is: frames and replies in, columns out. No socket, no clock, no log, no SQL."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, SecretStr

from mdingest.core.control import Subscription
from mdingest.core.instrument import Instrument
from mdingest.core.ticks import Packets, empty_packets
from mdingest.errors import MdingestError, PermanentError

OptionsT = TypeVar("OptionsT", bound=BaseModel)
OptionsT_contra = TypeVar("OptionsT_contra", bound=BaseModel, contravariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames of one stream, one after another in ``data``, in arrival order.

    Frame ``i`` is ``data[starts[i]:ends[i]]`` and record ``rec[i]`` of its batch.
    """

    stream_id: int
    rec: NDArray[np.uint32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    data: memoryview


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame, or a part of one, that could not be decoded. Its good packets were kept."""

    rec: int
    stream_id: int
    error: str


@dataclass(slots=True, eq=False)
class Decoded:
    """Packets in arrival order, and what was not understood."""

    packets: Packets = field(default_factory=empty_packets)
    bad: list[BadFrame] = field(default_factory=list)
    skipped: int = 0  # packets of unknown kind: legal, not ours
    unknown: int = 0  # packets of instruments that this stream never subscribed


class FrameDecoder(Protocol):
    """Decoding of one stream, rebuilt from its control records alone.

    `decode` never raises for what a peer sent: damage comes back as `BadFrame`.
    """

    def subscribe(self, subs: Sequence[Subscription]) -> None:
        """Packets of these instruments are wanted from now on."""
        ...

    def unsubscribe(self, keys: Sequence[str]) -> None:
        """These are not."""
        ...

    def decode(self, frames: Frames) -> Decoded:
        """Columns out of frames."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What to do with one frame that just arrived."""

    data: bool = False  # it carries market data, which a heartbeat does not
    journal: bool = True  # False: not ours to keep (account messages), counted only
    replies: tuple[str | bytes, ...] = ()
    reconnect: str = ""  # the peer announces its end: reconnect at once, with this reason
    note: str = ""  # text of the peer for the log; no secrets


class LiveProtocol(Protocol):
    """What one connection says and hears. Holds secrets; journals none."""

    feed: str  # name in candles.source
    resolution_ns: int  # step of the feed's exchange stamps
    silence_s: float
    """Real seconds without any frame after which the socket is dead. inf: a peer with nothing to tell
    sends none, so it is pinged; who beats by itself is not."""
    spacing_s: float  # real seconds between two messages to it; 0: it takes them as they come
    answers: bool  # every subscription is answered with data, at any hour
    max_instruments: int  # per connection
    max_connections: int

    def url(self, subs: Sequence[Subscription]) -> str:
        """Address with credentials; never logged."""
        ...

    def headers(self) -> dict[str, str]:
        """Extra headers of the upgrade request."""
        ...

    def greeting(self, subs: Sequence[Subscription]) -> list[str | bytes]:
        """Messages that subscribe, in order, sent after each connect."""
        ...

    def farewell(self, subs: Sequence[Subscription]) -> list[str | bytes]:
        """Messages that unsubscribe."""
        ...

    def receive(self, frame: str | bytes) -> Heard:
        """Look at a frame just long enough to know what to do with it. Never raises."""
        ...

    def stamp_ns(self, frame: str | bytes) -> int:
        """The newest exchange time in a frame with data, UTC ns; 0 if it has none. Never raises."""
        ...

    def refused(self, status: int, body: str) -> MdingestError:
        """Why the upgrade was refused: TransientError or PermanentError, without secrets."""
        ...


class Resolved(NamedTuple):
    """What a symbol stands for on a feed. Both ids are 0 until the store has given one."""

    instrument: Instrument
    subscription: Subscription

    def stored_as(self, stored: Instrument) -> Subscription:
        """Its subscription, once the store knows the instrument."""
        return replace(
            self.subscription,
            instrument_id=stored.id,
            symbol=stored.symbol,
            exchange=stored.exchange,
        )


class Resolve(Protocol[OptionsT_contra]):
    """From canonical symbols to what the feed calls them."""

    def __call__(
        self,
        symbols: Sequence[str],
        options: OptionsT_contra,
        instruments: str | Iterable[str] | None = None,
        *,
        problems: list[str] | None = None,
    ) -> list[Resolved]:
        """One entry a symbol, in their order, each symbol once.

        ``instruments`` is the provider's instrument list, as text or as lines (an open
        file); None where `LiveProvider.needs_instruments` is False. Symbols that can't be
        resolved raise ConfigError, one line each with the nearest that exist. With
        ``problems`` the others come back instead, and these lines are appended to it, as
        are unreadable rows of the list.
        """
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """An access token that a person has to renew. Instants are UTC ns, None where nobody knows."""

    secret: SecretStr
    source: str  # where it was found, for people
    made_ns: int | None = None
    expires_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. Headers and form hold secrets; the address does not."""

    url: str
    headers: dict[str, str] = field(repr=False)
    form: dict[str, str] | None = field(default=None, repr=False)  # POSTed; None: a GET


class Access(Protocol[OptionsT]):
    """How a provider's token is got, kept and doubted. Pure: others do the talking and the filing."""

    name: str  # as ``mdingest login`` takes it
    secrets: tuple[str, ...]  # keys of the options that may change while we run

    def given(self, options: OptionsT) -> SecretStr | None:
        """The token that the configuration gives, if it does."""
        ...

    def file(self, options: OptionsT) -> Path | None:
        """Where `mdingest login` leaves one."""
        ...

    def using(self, options: OptionsT, token: SecretStr | None) -> OptionsT:
        """The options with this token."""
        ...

    def address(self, options: OptionsT) -> str:
        """The page on which a person logs in."""
        ...

    def exchange(self, options: OptionsT, pasted: str) -> Call:
        """The call that makes a token of what the person brings back. Raises ConfigError."""
        ...

    def granted(self, options: OptionsT, status: int, body: str, now_ns: int) -> str:
        """The text of the token file, out of the reply. Raises PermanentError or TransientError."""
        ...

    def read(self, options: OptionsT, text: str, source: str) -> Token:
        """The opposite of `granted`. Raises ConfigError if the file is damaged or another app's."""
        ...

    def probe(self, options: OptionsT, token: SecretStr) -> Call:
        """The call that a good token is answered with 200."""
        ...

    def doubted(self, refusal: PermanentError, status: int) -> PermanentError:
        """What a refusal means, now that the probe was answered so."""
        ...

    def unusable(self, token: Token | None) -> PermanentError:
        """What to say of a token that has expired, or that nobody has given."""
        ...


@dataclass(frozen=True, slots=True)
class LiveProvider(Generic[OptionsT]):
    """One live feed, as the registry holds it."""

    name: str  # in configuration, and in candles.source
    Options: type[OptionsT]  # what its section under ``providers`` may say
    decoder: Callable[[], FrameDecoder]  # a new one for each stream
    live: Callable[[OptionsT], LiveProtocol]  # shared by its connections: it keeps no state of them
    resolve: Resolve[OptionsT]
    needs_instruments: bool = False  # resolve wants the list that ``options.instruments`` points to
    access: Access[OptionsT] | None = None  # where a person has to log in
