"""Worlds: the whole program against a simulated exchange, in virtual time, under one seed.

`mixes` draws from a seed what is done to a world (a `Script` of acts), `terms` under which settings
it trades. `world` plays it: the runtime's own code in an event loop of virtual time (`loop`), on a
disk that keeps what would last (`disk`), beside a market and a broker that live on (`outside`).
`truths`, `beliefs` and `endings` are the checkers; `story`, `shrink` and `campaign` are for people.
"""
