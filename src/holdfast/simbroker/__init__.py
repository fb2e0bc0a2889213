"""Simulated brokers: servers on loopback that speak a broker's own protocol around the exchange."""
