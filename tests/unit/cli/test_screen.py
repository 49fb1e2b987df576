"""What `status` prints is readable."""

from mdingest.cli.status import screen


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
        "lag_s    1.5",
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
