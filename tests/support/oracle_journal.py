"""The oracle's other half: the journal against the database, ``replay --verify`` and more.

The one check that uses the code which it judges: it is about two ways to the same rows.
"""

import sqlite3
from collections import Counter
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

from mdingest import __version__
from mdingest.core.control import Start
from mdingest.core.records import Kind
from mdingest.pipeline.compare import compare
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.replay import ReplayReport, replay
from mdingest.providers import PROVIDERS
from mdingest.store import open_store
from mdingest.store.migrate import migrate

TABLES = ("gap_spans", "coverage_spans")


class Again(NamedTuple):
    """What one pass over a journal gave."""

    database: Path
    until: int | None  # the position up to which it went
    report: ReplayReport
    spans: list[tuple[int, int]]


async def stepped_again(journal: Path, database: Path, scratch: Path) -> Again:
    """The journal up to the database's position, in a second database in the directory ``scratch``."""
    again = scratch / "replayed.db"
    again.unlink(missing_ok=True)
    await migrate(f"sqlite:///{again}")
    replayed = await open_store(f"sqlite:///{again}")
    try:
        report, spans = await replay(
            journal,
            replayed,
            make_decoder=lambda feed: PROVIDERS[feed].decoder(),
            running=Start(__version__),
            until_of=lambda journal: _position(database, journal),
        )
    finally:
        await replayed.close()
    return Again(again, _position(database, report.journal), report, spans)


async def replay_problems(
    journal: Path, database: Path, scratch: Path, known: Again | None = None
) -> list[str]:
    """One pass over the whole journal gives the very rows, gaps and coverage that are stored.

    ``known`` is such a pass of the same journal; it is made anew if it went up to elsewhere.
    """
    problems = position_problems(journal, database)
    if problems:
        return problems
    if known is None or known.until != _position(database, known.report.journal):
        known = await stepped_again(journal, database, scratch)
    again, report = known.database, deepcopy(known.report)
    replayed = await open_store(f"sqlite:///{again}", read_only=True)
    stored = await open_store(f"sqlite:///{database}", read_only=True)
    try:
        await compare(replayed, stored, report, known.spans)
    finally:
        await replayed.close()
        await stored.close()
    if not report.compared:
        problems.append(f"the journal of {report.batches} batches has no row to compare")
    problems += [f"replay: {one}" for one in (*report.differing, *report.not_comparable, *report.damage)]
    for table in TABLES:
        ours, theirs = _rows(again, table), _rows(database, table)
        problems += [f"{table}: {row} is stored but not replayed" for row in theirs - ours]
        problems += [f"{table}: {row} is replayed but not stored" for row in ours - theirs]
    return problems


def position_problems(journal: Path, database: Path) -> list[str]:
    """The database knows this journal and is not ahead of it."""
    reader = JournalReader(journal)
    position = _position(database, reader.uuid)
    end = max((batch.end for batch in reader.read()), default=0)
    if position is None:
        return [f"the database has never seen the journal {reader.uuid}"]
    return [f"position {position} is beyond the journal's end {end}"] if position > end else []


def committed_problems(journal: Path, database: Path) -> list[str]:
    """After a clean stop nothing of the journal waits for the next start."""
    reader = JournalReader(journal)
    position, end = _position(database, reader.uuid), max((batch.end for batch in reader.read()), default=0)
    return [f"position {position} is not the journal's end {end}"] if position != end else []


def stream_problems(journal: Path) -> list[str]:
    """No two connections of one journal share an id: the store orders what it is told by it."""
    seen: Counter[int] = Counter()
    for batch in JournalReader(journal).read():
        seen.update(batch.streams[batch.kinds == Kind.CONNECT].tolist())
    return [f"stream {number} was connected {times} times" for number, times in seen.items() if times > 1]


def frames_received(journal: Path) -> list[int]:
    """Wall ns of every frame in the journal, ascending."""
    return sorted(
        int(at)
        for batch in JournalReader(journal).read()
        for at in batch.wall_ns[batch.kinds == Kind.FRAME].tolist()
    )


def _position(database: Path, journal: str) -> int | None:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT lsn FROM positions WHERE journal = ?", (journal,)).fetchone()
    return None if row is None else int(row[0])


def _rows(database: Path, table: str) -> set[tuple[object, ...]]:
    """Its spans by symbol. What is empty and says nothing may be there or not."""
    columns, empty = "s.start_ns, s.source, s.end_ns", "s.end_ns = s.start_ns"
    if table == "gap_spans":
        columns, empty = f"{columns}, s.cause, s.volume", f"{empty} AND coalesce(s.volume, 0) = 0"
    query = (
        f"SELECT i.symbol, {columns} FROM {table} AS s JOIN instruments AS i ON i.id = s.instrument_id "  # noqa: S608
        f"WHERE NOT (s.end_ns IS NOT NULL AND {empty})"
    )
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return set(connection.execute(query))
