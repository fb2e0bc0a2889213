"""A process that may speak to its own machine only: the hook sees whatever library speaks."""

import subprocess
import sys

import pytest

from holdfast.runtime.loopback import is_loopback
from tools import CHECKOUT

HOOKED = """
import socket, sys
from holdfast.runtime import loopback
loopback.refuse_strangers()
try:
    ATTEMPT
except loopback.StrangerRefused as refused:
    print(refused)
except OSError as error:
    print("let through")
else:
    print("let through")
"""

UDP = "socket.socket(type=socket.SOCK_DGRAM)"
UDP6 = "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)"


@pytest.mark.parametrize(
    ("attempt", "is_refused"),
    [
        ("socket.create_connection(('192.0.2.1', 9), timeout=1)", True),
        (f"{UDP}.sendto(b'x', ('192.0.2.1', 9))", True),
        ("socket.create_connection(('127.example.com', 9), timeout=1)", True),
        (f"{UDP}.sendmsg([b'x'], [], 0, ('192.0.2.1', 9))", True),
        (f"{UDP6}.sendto(b'x', ('2001:db8::1', 9))", True),
        (f"{UDP6}.sendto(b'x', ('::ffff:192.0.2.1', 9))", True),
        ("socket.getaddrinfo('api.dhan.co', 443)", True),
        ("socket.getaddrinfo('127.0.0.1.example.com', 443)", True),
        ("socket.gethostbyname('api.dhan.co')", True),
        ("socket.gethostbyname_ex('127.example.com')", True),
        ("socket.gethostbyaddr('192.0.2.1')", True),
        ("socket.getnameinfo(('192.0.2.1', 9), 0)", True),
        ("socket.create_server(('0.0.0.0', 0))", True),
        ("socket.create_server(('', 0))", True),
        ("socket.create_server(('127.0.0.1', 0))", False),
        ("socket.create_connection(('127.0.0.1', 1), timeout=1)", False),
        ("socket.getaddrinfo('localhost', 443)", False),
        (f"{UDP}.sendto(b'x', ('127.0.0.1', 9))", False),
        ("socket.socket(socket.AF_UNIX).connect('/nowhere')", False),
    ],
)
def test_other_machines_are_refused_and_this_one_is_not(attempt: str, *, is_refused: bool) -> None:
    """Connections, datagrams, look-ups, and listening for everybody."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HOOKED.replace("ATTEMPT", attempt)],
        env={"PYTHONPATH": str(CHECKOUT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert ("speaks to itself only" in done.stdout) is is_refused, (done.stdout, done.stderr)
    assert is_refused or done.stdout == "let through\n"


@pytest.mark.parametrize(
    "name", ["localhost", b"127.0.0.1", "127.8.8.8", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"]
)
def test_this_machine_by_each_of_its_names(name: str | bytes) -> None:
    """One name, and every way of writing its addresses."""
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "0.0.0.0", "::", "10.0.0.1", "::ffff:8.8.8.8", "127.1", "2130706433"),  # noqa: S104
        *("localhost.example.com", "127.example.com", "127.0.0.1.example.com", "127.0.0.٣"),
    ],
)
def test_nothing_that_only_looks_like_it(name: str) -> None:
    """A name that begins like an address is looked up like any other, elsewhere."""
    assert not is_loopback(name)
