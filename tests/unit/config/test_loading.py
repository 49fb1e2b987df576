"""Configuration is read strictly, and mistakes are told as lines with their YAML path."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mdingest.config import Config, effective, load, read_clock
from mdingest.errors import ConfigError

Load = Callable[..., Config]
Refuse = Callable[..., list[str]]
KITE = """
symbols: [RELIANCE.NS]
realtime: [{provider: kite_ws}]
providers: {kite_ws: {api_key: "${KITE_API_KEY}", access_token: "${KITE_ACCESS_TOKEN}"}}
"""
KEYS = {"KITE_API_KEY": "key1234567", "KITE_ACCESS_TOKEN": "deadbeef99"}


@pytest.mark.usefixtures("here")
def test_no_file_means_built_in_defaults() -> None:
    config = load(None, {})

    assert config.database.url.get_secret_value() == "sqlite:///data/mdingest.db"
    assert (config.api.host, config.api.port) == ("127.0.0.1", 8080)
    assert config.candles.intervals == ("1s", "1m")
    assert config.journal.keep_s == 3 * 86_400
    assert config.journal.max_bytes == 2 << 30
    assert config.realtime == ()


def test_the_file_is_the_one_asked_for_else_of_the_environment_else_the_default(here: Path) -> None:
    (here / "config").mkdir()
    for name, port in (("config/config.yaml", 1), ("env.yaml", 2), ("asked.yaml", 3)):
        (here / name).write_text(f"api: {{port: {port}}}")
    env = {"MDINGEST_CONFIG": "env.yaml"}

    assert load(None, {}).api.port == 1
    assert load(None, env).api.port == 2
    assert load("asked.yaml", env).api.port == 3


@pytest.mark.usefixtures("here")
def test_a_file_that_was_asked_for_must_be_there() -> None:
    with pytest.raises(ConfigError, match=r"^gone\.yaml: can't be read: No such file"):
        load("gone.yaml", {})


def test_the_design_example_is_understood(loaded: Load) -> None:
    config = loaded(
        """
database: {url: "sqlite:///data/mdingest.db"}
journal: {dir: data/journal, fsync_s: 1, keep: 3d, max_bytes: 2GiB}
api: {host: 127.0.0.1, port: 8080, tokens: []}
candles: {intervals: [1s, 1m], lateness_s: 2, revise_s: 10, retention: {1s: 3d, candle_revisions: 90d}}
symbols: [RELIANCE.NS, TCS.NS]
realtime:
  - {provider: kite_ws, symbols: all}
backfill:
  - {provider: yfinance, interval: 1m, period: 7d, at: "16:15", symbols: all}
providers:
  kite_ws: {url: "wss://ws.kite.trade", api_key: "${KITE_API_KEY}", access_token: "${KITE_ACCESS_TOKEN}",
            mode: full, instruments: "https://api.kite.trade/instruments"}
alerts: {webhook: "${ALERT_URL}"}
""",
        KEYS | {"ALERT_URL": "https://hooks.example/abc"},
    )

    assert config.symbols_of(config.realtime[0]) == ("RELIANCE.NS", "TCS.NS")
    assert config.candles.retention.seconds_s == 3 * 86_400
    assert config.candles.retention.minutes_s is None
    assert [(entry.providers, entry.at) for entry in config.backfill] == [(("yfinance",), "16:15")]
    assert config.providers["kite_ws"].model_dump()["access_token"].get_secret_value() == "deadbeef99"


def test_a_section_that_is_all_comments_is_as_good_as_none(loaded: Load) -> None:
    assert loaded("api:\nrealtime:\n  # - {provider: kite_ws}\nproviders:").api.port == 8080


def test_every_mistake_gets_one_line_with_its_path(refused: Refuse) -> None:
    assert refused(
        """
journal: {fsync: 1, keep: 3, max_bytes: 2Gb}
api: {port: 80800}
candles: {intervals: [1x]}
databse: {}
realtime: [{provider: kite}]
"""
    ) == [
        "c.yaml:",
        "  journal.keep: must be a span of time with a unit, like 90s, 15m, 12h, 3d or 2w",
        "  journal.max_bytes: must be a size like 500MB, 2GiB or a number of bytes",
        "  journal.fsync: unknown key; did you mean fsync_s?",
        "  api.port: must be less than or equal to 65535",
        "  candles.intervals.0: must be 1s, any Nm or Nh below a day like 1m, 15m or 4h, 1d or 1w, was '1x'",
        "  databse: unknown key; did you mean database?",
        "  realtime.0.provider: no provider of this name; did you mean kite_ws?",
        "  providers.kite_ws.api_key: is missing: write it here, or ${NAME} to take it from the environment",
    ]


def test_a_mistake_hides_none_beside_it(refused: Refuse) -> None:
    assert refused(
        """
