"""Tests speak to this machine only."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.runtime.loopback import VARIABLE
from tests.support.command import environment


@pytest.mark.proves("GWP-2")
def test_another_machine_cannot_be_reached() -> None:
    """The attempt fails the test even where the code under test swallows `OSError`."""
    with socket.socket() as stranger, pytest.raises(pytest.fail.Exception, match="this machine"):
        stranger.connect(("192.0.2.1", 9))


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
