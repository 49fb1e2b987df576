"""Where candles are kept: one contract, several databases."""
