"""Pure: numpy and the standard library; no I/O, no asyncio, no clock of its own."""
