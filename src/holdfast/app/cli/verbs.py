"""Every verb of the command line, in the order in which help lists them.

A verb's module is imported when the verb is used, so that help and a slip of the hand cost nothing.
"""

import re
from typing import Final, NamedTuple

_PACKAGE: Final = "holdfast.app.cli"


class Verb(NamedTuple):
    """One verb: its words, where its command lives, and what it does in a line."""

    name: str
    module: str
    command: str
    says: str


def _verb(name: str, module: str, says: str) -> Verb:
    return Verb(name, f"{_PACKAGE}.{module}", re.sub("[ -]", "_", name), says)


VERBS: Final = (
    _verb("init", "setup", "Write a configuration that holds every default."),
    _verb("run", "running", "Trade one simulated day and report on it."),
    _verb("replay", "running", "Trade a recorded day again and report on it."),
    _verb("login", "account", "Open a session at the broker, or say how long one lasts."),
    _verb("instruments", "account", "Fetch today's list of contracts and say what is in it."),
    _verb("status", "showing", "Say what runs, and how the newest run stands."),
    _verb("pause", "operating", "Stop entries; exits go on."),
    _verb("resume", "operating", "Lift a pause."),
    _verb("flatten", "operating", "Stop entries and close what is held."),
    _verb("panic", "operating", "Halt, then close everything of ours, whatever runs."),
    _verb("unlock", "operating", "Lift any halt, with or without a run."),
    _verb("close", "operating", "Close one position."),
    _verb("drift", "operating", "List what differs from the broker's book."),
    _verb("drift acknowledge", "operating", "Say that a difference was seen."),
    _verb("positions", "showing", "List the positions of a run."),
    _verb("orders", "showing", "List the orders of a run."),
    _verb("signals", "showing", "List the signals of a run and what became of them."),
    _verb("report", "showing", "Tell what a run came to."),
    _verb("explain", "showing", "Tell why a position, order or signal came to be and ended."),
    _verb("verify", "proving", "Decide a run again and compare every decision."),
    _verb("bundle", "bundling", "Put a run into one file, to be looked at elsewhere."),
    _verb("tape import", "taping", "Turn a recorded file into a tape that can be replayed."),
    _verb("sim-broker", "sim_broker", "Serve a simulated Dhan on this machine."),
    _verb("audit verify", "proving", "Check a run's journal and tape for damage, row by row."),
    _verb("config check", "setup", "Read a configuration as strictly as a run does."),
    _verb("paths", "setup", "Print where everything lies."),
)

SUPERVISED: Final = frozenset({"run", "replay", "sim-broker"})
"""Verbs that trade, or serve who trades: INT and TERM ask them for an orderly end. Others just end."""

FAMILIES: Final = {
    "tape": "Recorded market data.",
    "audit": "The integrity of what was written.",
    "config": "The configuration.",
}
"""What the verbs of two words have in common."""
