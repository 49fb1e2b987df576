from mdingest.core.rank import BY_NAME, SOURCES
from mdingest.store.rows import precedence_rows


def test_ranks_weigh_more_than_any_place_in_the_order() -> None:
    order = [source.name for source in SOURCES]
    weight = {(row[0], row[1], row[2]): row[4] for row in precedence_rows(order)}
    yahoo, alpha, csv, kite_ws = (BY_NAME[n].id for n in ("yfinance", "alphavantage", "csv", "kite_ws"))
    assert weight[yahoo, 0, 1] < weight[kite_ws, 1, 0] < weight[alpha, 0, 0]
    assert weight[alpha, 0, 0] < weight[yahoo, 0, 0] < weight[csv, 0, 0] < weight[kite_ws, 0, 0]


def test_sources_without_a_place_weigh_the_same_within_their_rank() -> None:
    weight = {(row[0], row[1], row[2]): row[4] for row in precedence_rows(["kite"])}
    upstox, binance, kite = (BY_NAME[name].id for name in ("upstox", "binance", "kite"))
    assert weight[upstox, 0, 0] == weight[binance, 0, 0] < weight[kite, 0, 0]
