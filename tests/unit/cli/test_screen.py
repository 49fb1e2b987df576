"""What `status` prints is readable."""

from pathlib import Path
from typing import Any

import pytest

from mdingest.cli.gathering import size_of
from mdingest.cli.screen import length, screen
from mdingest.cli.status import condense


def test_mappings_become_aligned_lines_and_lists_become_tables() -> None:
    found = {
        "daemon": {"status": "ok", "started": True, "parts": {"disk": {"free_bytes": 3 << 30}}},
        "lag_s": 1.5,
        "rows": [{"symbol": "A.NS", "gap": None}, {"symbol": "LONGER.NS", "gap": "mute"}],
        "names": ["a", "b"],
        "nothing": [],
    }

    assert list(screen(found)) == [
        "daemon:",
        "  status   ok",
        "  started  yes",
        "  parts:",
        "    disk:",
        "      free_bytes  3.0 GiB",
        "lag      1.5s",
        "rows:",
        "  symbol     gap",
        "  A.NS       -",
        "  LONGER.NS  mute",
        "names:",
        "  a",
        "  b",
        "nothing  -",
    ]


def test_long_tables_are_cut_aloud() -> None:
    lines = list(screen({"rows": [{"n": n} for n in range(30)]}))

    assert len(lines) == 1 + 1 + 20 + 1
    assert lines[-1] == "  ... and 10 more (--json shows all)"


def test_a_screen_names_what_needs_a_person_and_leaves_the_rest_to_json() -> None:
    feed = {"state": "parked", "instruments": 2, "error": "no token", "unresolved": ["FOO.NS: unknown"]}
    found = {
        "daemon": {
            "status": "failing",
            "parts": {
                "journal": {"ok": True, "end_lsn": 7},
                "feeds": {"ok": False, "kite_ws": feed},
                "tokens": {"ok": False, "kite_ws": {"state": "expired", "what_to_do": "log in"}},
                "alerts": {"ok": True, "webhook": "set", "sent": 1, "waiting": 0, "dropped": 0},
            },
        },
        "tokens": [{"provider": "kite_ws", "state": "expired"}],
        "stored": {"symbols": 2},
        "journal": {"bytes": 0},
    }

    lines = list(screen(condense(found)))

    assert "  ok       journal, alerts" in lines
    assert "  failing  feeds, tokens" in lines
    at = lines.index("attention:")
    assert lines[at + 1 : at + 4] == [
        "  feeds kite_ws: no token",
        "  feeds kite_ws: FOO.NS: unknown",
        "  tokens kite_ws: log in",
    ]
    assert any(line.split()[:2] == ["kite_ws", "parked"] for line in lines)
    assert "end_lsn" not in "\n".join(lines)


def test_one_sentence_stands_once_with_all_places_it_was_found_at() -> None:
    error, todo = "there is no access token for Kite", "Run `mdingest login kite`"
    job = {"running": False, "next": "N", "last": "L", "error": f"{error}. {todo}"}
    found: dict[str, Any] = {
        "daemon": {
            "status": "failing",
            "parts": {
                "schedule": {"ok": True, **{f"kite 1d {n}": job for n in range(3)}},
                "tokens": {"ok": False, "kite_ws": {"state": "missing", "error": error, "what_to_do": todo}},
                "feeds": {"ok": False, "kite_ws": {"state": "parked", "error": f"{error}. {todo}"}},
            },
        },
        "tokens": [{"provider": "kite_ws", "state": f"missing: {todo}"}],
        "stored": {},
        "journal": {"bytes": 0},
    }

    text = "\n".join(screen(condense(found)))

    assert text.count(todo) == 1
    assert f"kite 1d 1, schedule kite 1d 2 and 2 more: {error}. {todo}" in text
    assert text.count("failed: see attention") == 3

    found["daemon"] = {"status": "does not answer"}
    assert "\n".join(screen(condense(found))).count(todo) == 1, "nobody else says it"


def test_a_token_that_was_refused_is_not_called_good() -> None:
    tokens = {"ok": False, "kite_ws": {"state": "refused", "source": "t.json", "error": "403"}}
    found: dict[str, Any] = {
        "daemon": {"status": "failing", "parts": {"tokens": tokens}},
        "tokens": [
            {"provider": "kite_ws", "state": f"good for {hours}h", "source": source}
            for hours, source in ((8, "t.json"), (9, "configuration"))
        ],
        "stored": {},
        "journal": {},
    }

    assert [row["state"] for row in condense(found)["tokens"]] == ["refused", "good for 9h"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0s"),
        (4.31, "4.3s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (425, "7m 05s"),
        (7_800, "2h 10m"),
        (86_399, "23h 59m"),
        (734_649.6, "8d 12h"),
        (-90, "-1m 30s"),
        (0, "0s"),
    ],
)
def test_spans_are_told_in_units_of_people(seconds: float, text: str) -> None:
    assert length(seconds) == text


def test_a_daemon_that_does_not_answer_still_gets_a_screen() -> None:
    found = {
        "daemon": {"status": "does not answer", "reason": "refused"},
        "tokens": [],
        "stored": {"symbols": 0},
        "journal": {"bytes": 0},
    }

    assert list(screen(condense(found)))[:3] == ["daemon:", "  status  does not answer", "  reason  refused"]


def test_what_runs_at_a_time_of_day_is_shown_with_how_it_went() -> None:
    jobs = {
        "ok": True,
        "kite 1d 30d 18:30 NSE.EQ.cas all": {"running": False, "next": "N", "last": "L", "error": "no token"},
        "reconcile kite 1m": {"running": True, "next": "N"},
    }
    found = {
        "daemon": {"status": "ok", "parts": {"schedule": jobs}},
        "tokens": [],
        "stored": {"symbols": 0},
        "journal": {"bytes": 0},
    }

    shown = condense(found)

    assert shown["schedule"] == [
        {
            "job": "kite 1d 30d 18:30 NSE.EQ.cas all",
            "last": "L",
            "next": "N",
            "said": "failed: see attention",
        },
        {"job": "reconcile kite 1m", "last": None, "next": "N", "said": "running"},
    ]
    assert shown["attention"] == ["schedule kite 1d 30d 18:30 NSE.EQ.cas all: no token"]


def test_room_that_is_held_in_advance_is_no_journal(tmp_path: Path) -> None:
    for name, size in (("RESERVE", 1_000), ("RESERVE.new", 10), ("0000.seg", 70), ("LOCK", 7)):
        (tmp_path / name).write_bytes(b"x" * size)

    assert size_of(tmp_path) == 77
