"""What systemd hears, over a real datagram socket."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from holdfast.runtime.systemd import Systemd


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)  # noqa: FBT003 the standard library's
        self.address = address

    def heard(self) -> list[str]:
        """Every datagram since the last call."""
        lines = []
        while True:
            try:
                lines.append(self._socket.recv(4_096).decode())
            except BlockingIOError:
                return lines

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """One that listens, in both spaces of names."""
    name = f"@holdfast-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "n")
    listening = Manager(name)
    yield listening
    listening.close()


def test_it_is_told_ready_alive_and_stopping(manager: Manager) -> None:
    """Each in one datagram, with a line for people where there is one."""
    systemd = Systemd.of({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000"})
    assert systemd is not None
    assert systemd.watchdog_s == 3.0
    systemd.ready("NIFTY")
    assert systemd.alive({"engine": 1.0})
    systemd.stopping("signal 15")
    systemd.close()
    assert manager.heard() == [
        "READY=1\nSTATUS=NIFTY",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=signal 15",
    ]


def test_alive_is_said_only_when_every_loop_has_moved(manager: Manager) -> None:
    """One that stands still silences it, however busy the others are; it is named in the log."""
    systemd = Systemd(manager.address)
    rows: list[tuple[dict[str, float], bool]] = [
        ({"engine": 1.0, "feed": 1.0}, True),
        ({"engine": 2.0, "feed": 1.0}, False),
        ({"engine": 3.0, "feed": 1.0}, False),
        ({"engine": 4.0, "feed": 2.0}, True),
        ({"engine": 4.0, "feed": 3.0}, False),
        ({"engine": 5.0}, True),
        ({"engine": 6.0, "feed": 3.0}, True),
        ({}, True),
    ]
    with structlog.testing.capture_logs() as logs:
        assert [systemd.alive(progress) for progress, _ in rows] == [said for _, said in rows]
    systemd.close()
    assert manager.heard() == ["WATCHDOG=1"] * sum(said for _, said in rows)
    assert [line["stuck"] for line in logs] == [["feed"], ["feed"], ["engine"]]


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_interval_is_that_for_this_process(
    environ: dict[str, str], watchdog_s: float | None
) -> None:
    """A child that inherits the environment is not meant."""
    systemd = Systemd.of({"NOTIFY_SOCKET": "@holdfast-nobody", **environ})
    assert systemd is not None
    assert systemd.watchdog_s == watchdog_s
    systemd.close()


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_manager_there_is_nothing_to_tell(environ: dict[str, str]) -> None:
    """Started by hand, or by something that speaks otherwise."""
    assert Systemd.of(environ) is None


def test_a_manager_that_does_not_hear_changes_nothing(tmp_path: Path) -> None:
    """It is logged once for each time that it goes, and never raised or waited for."""
    address = str(tmp_path / "n")
    systemd = Systemd(address)
    acts: list[Callable[[], object]] = [systemd.ready, systemd.ready, systemd.stopping]
    with structlog.testing.capture_logs() as logs:
        for act in acts:
            act()
        listening = Manager(address)
        systemd.ready()
        assert listening.heard() == ["READY=1"]
        full = 0
        while len(logs) < 2:  # nobody reads: its queue fills, and then it is not waited for
            full += 1
            systemd.ready()
        listening.close()
    assert full > 1
    systemd.close()
    assert {line["event"] for line in logs} == {"systemd does not hear"}
