"""Zerodha Kite Connect: the live ticker."""
