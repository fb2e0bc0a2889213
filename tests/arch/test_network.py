"""Tests speak to this machine only."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.runtime.loopback import VARIABLE
from tests.support.command import GUARD, environment
from tests.support.tree import project_files
from tools import CHECKOUT

THERE = ("192.0.2.1", 9)


def by_the_loop() -> None:
    """As the program connects."""
    asyncio.run(asyncio.open_connection(*THERE))


ATTEMPTS: dict[str, Callable[[socket.socket], object]] = {
    "connect": lambda stranger: stranger.connect(THERE),
    "connect_ex": lambda stranger: stranger.connect_ex(THERE),
    "sendto": lambda stranger: stranger.sendto(b"x", THERE),
    "sendmsg": lambda stranger: stranger.sendmsg([b"x"], [], 0, THERE),
    "the loop": lambda _stranger: by_the_loop(),
    "a look-up": lambda _stranger: socket.getaddrinfo("api.dhan.co", 443),
    "an old look-up": lambda _stranger: socket.gethostbyname("api.dhan.co"),
    "a name like an address": lambda _stranger: socket.create_connection(("127.example.com", 9)),
    "listening to everybody": lambda stranger: stranger.bind(("", 0)),
}


@pytest.mark.proves("GWP-2")
@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=list(ATTEMPTS))
def test_another_machine_cannot_be_reached(attempt: Callable[[socket.socket], object]) -> None:
    """The attempt fails the test even where the code under test swallows `OSError`."""
    with (
        socket.socket(type=socket.SOCK_DGRAM) as stranger,
        pytest.raises(pytest.fail.Exception, match="another machine"),
    ):
        attempt(stranger)


def test_this_machine_can() -> None:
    """A listener on loopback is reached as ever."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())


SPEAKS = """
import sys
from holdfast.app import main as module
from holdfast.app.cli import root
class Root:
    def main(self, *args, **how):
        import asyncio, aiohttp
        async def speak():
            async with aiohttp.ClientSession() as session:
                await session.get(sys.argv[1])
        asyncio.run(speak())
root.root = Root()
module.main()
"""


@pytest.mark.proves("GWP-2")
@pytest.mark.parametrize("url", ["http://192.0.2.1:9/", "https://api.dhan.co/v2/profile"])
def test_no_program_that_a_test_starts_reaches_another_machine(url: str, tmp_path: Path) -> None:
    """Neither by address nor by name, whatever library speaks; it ends as a bug does."""
    done = subprocess.run(
        [sys.executable, "-c", SPEAKS, url],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert environment(tmp_path)[VARIABLE] == "1"
    assert done.returncode == 70, done.stderr
    assert "this process speaks to itself only" in done.stderr


STRANGER = f"import socket; socket.create_connection({THERE}, timeout=1)"


@pytest.mark.proves("GWP-2")
@pytest.mark.parametrize("env", [None, {"PYTHONPATH": str(GUARD), VARIABLE: "1"}])
def test_no_other_python_that_a_test_starts_reaches_another_machine(
    env: dict[str, str] | None,
) -> None:
    """Scripts of the tests, and the broker's official client, which knows nothing of holdfast."""
    done = subprocess.run(
        [sys.executable, "-c", STRANGER],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert done.returncode == 1
    assert "this process speaks to itself only" in done.stderr


SETS_ITS_OWN_PATH = {
    "tests/conftest.py": "puts the guard first",
    "tests/support/command.py": "puts the guard first",
    "tests/arch/test_network.py": "tests it",
    "tests/process/test_sdk.py": "the guard alone: an environment of its own",
    "tests/unit/runtime/test_loopback.py": "tries the hook itself",
    "tests/unit/runtime/test_process.py": "ends a process by itself, nothing more",
}


def test_every_path_of_a_python_that_a_test_starts_has_the_guard() -> None:
    """Whoever sets `PYTHONPATH` says `CODE`, or is listed with the reason."""
    own = re.compile(r"PYTHONPATH(?!\": CODE\b)")
    found = {
        path.relative_to(CHECKOUT).as_posix()
        for path in project_files()
        if path.suffix == ".py"
        and "tests" in path.relative_to(CHECKOUT).parts
        and own.search(path.read_text("utf-8"))
    }
    assert found - {"tests/guard/sitecustomize.py"} == set(SETS_ITS_OWN_PATH)
    assert os.environ["PYTHONPATH"].split(os.pathsep)[0] == str(GUARD)
