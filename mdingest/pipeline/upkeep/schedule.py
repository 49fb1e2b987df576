"""Runs what is due at a time of day: once for each such instant, also for the last one missed.

Each job by itself, never two of the same at once. How it went is kept in the store, so that a
restart neither forgets nor repeats; what failed is tried again some times before the next day.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog

from mdingest.core.session import SECOND_NS
from mdingest.errors import MdingestError, StoreUnavailable
from mdingest.pipeline.history.held import Commit
from mdingest.pipeline.upkeep.alarm import Alarm
from mdingest.pipeline.upkeep.timetable import Daily
from mdingest.store.base import Run, Store, Transaction
from mdingest.telemetry.alerts import Condition
from mdingest.telemetry.health import Detail

log = structlog.get_logger()

LOOK_S = 20.0  # of the clock
_SHORTEST_LOOK_S = 0.25  # real
MOST_ATTEMPTS = 4
_WAIT_S = 600  # before the second attempt; then twice as long each
_LONGEST_SAID = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job went, in words for people."""

    said: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """``run`` gets the instant for which it is due. Raises MdingestError if all of it failed."""

    what: str  # backfill, reconcile: the command that does it by hand
    name: str  # the same after a restart; another configuration is another job
    daily: Daily
    run: Callable[[int], Awaitable[Outcome]]
    providers: Collection[str] = ()  # whom it asks


class Schedule:
    """`run` in a task. Cancelling ends what runs; the next start does it again."""

    def __init__(
        self,
        store: Store,
        commit: Commit,
        jobs: Callable[[], Awaitable[Sequence[Job]]],
        *,
        now_ns: Callable[[], int],
        real_s: Callable[[float], float] = lambda s: s,
    ) -> None:
        """``jobs`` are asked for at each look; ``real_s`` turns seconds of ``now_ns`` into real ones."""
        self._store = store
        self._commit = commit
        self._jobs = jobs
        self._now_ns = now_ns
        self._real_s = real_s
        self._known: dict[str, Job] = {}
        self._runs: dict[str, Run] | None = None  # None: not read yet
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()  # jobs that are due if they failed
        self._alarm = Alarm()

    async def run(self) -> None:
        """Until cancelled. A database that does not answer is asked again at the next look."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self.look(group)
                except StoreUnavailable as exc:
                    log.warning("schedule.store_unavailable", error=str(exc))
                await self._alarm.sleep(max(self._real_s(LOOK_S), _SHORTEST_LOOK_S))

    async def look(self, group: asyncio.TaskGroup) -> None:
        """Start what is due now. Raises StoreUnavailable."""
        if self._runs is None:
            self._runs = await self._store.upkeep.runs()
        self._known = {job.name: job for job in await self._jobs()}
        now = self._now_ns()
        for job in self._known.values():
            if job.name in self._running:
                continue
            run = self._runs.get(job.name)
            if job.name in self._again and run is not None and run.failed:
                run = replace(run, ended_ns=0, attempts=0)  # as if it had not been tried
            self._again.discard(job.name)
            due = due_now(job.daily, run, now)
            if due is not None:
                attempts = run.attempts if run is not None and run.due_ns == due else 0
                task = group.create_task(self._do(job, due, attempts), name=f"schedule.{job.name}")
                self._running[job.name] = task

    def renewed(self, providers: Collection[str]) -> int:
        """These can be asked again: what failed and asks any of them is due at once. How many jobs that are.

        One that runs just now is due again if it fails.
        """
        asking = {job.name for job in self._known.values() if not set(providers).isdisjoint(job.providers)}
        failed = {name for name in asking if (run := (self._runs or {}).get(name)) is not None and run.failed}
        self._again |= failed | (asking & self._running.keys())
        self._alarm.ring()
        return len(failed)

    def check(self) -> tuple[bool, Detail]:
        """For `Health`: what failed has an alert, and does not make the process ill."""
        now = self._now_ns()
        return True, {name: self._detail(job, now) for name, job in self._known.items()}

    def conditions(self) -> Iterator[Condition]:
        """For alerts: each job by its name."""
        for name, job in self._known.items():
            run = (self._runs or {}).get(name)
            if run is None:
                continue
            todo = f"see the log; `mdingest {job.what}` does it by hand" if run.failed else ""
            state = "failed" if run.failed else "done"
            yield Condition(job.what, state, not run.failed, run.said, todo, name, run.ended_ns)

    def _detail(self, job: Job, now: int) -> dict[str, object]:
        run = (self._runs or {}).get(job.name)
        detail: dict[str, object] = {"running": job.name in self._running, "next": _text(job.daily.next(now))}
        if run is not None:
            detail |= {"last": _text(run.due_ns), "ended": _text(run.ended_ns)}
            detail |= {"error" if run.failed else "said": run.said}
        return detail

    async def _do(self, job: Job, due_ns: int, attempts: int) -> None:
        """Once more after so many ``attempts`` in vain."""
        try:
            log.info("schedule.begun", what=job.what, job=job.name, due=_text(due_ns))
            try:
                outcome = await job.run(due_ns)
            except MdingestError as exc:
                outcome = Outcome(str(exc), failed=True)
            said = outcome.said[:_LONGEST_SAID]
            done = Run(job.name, due_ns, self._now_ns(), outcome.failed, attempts + outcome.failed, said)
            self._runs = {**(self._runs or {}), job.name: done}
            tell, how = (log.warning, "failed") if outcome.failed else (log.info, "done")
            tell("schedule.ended", how=how, what=job.what, job=job.name, said=said)
            try:
                await self._commit(Transaction(runs=[done]))
            except StoreUnavailable as exc:  # known till the end of this process; then it is done again
                log.warning("schedule.not_kept", job=job.name, error=str(exc))
        finally:
            self._running.pop(job.name, None)
            if job.name in self._again:
                self._alarm.ring()


def due_now(daily: Daily, run: Run | None, now_ns: int) -> int | None:
    """The instant for which a job is to run now, if it is; ``run`` is how the last one went.

    The last instant that was missed counts, and what never ran has missed one.
    """
    due = daily.last(now_ns)
    if due is None or run is None or run.due_ns < due:
        return due
    if not run.failed or run.due_ns > due or run.attempts >= MOST_ATTEMPTS:
        return None
    again = run.ended_ns + _WAIT_S * 2 ** (run.attempts - 1) * SECOND_NS
    return due if now_ns >= again else None


def _text(ns: int | None) -> str | None:
    return None if ns is None else f"{np.datetime64(ns // SECOND_NS, 's')}Z"
