"""All connections of one provider: find out what to subscribe, then keep them alive.

Instruments are looked up here, not at start, so that a provider or a database that is down
delays its own feed and nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from mdingest.core.control import Subscription
from mdingest.errors import ConfigError, PermanentError, StoreUnavailable, TransientError
from mdingest.pipeline.announce import Announcer
from mdingest.pipeline.backoff import full_jitter
from mdingest.pipeline.feed import Feed, FeedOptions, FeedState, FeedStatus
from mdingest.pipeline.intake import Intake
from mdingest.pipeline.shards import plan_shards
from mdingest.providers.base import LiveProtocol

log = structlog.get_logger()

STAGGER_S = 0.5  # real, between first connects of one provider
LOOK_AGAIN_S = 60.0  # real; after an error that only a person can mend

Resolved = Callable[[], Awaitable[list[Subscription]]]


class Feeds:
    """The feeds of one provider. `run` in a task; cancelling records why the streams ended."""

    def __init__(
        self,
        protocol: LiveProtocol,
        resolve: Resolved,
        intake: Intake,
        announcer: Announcer,
        *,
        stream_ids: Callable[[], int],
        recheck: Callable[[], bool] | None = None,
    ) -> None:
        """``resolve`` gives what to subscribe, with the store's instrument ids."""
        self.name = protocol.feed
        self._protocol = protocol
        self._resolve = resolve
        self._intake = intake
        self._announcer = announcer
        self._stream_ids = stream_ids
        self._recheck = recheck
        self._looking = FeedStatus(self.name, self.name, state=FeedState.CONNECTING)
        self._feeds: list[Feed] = []

    @property
    def statuses(self) -> Sequence[FeedStatus]:
        """One a connection; while instruments are looked up, one for all."""
        return [feed.status for feed in self._feeds] or [self._looking]

    async def run(self) -> None:
        """Until cancelled. Raises JournalError; no error of the network leaves it."""
        subs = await self._wanted()
        self._announcer.announce({sub.session_class for sub in subs})
        shards = plan_shards(
            self.name,
            subs,
            max_instruments=self._protocol.max_instruments,
            max_connections=self._protocol.max_connections,
        )
        self._feeds = [
            Feed(
                self.name if len(shards) == 1 else f"{self.name}.{i + 1}",
                self._protocol,
                shard,
                self._intake,
                stream_ids=self._stream_ids,
                options=FeedOptions(start_after_s=i * STAGGER_S),
                recheck=self._recheck,
            )
            for i, shard in enumerate(shards)
        ]
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds:
                group.create_task(feed.run(), name=f"feed.{feed.status.name}")

    async def _wanted(self) -> list[Subscription]:
        waits = full_jitter()
        while True:
            try:
                return await self._resolve()
            except (TransientError, StoreUnavailable) as exc:
                delay_s = next(waits)
                self._say(FeedState.BACKOFF, exc)
                log.warning("feed.retry_scheduled", feed=self.name, delay_s=round(delay_s, 3), error=str(exc))
            except (PermanentError, ConfigError) as exc:
                delay_s = LOOK_AGAIN_S
                if self._looking.last_error != str(exc):
                    log.error("feed.parked", feed=self.name, error=str(exc))  # noqa: TRY400 - the text says it all
                self._say(FeedState.PARKED, exc)
            await asyncio.sleep(delay_s)

    def _say(self, state: FeedState, exc: Exception) -> None:
        if state is not self._looking.state:
            self._looking.since_ns = self._intake.clock.wall_ns()
        self._looking.state, self._looking.last_error = state, str(exc)
