"""A process that may speak to this machine only: tests run every process so, children too.

An audit hook cannot be taken out again, and sees connections made by any library in this process.
It imports nothing heavy, because it comes before everything else.
"""

import sys
from typing import Any, Final

VARIABLE: Final = "HOLDFAST_LOOPBACK_ONLY"
"""Set to anything in the environment, and the program refuses every other machine."""

_SPEAKING: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"})
_HERE: Final = frozenset({"localhost", "::1", "::ffff:127.0.0.1"})


class StrangerRefused(RuntimeError):
    """Something was about to speak to another machine. No OSError: those are often swallowed."""


def refuse_strangers() -> None:
    """From here on this process speaks to its own machine only."""
    sys.addaudithook(_look)


def _look(event: str, given: tuple[Any, ...]) -> None:
    if event in _SPEAKING:
        address = given[1]
        if isinstance(address, tuple) and not is_loopback(address[0]):
            raise StrangerRefused(f"{event} to {address[0]}: this process speaks to itself only")
    elif event == "socket.getaddrinfo" and given[0] is not None and not is_loopback(given[0]):
        raise StrangerRefused(f"looking up {given[0]!r}: this process speaks to itself only")


def is_loopback(host: str | bytes) -> bool:
    """Whether a host, by its name or address, is this machine. "" is every interface: it is not."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    return name in _HERE or name.startswith("127.")
