"""All connections of one provider: find out what to subscribe, then keep them alive.

Instruments are looked up here, not at start, so that a provider or a database that is down
delays its own feed and nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from mdingest.core.control import Subscription
from mdingest.errors import ConfigError, PermanentError, StoreUnavailable, TransientError
from mdingest.pipeline.announce import Announcer
from mdingest.pipeline.backoff import Turnstile, full_jitter
from mdingest.pipeline.feed import Feed, FeedOptions, FeedState, FeedStatus, Guard
from mdingest.pipeline.hours import OpenHours
from mdingest.pipeline.intake import Intake
from mdingest.pipeline.pulse import Pulse
from mdingest.pipeline.shards import plan_changes, plan_shards
from mdingest.providers.base import LiveProtocol

log = structlog.get_logger()

STAGGER_S = 0.5  # real, between connects of one provider
LOOK_AGAIN_S = 60.0  # real; after an error that only a person can mend


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to subscribe, with the store's ids, and a line for each symbol that can't be."""

    subs: list[Subscription]
    problems: list[str] = field(default_factory=list)


Resolve = Callable[[], Awaitable[Wanted]]


class Feeds:
    """The feeds of one provider. `run` in a task; cancelling records why the streams ended."""

    def __init__(
        self,
        protocol: LiveProtocol,
        resolve: Resolve,
        intake: Intake,
        announcer: Announcer,
        *,
        stream_ids: Callable[[], int],
        guard: Guard | None = None,
    ) -> None:
        """``resolve`` says what to subscribe."""
        self.name = protocol.feed
        self.problems: Sequence[str] = ()
        """Symbols that could not be resolved, a line each."""
        self._protocol = protocol
        self._resolve = resolve
        self._intake = intake
        self._announcer = announcer
        self._stream_ids = stream_ids
        self._guard = guard
        self._hours = OpenHours(intake.clock, announcer.table)
        self._options = FeedOptions(turn=Turnstile(STAGGER_S).turn)
        self._looking = FeedStatus(self.name, self.name, state=FeedState.CONNECTING)
        self._look_again = asyncio.Event()
        self._feeds: list[Feed] = []
        self._group: asyncio.TaskGroup | None = None
        self._changing = asyncio.Lock()

    @property
    def feeds(self) -> Sequence[Feed]:
        """The connections; none while instruments are looked up."""
        return list(self._feeds)

    def regular_s(self, classes: Iterable[str]) -> float:
        """Real seconds for which instruments of these session classes have been in a regular session."""
        return self._hours.regular_s(classes)

    @property
    def statuses(self) -> Sequence[FeedStatus]:
        """One a connection; while instruments are looked up, one for all."""
        return [feed.status for feed in self._feeds] or [self._looking]

    def renew(self, protocol: LiveProtocol) -> None:
        """The next connects use this protocol; those that are open stay as they are."""
        self._protocol = protocol
        for feed in self._feeds:
            feed.protocol = protocol

    def wake(self) -> None:
        """Something changed: what is parked tries again now."""
        self._look_again.set()
        for feed in self._feeds:
            if feed.status.state is FeedState.PARKED:
                feed.wake()

    def park(self, why: PermanentError) -> None:
        """End what is open, and wait for a person."""
        for feed in self._feeds:
            feed.park(why)

    async def change(self, resolve: Resolve) -> tuple[int, int]:
        """Subscribe what ``resolve`` says; what stays is not touched. How many were added, removed.

        Instruments stay on their connection; new ones go where there is room, then to new
        connections. Raises what ``resolve`` raises, and ConfigError if there is no room; then
        all is as before. Before the first look-up it only replaces what will be looked up.
        """
        async with self._changing:
            if self._group is None:
                self._resolve = resolve
                self._look_again.set()
                return 0, 0
            wanted = await resolve()
            changes = plan_changes(
                self.name,
                [feed.subs for feed in self._feeds],
                wanted.subs,
                max_instruments=self._protocol.max_instruments,
                max_connections=self._protocol.max_connections,
            )
            self._resolve, self.problems = resolve, wanted.problems
            self._announcer.announce({sub.session_class for sub in wanted.subs})
            for feed, (add, remove) in zip(self._feeds, changes, strict=False):
                if add or remove:
                    await feed.change(add, remove)
            for add, _ in changes[len(self._feeds) :]:
                self._start(add, f"{self.name}.{len(self._feeds) + 1}", self._group)
            return sum(len(add) for add, _ in changes), sum(len(remove) for _, remove in changes)

    async def refresh(self) -> tuple[int, int]:
        """Look everything up again, and change what is different now. As `change`."""
        return await self.change(self._resolve)

    async def run(self) -> None:
        """Until cancelled. Raises JournalError; no error of the network leaves it."""
        subs, shards = await self._planned()
        self._announcer.announce({sub.session_class for sub in subs})
        try:
            async with asyncio.TaskGroup() as group:
                for i, shard in enumerate(shards):
                    name = self.name if len(shards) == 1 else f"{self.name}.{i + 1}"
                    self._start(shard, name, group)
                self._group = group
                await asyncio.Event().wait()  # `change` may add to it
        finally:
            self._group = None

    def _start(self, subs: Sequence[Subscription], name: str, group: asyncio.TaskGroup) -> None:
        def regular_s() -> float:
            return self._hours.regular_s({sub.session_class for sub in feed.subs})

        feed = Feed(
            name,
            self._protocol,
            subs,
            self._intake,
            stream_ids=self._stream_ids,
            options=self._options,
            guard=self._guard,
            pulse=Pulse(regular_s, answers=self._protocol.answers),
        )
        self._feeds.append(feed)
        group.create_task(feed.run(), name=f"feed.{name}")

    async def _planned(self) -> tuple[list[Subscription], list[list[Subscription]]]:
        waits = full_jitter()
        while True:
            self._look_again.clear()
            try:
                wanted = await self._resolve()
                shards = plan_shards(
                    self.name,
                    wanted.subs,
                    max_instruments=self._protocol.max_instruments,
                    max_connections=self._protocol.max_connections,
                )
            except (TransientError, StoreUnavailable) as exc:
                delay_s = next(waits)
                self._say(FeedState.BACKOFF, exc)
                log.warning("feed.retry_scheduled", feed=self.name, delay_s=round(delay_s, 3), error=str(exc))
            except (PermanentError, ConfigError) as exc:
                delay_s = LOOK_AGAIN_S
                if self._looking.last_error != str(exc):
                    log.error("feed.parked", feed=self.name, error=str(exc))  # noqa: TRY400 - the text says it all
                self._say(FeedState.PARKED, exc)
            else:
                self.problems = wanted.problems
                if not self._look_again.is_set():
                    return wanted.subs, shards
                delay_s = 0.0  # the symbols were changed meanwhile
            try:
                async with asyncio.timeout(delay_s):
                    await self._look_again.wait()
            except TimeoutError:
                pass

    def _say(self, state: FeedState, exc: Exception) -> None:
        if state is not self._looking.state:
            self._looking.since_ns = self._intake.clock.wall_ns()
        self._looking.state, self._looking.last_error = state, str(exc)
        self._looking.todo = exc.todo if isinstance(exc, PermanentError) else ""
