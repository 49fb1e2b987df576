"""Instants and spans are whole nanoseconds everywhere; instants count from 1970 UTC."""

NS = 1_000_000_000  # a second
MINUTE_NS = 60 * NS
DAY_NS = 86_400 * NS
