"""A simulated broker and holdfast in live mode before it: two processes, one home, as a user has them.

Everything is waited for by what can be seen: the ready file, the broker's truth, `holdfast status`.
"""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from tests.support.command import START, environment, holdfast

ACCOUNT: Final = "1000000001"
UNDERSTOOD: Final = ("--i-understand-this-is-real-money", ACCOUNT)
READY_S: Final = 60
HELD: Final = "[exits]\nstop_bps = 3000\ntarget_bps = 0\ntrail_arm_bps = 0\n"
"""Levels so wide that a position stays open for as long as a test looks at it."""

Found = TypeVar("Found")


class LiveDesk:
    """Both processes. `close` ends what still runs."""

    def __init__(self, home: Path, *, start_ist: str, speed: int) -> None:
        """Start the broker, and wait until it serves."""
        self.home = home
        self.program: subprocess.Popen[bytes] | None = None
        self._files: list[IO[bytes]] = []
        ready = home / "ready.json"
        options = ("--start-ist", start_ist, "--speed", str(speed), "--ready-file", str(ready))
        self.broker = self._begin("broker", "sim-broker", *options)
        try:
            self.until("the broker serves", ready.exists)
        except BaseException:
            self.close()
            raise
        self.ready: dict[str, Any] = json.loads(ready.read_text())

    @property
    def config_file(self) -> Path:
        """Where the program looks for its configuration."""
        return self.home / ".config" / "holdfast" / "holdfast.toml"

    @property
    def account_dir(self) -> Path:
        """Everything of the account."""
        return self.home / ".local" / "share" / "holdfast" / ACCOUNT

    def configure(self, *, mode: str = "live", more: str = "") -> None:
        """Write the configuration that trades there."""
        urls, clock = self.ready["urls"], self.ready["clock"]
        lines = [f'mode = "{mode}"', "[account]", f'client_id = "{ACCOUNT}"', "[clock]"]
        lines += [f'start = "{clock["start"]}"', f"since_ms = {clock['since_ms']}"]
        lines += [f"speed = {clock['speed']}", "[dhan]"]
        lines += [f'{name}_url = "{url}"' for name, url in urls.items()]
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text("\n".join(lines) + "\n" + more, "utf-8")

    def keep_passwords(self) -> None:
        """PIN, TOTP secret and API key in the account's private file."""
        account = self.ready["account"]
        names = ("pin", "totp_secret", "app_id", "app_secret")
        self.account_dir.mkdir(parents=True, exist_ok=True)
        file = self.account_dir / "passwords.toml"
        file.touch(mode=0o600)
        file.write_text("".join(f'{name} = "{account[name]}"\n' for name in names), "utf-8")

    def run(self, *options: str, **env: str) -> None:
        """Start the program; what it says goes to `program.out` and `program.err`."""
        self.program = self._begin("program", "run", *(options or UNDERSTOOD), **env)

    def _begin(self, name: str, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        out, err = ((self.home / f"{name}.{end}").open("wb") for end in ("out", "err"))
        self._files += [out, err]
        return subprocess.Popen(
            [*START, *arguments],
            cwd=self.home,
            env=environment(self.home, **env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )

    def said(self) -> str:
        """What the program has said so far."""
        return "".join(
            (self.home / name).read_text(errors="replace")
            for name in ("program.out", "program.err", "broker.err")
            if (self.home / name).exists()
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the broker's control address answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 loopback
            self.ready["control"] + path,
            method=method,
            data=data,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answered:  # noqa: S310 loopback
            told = answered.read()
        return json.loads(told) if told else None

    def truth(self) -> dict[str, Any]:
        """What really happened."""
        told: dict[str, Any] = self.ask("GET", "/truth")
        return told

    def requests(self, endpoint: str = "") -> list[dict[str, Any]]:
        """The order requests that the broker heard, or those to one endpoint."""
        heard: list[dict[str, Any]] = self.truth()["requests"]
        return [one for one in heard if not endpoint or one["endpoint"] == endpoint]

    def tell(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command line beside the program."""
        return holdfast(*arguments, home=self.home)

    def status(self) -> dict[str, Any]:
        """`holdfast status --json`; empty while nothing answers."""
        done = self.tell("status", "--json")
        told: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return told

    def until(
        self, what: str, found: Callable[[], Found | None], within_s: float = READY_S
    ) -> Found:
        """What `found` returns once it is something; fails when a process ends before."""
        until = time.monotonic() + within_s
        while not (told := found()):
            for process in (self.broker, self.program):
                assert process is None or process.poll() is None, f"{what}: ended: {self.said()}"
            assert time.monotonic() < until, f"{what} did not come: {self.said()[-2_000:]}"
            time.sleep(0.1)
        return told

    def until_resting(self) -> dict[str, Any]:
        """Wait for a position whose stop rests at the broker; returns the stop's row of the truth."""

        def stop() -> dict[str, Any] | None:
            rows = self.truth()["orders"]
            resting = (one for one in rows if one["order_type"] == "STOP_LOSS")
            return next((one for one in resting if one["status"] == "PENDING"), None)

        return self.until("a stop", stop, 180)

    def end(self, within_s: float = 30) -> int:
        """Ask the program to end, as Ctrl+C does; returns its exit code."""
        assert self.program is not None
        self.program.send_signal(2)
        return self.program.wait(within_s)

    def close(self) -> None:
        """Leave nothing behind."""
        for process in (self.program, self.broker):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for file in self._files:
            file.close()


def spoken(process: subprocess.Popen[bytes]) -> Sequence[str]:
    """The arguments of a process as `ps` shows them to everybody."""
    raw = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    return [part.decode(errors="replace") for part in raw.split(b"\0")]
