"""Worlds: the whole program against a simulated exchange, in virtual time, under one seed."""
