"""Choosing and pricing option contracts: pure functions of strikes, expiries and prices."""
