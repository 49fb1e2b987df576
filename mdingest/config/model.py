"""The configuration as types: every key, its default and its limits.

Keys are spelt as in YAML; an attribute carries its unit where the key does not
(``journal.keep: 3d`` is ``config.journal.keep_s``). What a provider may be told is defined by
its adapter, so nothing here grows with the number of vendors.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    SerializeAsAny,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from mdingest.config.units import Size, Span
from mdingest.config.values import At, IntervalText, Symbols, Token, Webhook, WhichSymbols, is_loopback
from mdingest.core.interval import STORED
from mdingest.errors import ConfigError
from mdingest.providers.options import HttpUrl
from mdingest.store.urls import dialect_of, sqlite_path
from mdingest.telemetry.logging import mask


class Section(BaseModel):
    """A mapping of the file: unknown keys are mistakes, and errors never repeat a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number(cls, value: object, info: ValidationInfo) -> object:
        """True is 1 to Python, not to people."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (int, float):
            raise ValueError("must be a number")
        return value


class Database(Section):
    """Where candles are kept. The address may hold a password, so it is a secret."""

    url: SecretStr = SecretStr("sqlite:///data/mdingest.db")

    @field_validator("url")
    @classmethod
    def _known_kind(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        try:
            if dialect_of(text) == "sqlite":
                sqlite_path(text)
        except ConfigError as exc:
            raise ValueError(str(exc)) from exc
        return url

    @field_serializer("url", when_used="json")
    def _masked(self, url: SecretStr) -> str:
        return mask(url.get_secret_value())


class Journal(Section):
    """Where received frames are kept until their candles are committed, and longer."""

    dir: Path = Path("data/journal")
    fsync_s: float = Field(1, ge=0, le=60)
    keep_s: Span = Field(259_200.0, alias="keep")
    max_bytes: Size = Field(2 << 30, ge=1 << 20)
    reserve: Size = Field(64 << 20, ge=1 << 20)


class Api(Section):
    """Where HTTP is served, and to whom."""

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8080, ge=0, le=65_535)
    tokens: tuple[Token, ...] = ()
    allow_anonymous: bool = False

    @model_validator(mode="after")
    def _not_open_by_mistake(self) -> Self:
        if not (is_loopback(self.host) or self.tokens or self.allow_anonymous):
            raise ValueError(
                f"host {self.host} can be reached from other machines: list tokens, "
                "or say allow_anonymous: true"
            )
        return self


class Retention(Section):
    """How long rows are kept; null is for ever."""

    seconds_s: Span | None = Field(259_200.0, alias="1s")
    minutes_s: Span | None = Field(None, alias="1m")
    candle_revisions_s: Span | None = Field(7_776_000.0, alias="candle_revisions")


class CandleRules(Section):
    """Which candles are kept and when they close."""

    intervals: tuple[IntervalText, ...] = ("1s", "1m")
    lateness_s: float = Field(2, gt=0, le=60)
    revise_s: float = Field(10, ge=0, le=3_600)
    retention: Retention = Retention()

    @field_validator("intervals")
    @classmethod
    def _built_live(cls, intervals: tuple[str, ...]) -> tuple[str, ...]:
        built = [interval.text for interval in STORED]
        if not intervals or not set(intervals) <= set(built):
            raise ValueError(f"live candles are {' and '.join(built)}; all others are made on read")
        return intervals


class Realtime(Section):
    """One live feed and what it carries."""

    provider: str
    symbols: WhichSymbols = "all"


class Backfill(Section):
    """One scheduled request for history.

    ``provider: kite``, or ``providers: [kite, yfinance]``: what the first can't bring is asked of
    the next.
    """

    providers: tuple[str, ...] = Field(min_length=1)
    interval: IntervalText = "1m"
    period_s: Span = Field(604_800.0, alias="period")
    at: At = "16:15"
    symbols: WhichSymbols = "all"

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, given: object) -> object:
        if not isinstance(given, dict) or "provider" not in given:
            return given
        if "providers" in given:
            raise ValueError("has provider and providers: give one of them")
        name = given["provider"]
        names = [part.strip() for part in name.split(",")] if isinstance(name, str) else name
        return {key: value for key, value in given.items() if key != "provider"} | {"providers": names}

    @property
    def provider(self) -> str:
        """The one that is asked first."""
        return self.providers[0]


class Reconcile(Section):
    """One scheduled comparison of what was built live with what a provider says of the same day."""

    provider: str
    interval: IntervalText = "1m"
    at: At = "16:45"
    symbols: WhichSymbols = "all"

    @field_validator("interval")
    @classmethod
    def _minute_or_day(cls, interval: str) -> str:
        if interval not in ("1m", "1d"):
            raise ValueError("must be 1m or 1d")
        return interval


class Repair(Section):
    """Who fills the holes of live feeds, by feed; a feed that is not named has the usual ones."""

    enabled: bool = True
    providers: dict[str, tuple[str, ...]] = {}


class Alerts(Section):
    """Where one POST goes when something needs a person."""

    webhook: Webhook | None = None


class Runtime(Section):
    """How the process runs."""

    uvloop: bool = True


class Calendar(Section):
    """Corrections to the built-in trading hours."""

    file: Path | None = None
    refresh: bool = False  # take the public list of holidays each day
    url: HttpUrl = "https://api.upstox.com"


class Config(Section):
    """Everything. Only `mdingest.app` and the command line see it whole."""

    database: Database = Database()
    journal: Journal = Journal()
    api: Api = Api()
    candles: CandleRules = CandleRules()
    symbols: Symbols = ()
    realtime: tuple[Realtime, ...] = ()
    backfill: tuple[Backfill, ...] = ()
    repair: Repair = Repair()
    reconcile: tuple[Reconcile, ...] = ()
    providers: dict[str, SerializeAsAny[BaseModel]] = {}
    alerts: Alerts = Alerts()
    runtime: Runtime = Runtime()
    calendar: Calendar = Calendar()
    _reload: Callable[[], "Config"] | None = PrivateAttr(default=None)
    _read_from: tuple[Path, ...] = PrivateAttr(default=())

    def symbols_of(self, entry: Realtime | Backfill | Reconcile) -> tuple[str, ...]:
        """The symbols of one feed or request, ``all`` written out."""
        return self.symbols if isinstance(entry.symbols, str) else entry.symbols

    def reloaded_by(self, read: Callable[[], "Config"], files: Sequence[Path] = ()) -> Self:
        """Itself, knowing how to read its sources again, and which files they are."""
        self._reload, self._read_from = read, tuple(files)
        return self

    @property
    def read_from(self) -> tuple[Path, ...]:
        """The files it came from, which need not exist: the YAML first, then ``.env`` files."""
        return self._read_from

    def reload(self) -> "Config":
        """Read the same sources again. Raises ConfigError; then this one still holds."""
        return self if self._reload is None else self._reload()