symbols: [A, 'B,C']
realtime: [{provider: kitews}, {provider: binance_ws, symbols: some}, 5]
backfill: [{provider: 'csv, yfinanc', at: 4pm}, {providers: [kitee], interval: 1m}]
reconcile: [{provider: csv, interval: 5m}, {provider: bse}]
"""
    ) == [
        "c.yaml:",
        "  symbols: a symbol looks like RELIANCE.NS, but [1] is 'B,C'",
        f"  realtime.1.symbols: {SYMBOLS}",
        "  realtime.2: must be a mapping of keys",
        '  backfill.0.at: must be a time of day like "16:15"',
        "  reconcile.0.interval: must be 1m or 1d",
        "  realtime.0.provider: no provider of this name; did you mean kite_ws?",
        f"  backfill.0.provider: no history provider of this name; {HISTORY}",
        f"  backfill.1.provider: no history provider of this name; {HISTORY}",
        f"  reconcile.1.provider: no history provider of this name; {HISTORY}",
    ]


def test_wrong_symbols_are_named_by_their_place_and_never_with_a_secret(refused: Refuse) -> None:
    text = "symbols: [A, 1, {b: c}, '${TOKEN}', 'x;', '/', '#', '?']"

    _, said = refused(text, {"TOKEN": "hunter,22"})
    assert said.startswith("  symbols: a symbol looks like RELIANCE.NS, but [1] is '1', [2] is no text, ")
    assert said.endswith("[3] is '${TOKEN}', [4] is 'x;', [5] is '/' and 2 more")
    assert refused(f"symbols: ['{'x' * 65}']")[1].endswith("but [0] is longer than 64 characters")


SYMBOLS = "must be a list of symbols like [RELIANCE.NS, TCS.NS], or {file: PATH}"
WEBHOOK = "must look like https://host/path"
LIVE = "live candles are 1s and 1m; all others are made on read"
HISTORY = "known: alphavantage, bhavcopy, binance, csv, kite, upstox, yfinance"
ADDRESS = "must look like sqlite:///data/mdingest.db or postgresql://user@host/name"


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("api: {hots: x}", "api.hots", "unknown key; did you mean host?"),
        ("api: {port: true}", "api.port", "must be a number"),
        ("api: []", "api", "must be a mapping of keys"),
        ("api: {tokens: x}", "api.tokens", "must be a list"),
        (
            "api: {tokens: ['a b']}",
            "api.tokens.0",
            "must be letters, digits and signs of ASCII, without blanks",
        ),
        ("providers: {csv: {files: 5}}", "providers.csv.files", "must be text; put a number into quotes"),
        ("alerts: {webhook: hooks.example}", "alerts.webhook", f"{WEBHOOK}; leave it out for no alerts"),
        ("symbols: A.NS", "symbols", SYMBOLS),
        ("symbols: ['A B,C']", "symbols", "a symbol looks like RELIANCE.NS, but [0] is 'A B,C'"),
        ("candles: {intervals: []}", "candles.intervals", LIVE),
        ("candles: {intervals: [5m]}", "candles.intervals", LIVE),
        ("candles: {lateness_s: 0}", "candles.lateness_s", "must be greater than 0"),
        ("backfill: [{provider: csv, at: '25:00'}]", "backfill.0.at", 'must be a time of day like "16:15"'),
        ("backfill: [{provider: x}]", "backfill.0.provider", f"no history provider of this name; {HISTORY}"),
        (
            "realtime: [{provider: kitews}]",
            "realtime.0.provider",
            "no provider of this name; did you mean kite_ws?",
        ),
        ("realtime: [{provider: upstox_ws}]", "realtime.0.provider", "upstox_ws is not available yet"),
        (
            "realtime: [{provider: binance_ws}]",
            "realtime.0.symbols",
            "no symbols: list them here or under symbols",
        ),
        ("providers: [kite_ws]", "providers", "must map a provider's name to what it is told"),
        (
            "providers: {binance_ws: {urll: x}}",
            "providers.binance_ws.urll",
            "unknown key; did you mean url?",
        ),
        (
            "providers: {binance_ws: {session_class: alwys}}",
            "providers.binance_ws.session_class",
            "no session class 'alwys'; did you mean always?",
        ),
        ("database: {url: 'mysql://me:hunter22@h/db'}", "database.url", f"database url {ADDRESS}"),
    ],
)
def test_a_bad_value_is_refused_with_what_would_be_right(
    refused: Refuse, text: str, path: str, said: str
) -> None:
    assert refused(text) == ["c.yaml:", f"  {path}: {said}"]


def test_a_feed_may_be_listed_once(refused: Refuse) -> None:
    text = "symbols: [A]\nrealtime: [{provider: binance_ws}, {provider: binance_ws}]"

    assert refused(text)[1:] == [
        "  realtime.1.provider: binance_ws is listed twice: put its symbols into one entry"
    ]


def test_a_feed_without_a_section_needs_none_unless_it_has_secrets(loaded: Load, refused: Refuse) -> None:
    assert "binance_ws" in loaded("symbols: [A]\nrealtime: [{provider: binance_ws}]").providers

    said = "is missing: write it here, or ${NAME} to take it from the environment"
    assert (
        refused("symbols: [A]\nrealtime: [{provider: kite_ws}]")[1] == f"  providers.kite_ws.api_key: {said}"
    )


def test_a_missing_variable_is_named_once_and_other_mistakes_beside_it(refused: Refuse) -> None:
    assert refused(KITE + "api: {port: -1}", {"KITE_API_KEY": "x", "KITE_ACCESS_TOKEN": ""}) == [
        "c.yaml:",
        "  providers.kite_ws.access_token: KITE_ACCESS_TOKEN is not set; put it into the environment or .env",
        "  api.port: must be greater than or equal to 0",
    ]


def test_variables_of_sections_without_a_use_need_not_be_set(here: Path) -> None:
    (here / "c.yaml").write_text(KITE + 'api: {tokens: ["${API_TOKEN}"]}\nalerts: {webhook: "${ALERT_URL}"}')
    unused = ("alerts", "providers")

    config = load("c.yaml", {"API_TOKEN": "abcdef"}, unused=unused)

    assert [token.get_secret_value() for token in config.api.tokens] == ["abcdef"]
    assert "kite_ws" in config.providers  # whose address still decides what the clock may do
    with pytest.raises(ConfigError, match="API_TOKEN is not set"):
        load("c.yaml", {}, unused=unused)


@pytest.mark.usefixtures("here")
def test_the_environment_may_name_the_database_and_the_command_line_wins() -> None:
    env = {"MDINGEST_DATABASE": "sqlite:///theirs.db"}
    given = {"database.url": "sqlite:///given.db"}

    assert load(None, env).database.url.get_secret_value() == "sqlite:///theirs.db"
    assert load(None, env, given).database.url.get_secret_value() == "sqlite:///given.db"
    assert load(None, {"MDINGEST_DATABASE": ""}).database == Config().database
    with pytest.raises(ConfigError, match=r"^\$MDINGEST_DATABASE:\n  database\.url: "):
        load(None, {"MDINGEST_DATABASE": "mysql://me:hunter2@host/db"})


def test_the_environment_wins_over_dotenv_and_the_one_beside_the_config_over_the_other(here: Path) -> None:
    (here / "etc").mkdir()
    names = 'A: "${A}", B: "${B}", C: "${C}", D: "$${A}"'
    (here / "etc/c.yaml").write_text(f"providers: {{csv: {{ticker: {{{names}}}}}}}")
    (here / "etc/.env").write_text("A=beside\nB='be # side'  # why\n")
    (here / ".env").write_text('\ufeff# all\n\nexport A=cwd\nB=cwd\nC = "c wd"\n')

    told = load("etc/c.yaml", {"A": "env"}).providers["csv"].model_dump()["ticker"]

    assert list(told.values()) == ["env", "be # side", "c wd", "${A}"]


def test_a_bad_line_of_dotenv_is_named_but_not_shown(here: Path) -> None:
    (here / ".env").write_text("A=1\nhunter22\n")

    with pytest.raises(ConfigError) as caught:
        load(None, {})

    assert str(caught.value) == ".env:\n  line 2: must look like NAME=value"


@pytest.mark.parametrize("reference", ["${A", "${}", "${1A}", "${A B}"])
def test_a_malformed_reference_is_refused(refused: Refuse, reference: str) -> None:
    assert refused(f"api: {{host: '{reference}'}}")[1] == (
        "  api.host: a reference looks like ${KITE_API_KEY}; write $${ for a plain ${"
    )


SECRET = "hunter22hunter22"


@pytest.mark.parametrize(
    "text",
    [
        "api: {tokens: {a: ${S}}}",
        "api: {port: ${S}}",
        "api: {host: ${S}}",
        "candles: {intervals: ['${S}']}",
        "journal: {keep: '${S}', fsync_s: '${S}'}",
        "database: {url: 'mysql://u:${S}@h/d'}",
        "database: {url: 'sqlite://${S}'}",
        "symbols: ['${S}, ${S}']",
        "symbols: [A]\nrealtime: [{provider: '${S}'}]",
        "providers: {kite_ws: {mode: '${S}'}}",
        "providers: {kite_ws: {url: 'wss://h/?api_key=${S}'}}",
        "providers: {kite_ws: {api_key: {x: '${S}'}}}",
        "providers: {kite_ws: {divisors: {CDS: '${S}'}}}",
        "calendar: {file: '${S}'}",
        f"api: {{tokens: [{SECRET}, 1234567890123456]}}\nruntime: {{x: 1}}",
        f"api: {{tokens: {SECRET}}}",
        f"providers: {{kite_ws: {{access_token: [{SECRET}]}}}}",
        f"providers: {{kite_ws: {{access_token: '{SECRET}}}}}",
        f"providers: {{kite_ws: {{access_token: *{SECRET}}}}}",
        f"providers: {{kite_ws: {{access_token: !{SECRET} x}}}}",
        f"providers: {{kite_ws: {{access_token: %{SECRET}}}}}",
        f"database: {{url: 'mysql://me:{SECRET}@h/db'}}",
        f"database: {{url: 'postgresql://me:{SECRET}@h/db', x: 1}}",
    ],
)
def test_no_error_repeats_a_secret(refused: Refuse, text: str) -> None:
    said = "\n".join(refused(text, {"S": SECRET}))

    assert SECRET not in said
    assert "1234567890123456" not in said
    assert "c.yaml:" in said


def test_the_same_key_twice_is_a_mistake(refused: Refuse) -> None:
    assert refused("api: {port: 1}\napi: {port: 2}") == [
        "c.yaml:",
        "  line 2, column 1: the key api stands here twice",
    ]
    assert refused("? [a, b]\n: 1") == ["c.yaml:", "  line 1, column 3: a key must be a word"]


@pytest.mark.parametrize(("key", "named"), [("8080", "8080"), ("true", "1"), ("~", "None"), ("1.5", "1.5")])
def test_a_section_is_named_by_a_word(refused: Refuse, key: str, named: str) -> None:
    assert refused(f"{key}: x\napi: {{port: y}}") == [
        "c.yaml:",
        "  api.port: must be a whole number",
        f"  {named}: keys must be text; put a number into quotes",
    ]


def test_a_list_that_holds_itself_is_a_mistake(refused: Refuse) -> None:
    assert refused("symbols: &all [*all]") == [
        "c.yaml:",
        "  line 1, column 10: found unconstructable recursive node",
    ]


def test_words_stay_words(loaded: Load) -> None:
    config = loaded("symbols: [NO, ON, 0x1F, 1_000, 2026-11-20]\nbackfill: [{provider: csv, at: 16:15}]")

    assert config.symbols == ("NO", "ON", "0x1F", "1_000", "2026-11-20")
    assert config.backfill[0].at == "16:15"


@pytest.mark.parametrize("text", ["- a", "just words", "3"])
def test_a_file_that_is_no_mapping_is_refused(refused: Refuse, text: str) -> None:
    assert refused(text) == ["c.yaml: must be a mapping of keys, like in config/config.example.yaml"]


def test_an_empty_file_means_defaults(loaded: Load) -> None:
    assert loaded("# nothing\n").api.port == 8080


@pytest.mark.parametrize("content", ["- A.NS\n- B.NS\n- A.NS\n", "symbols: [A.NS, B.NS]"])
@pytest.mark.parametrize("place", ["list.yaml", "etc/list.yaml"])
def test_symbols_may_stand_in_a_file_found_from_here_or_beside_the_config(
    here: Path, content: str, place: str
) -> None:
    (here / "etc").mkdir()
    (here / place).write_text(content)
    (here / "etc/c.yaml").write_text("symbols: {file: list.yaml}")

    assert load("etc/c.yaml", {}).symbols == ("A.NS", "B.NS")


def test_a_list_of_symbols_that_is_none_is_refused(here: Path, refused: Refuse) -> None:
    (here / "list.yaml").write_text("A.NS\nB.NS\n")

    assert refused("symbols: {file: list.yaml}")[1].startswith(
        "  symbols.file: list.yaml must be a YAML list of symbols"
    )


def test_what_the_command_line_gave_wins_and_is_blamed_by_itself(loaded: Load, refused: Refuse) -> None:
    config = loaded("api: {port: 1, host: '::1'}", database__url="sqlite:///x.db", api__port=2)
    assert (config.api.port, config.api.host) == (2, "::1")
    assert config.database.url.get_secret_value() == "sqlite:///x.db"

    assert refused("api: {port: x}", database__url="x") == [
        "command line:",
        "  database.url: database url must look like sqlite:///data/mdingest.db or postgresql://user@host/name",
        "c.yaml:",
        "  api.port: must be a whole number",
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "box.lan"])
def test_an_address_others_can_reach_needs_tokens_or_consent(
    loaded: Load, refused: Refuse, host: str
) -> None:
    assert "can be reached from other machines" in refused(f"api: {{host: '{host}'}}")[1]
    assert loaded(f"api: {{host: '{host}', tokens: [x]}}").api.host == host
    assert loaded(f"api: {{host: '{host}', allow_anonymous: true}}").api.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback_needs_no_tokens(loaded: Load, host: str) -> None:
    assert loaded(f"api: {{host: '{host}'}}").api.host == host


def test_an_empty_token_opens_nothing(refused: Refuse) -> None:
    assert refused("api: {tokens: ['']}")[1].startswith("  api.tokens.0: ")


@pytest.mark.parametrize(
    ("url", "instruments", "key"),
    [
        ("wss://ws.kite.trade", "/i.csv", r"url is wss://"),
        ("ws://127.0.0.1:9", "https://api.kite.trade/instruments", "instruments is https://"),
        ("ws://127.0.0.1:9", "HTTPS://api.kite.trade/instruments", "instruments is HTTPS://"),
    ],
)
def test_a_shifted_clock_never_meets_a_real_broker(
    loaded: Load, url: str, instruments: str, key: str
) -> None:
    config = loaded(KITE, KEYS, providers__kite_ws__url=url, providers__kite_ws__instruments=instruments)
    env = {"MDINGEST_CLOCK": "2026-11-20T09:10:00+05:30x10"}

    with pytest.raises(ConfigError, match=rf"providers\.kite_ws\.{key}"):
        read_clock(config, env)
    assert not read_clock(config, {}).shifted


@pytest.mark.parametrize(
    ("providers", "lines"),
    [
        pytest.param(
            '{kite_ws: {api_key: k, access_token: "${KITE_ACCESS_TOKEN}"}}',
            ["kite_ws.access_token: KITE_ACCESS_TOKEN is not set; put it into the environment or .env"],
            id="once, where it was written",
        ),
        pytest.param("{kite_ws: {api_key: k, mode: ltp}}", ["kite_ws.mode: ltp"], id="other keys too"),
        pytest.param(
            "{kite_ws: {api_key: k, session_class: always_}}",
            ["kite_ws.session_class: no session"],
            id="hours",
        ),
        pytest.param("{}", ["kite_ws.api_key: is missing"], id="where a login looks for it"),
        pytest.param(
            "{kite_ws: {api_key: k}, kite: {api_key: ' '}}", ["kite.api_key: is empty"], id="its own key"
        ),
    ],
)
def test_what_a_history_takes_over_is_told_where_it_belongs(
    refused: Refuse, providers: str, lines: list[str]
) -> None:
    told = refused(f"symbols: [A.NS]\nbackfill: [{{provider: kite}}]\nproviders: {providers}")[1:]

    assert len(told) == len(lines)
    for line, expected in zip(told, lines, strict=True):
        assert line.startswith(f"  providers.{expected}")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("calendar: {refresh: true}", r"calendar\.url is https://api\.upstox\.com"),
        (
            "providers: {bhavcopy: {nse: 'http://h', bse: 'http://h', urls: {NSE.CM: 'https://h/{YYYY}{MM}{DD}'}}}",
            r"providers\.bhavcopy\.urls\.NSE\.CM is https://h/",
        ),
    ],
)
def test_a_shifted_clock_never_meets_other_real_addresses_either(loaded: Load, text: str, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        read_clock(loaded(text), {"MDINGEST_CLOCK": "2026-11-20T09:10:00+05:30"})


def test_a_calendar_that_is_not_refreshed_asks_nobody(loaded: Load) -> None:
    assert read_clock(
        loaded("calendar: {refresh: false}"), {"MDINGEST_CLOCK": "2026-11-20T09:10:00Z"}
    ).shifted


def test_a_shifted_clock_may_meet_the_simulator(loaded: Load) -> None:
    config = loaded(
        "symbols: [A]\nrealtime: [{provider: kite_ws}]\nproviders: {kite_ws: {url: 'ws://127.0.0.1:9', "
        "instruments: 'http://127.0.0.1:9/instruments', api_key: a, access_token: b}}"
    )

    assert read_clock(config, {"MDINGEST_CLOCK": "2026-11-20T09:10:00+05:30x10"}).speed == 10
    for wrong in (
        "2026-11-20T09:10:00",
        "9999-12-31T00:00:00Z",
        "1900-01-01T00:00:00Z",
        "2026-11-20T09:10:00Zx",
    ):
        with pytest.raises(ConfigError, match="must be an RFC 3339 instant"):
            read_clock(config, {"MDINGEST_CLOCK": wrong})


def test_reload_reads_the_same_sources_again(here: Path, loaded: Load) -> None:
    config = loaded("symbols: [A.NS]", api__port=7)
    (here / "c.yaml").write_text("symbols: [A.NS, B.NS]")

    again = config.reload()

    assert again.symbols == ("A.NS", "B.NS")
    assert again.api.port == 7


def test_the_effective_configuration_is_whole_and_masked(here: Path, loaded: Load) -> None:
    config = loaded(KITE + "api: {tokens: [topsecret1]}\ndatabase: {url: 'sqlite:///d.db'}", KEYS)
    shown = effective(config)

    for secret in (*KEYS.values(), "topsecret1"):
        assert secret not in shown
    assert "keep: 3d" in shown
    assert "max_bytes: 2GiB" in shown
    assert "url: wss://ws.kite.trade" in shown
    assert "sqlite:///d.db" in shown
    (here / "again.yaml").write_text(shown)
    assert load("again.yaml", {}).journal == config.journal


def test_the_password_of_a_database_is_masked(loaded: Load) -> None:
    shown = effective(loaded("database: {url: 'postgresql://me:hunter22@db.lan:5432/md'}"))

    assert "postgresql://me:***@db.lan:5432/md" in shown


def test_the_brokers_own_history_is_ready_to_fill_the_holes_of_its_feed(loaded: Load) -> None:
    config = loaded(KITE, KEYS)

    assert config.repair.enabled
    assert "kite" in config.providers
    assert "binance" in loaded("realtime: [{provider: binance_ws, symbols: [BTCUSDT.BINANCE]}]").providers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("repair: {providers: {kite_ws: [kitty]}}", "repair.providers.kite_ws: no history provider"),
        ("repair: {providers: {kitews: [kite]}}", "repair.providers.kitews: no provider of this name"),
        ("repair: {provider: {}}", "repair.provider: unknown key; did you mean providers?"),
    ],
)
def test_who_repairs_what_must_exist(refused: Refuse, text: str, said: str) -> None:
    assert any(said in line for line in refused(text))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            "backfill: [{provider: 'bhavcopy, alphavantage', interval: 3m}]",
            ("backfill.0.interval: bhavcopy has no candles of 3m; it has 1d", "of which 3m is made on read"),
        ),
        ("reconcile: [{provider: bhavcopy}]", ("reconcile.0.interval: bhavcopy has no candles of 1m",)),
    ],
)
def test_an_interval_that_no_provider_of_an_entry_has_is_told_before_it_is_due(
    refused: Refuse, entry: str, said: tuple[str, ...]
) -> None:
    (line,) = [line for line in refused(entry) if "interval" in line]
    assert all(part in line for part in said)


def test_one_provider_of_an_entry_may_lack_its_interval(loaded: Load) -> None:
    assert loaded("backfill: [{provider: 'bhavcopy, alphavantage', interval: 1m}]").backfill


def test_a_path_may_begin_at_home(loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/trader")
    config = loaded("journal: {dir: ~/journal}\nproviders: {csv: {files: '~/bars/{symbol}.csv'}}")
    assert config.journal.dir == Path("/home/trader/journal")
    assert "'~" not in str(config.providers["csv"])
    assert "/home/trader/bars/{symbol}.csv" in str(config.providers["csv"])
