"""The daily list of holidays, wired to the calendars of a running daemon."""

from mdingest import calendars
from mdingest.app.parts import calendars_of, fetched_calendar
from mdingest.calendars import Calendars
from mdingest.config import Config
from mdingest.pipeline.announce import Announcer
from mdingest.pipeline.supervise import Producer
from mdingest.pipeline.trading_days import TradingDays
from mdingest.telemetry.clock import Clock


def trading_days_of(
    config: Config, clock: Clock, book: Calendars, announcer: Announcer
) -> dict[str, Producer]:
    """The task by its name, if the configuration wants it. What it finds is in force at once."""
    path = fetched_calendar(config)
    if path is None:
        return {}

    def changed() -> None:
        book.become(calendars_of(config))
        announcer.renew()

    days = TradingDays(
        config.calendar.url,
        path,
        clock,
        known=lambda: calendars.load(config.calendar.file),
        changed=changed,
    )
    return {"calendar.days": days.run}
