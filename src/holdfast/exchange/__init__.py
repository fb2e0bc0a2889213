"""The simulated exchange, and a market day made from a seed."""
