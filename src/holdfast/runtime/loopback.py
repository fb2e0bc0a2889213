"""A process that may speak to this machine only: tests run every process so, children too.

An audit hook cannot be taken out again, and sees connections made by any library in this process.
It imports nothing heavy, because it comes before everything else.
"""

import sys
from typing import Any, Final

VARIABLE: Final = "HOLDFAST_LOOPBACK_ONLY"
"""Set to anything in the environment, and the program refuses every other machine."""

_SPEAKING: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"})
_HERE: Final = frozenset({"localhost", "::1", "0:0:0:0:0:0:0:1"})
_LOOKING_UP: Final = frozenset(
    {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
)


class StrangerRefused(RuntimeError):
    """Something was about to speak to another machine. No OSError: those are often swallowed."""


def refuse_strangers() -> None:
    """From here on this process speaks to its own machine only."""
    sys.addaudithook(look)


def look(event: str, given: tuple[Any, ...]) -> None:
    """Take one event of the interpreter's audit. Raises `StrangerRefused`."""
    if event in _SPEAKING:
        address = given[1]
        if isinstance(address, tuple) and not is_loopback(address[0]):
            raise StrangerRefused(f"{event} to {address[0]}: this process speaks to itself only")
    elif event in _LOOKING_UP:
        host = given[0][0] if isinstance(given[0], tuple) else given[0]
        if host is not None and not is_loopback(host):
            raise StrangerRefused(f"looking up {host!r}: this process speaks to itself only")


def is_loopback(host: str | bytes) -> bool:
    """Whether a host, by its name or address, is this machine. "" is every interface: it is not.

    Of names only "localhost" counts: 127.example.com is a name like any other.
    """
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    numbers = name.removeprefix("::ffff:").split(".")
    is_address = len(numbers) == 4 and all(one.isascii() and one.isdecimal() for one in numbers)
    return name in _HERE or (is_address and numbers[0] == "127")
