"""The asyncio part: connections, journal, aggregator, writer, and their supervision."""
