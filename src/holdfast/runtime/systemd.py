"""What systemd is told, as its `sd_notify` protocol wants: ready, alive, stopping.

Alive is said only when every loop that must move has moved since it was said last, so that a stuck
program is ended from outside and started again.
"""

import os
import socket
from collections.abc import Mapping
from typing import Final, Self

import structlog

_log = structlog.get_logger("systemd")

_USEC: Final = 1_000_000


class Systemd:
    """The socket of the service manager. What cannot be sent is logged once and not missed."""

    def __init__(self, address: str, *, watchdog_s: float | None = None) -> None:
        """`address` is a path, or a name in the abstract space that begins with `@`."""
        self.watchdog_s = watchdog_s
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)  # noqa: FBT003 the standard library's
        self._moved: dict[str, float] = {}
        self._is_mute = False

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self | None:
        """What the environment names, `None` when no service manager listens."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        return cls(address, watchdog_s=_watchdog_s(environ))

    def ready(self, status: str = "") -> None:
        """The start is over and everything critical is ready."""
        self._send("READY=1", status)

    def stopping(self, status: str = "") -> None:
        """The stop has begun."""
        self._send("STOPPING=1", status)

    def alive(self, progress: Mapping[str, float]) -> bool:
        """Say that the program lives, if each loop in `progress` moved since this was said last.

        `progress` holds the time of each loop's last heartbeat. Returns whether it was said.
        """
        stuck = [name for name, at_s in progress.items() if self._moved.get(name) == at_s]
        if stuck:
            _log.error("not alive for systemd", component="systemd", stuck=stuck)
            return False
        self._moved = dict(progress)
        self._send("WATCHDOG=1", "")
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, what: str, status: str) -> None:
        lines = [what, f"STATUS={status}"] if status else [what]
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._is_mute:
                _log.warning("systemd does not hear", component="systemd", error=str(error))
            self._is_mute = True
        else:
            self._is_mute = False


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """How often systemd wants to hear, when it is this process that it means."""
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / _USEC or None
