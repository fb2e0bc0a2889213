"""One simulated broker and one program that trades there for real, each a process of its own."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from holdfast.control.operator import Deed, Done
from holdfast.control.socket import NoAnswer, ask, do, socket_path
from holdfast.domain.event import OperatorRequest
from holdfast.store import query, schema
from tests.process.faults.market import DAY
from tests.support.command import START, environment

CLIENT: Final = "1000000001"
SECOND_NS: Final = 1_000_000_000
READY_S: Final = 180.0
TURN_S: Final = 0.01
"""Between two looks at the program: far less than a second of its time."""

CONFIG: Final = """
mode = "live"
[account]
client_id = "{client}"
exit_by = "{exit_by}"
[clock]
start = "{start}"
since_ms = {since_ms}
speed = {speed}
[dhan]
rest_url = "{rest}"
auth_url = "{auth}"
feed_url = "{feed}"
updates_url = "{updates}"
instruments_url = "{instruments}"
[entries]
start_ist = "09:15"
cooldown_s = 0
chase_bps = 500
positions_open_max = 1
trades_per_day_max = 200
spread_bps_max = 2000
[sizing]
capital_rupees = 100000000
lots_max = 2
[exits]
stop_bps = 1500
target_bps = 0
trail_arm_bps = 1000
trail_giveback_bps = 600
[limits]
loss_per_day_rupees_max = 10000000
[strategy.supertrend]
supertrend_period = 3
multiplier_e2 = 150
adx_period = 3
adx_min = 1
confirm = false
warmup_candles = 7
"""
"""Two lots at a time, at every turn of the market; stops far from its waves."""


class Broker:
    """The server, and what can be asked at its control address."""

    def __init__(self, home: Path, *options: str) -> None:
        """Start it; `options` are those of `holdfast sim-broker`."""
        self._home = home
        self._options = options
        self.process: subprocess.Popen[bytes]
        self.ready: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        """Begin, or come back after a kill: with its state, where it was."""
        file = self._home / "ready.json"
        file.unlink(missing_ok=True)
        command = [*START, "sim-broker", "--ready-file", str(file), *self._options]
        with (self._home / "broker.out").open("ab") as out:
            self.process = subprocess.Popen(
                command, cwd=self._home, env=environment(self._home), stdout=out, stderr=out
            )
        try:
            _until(file.exists, "the broker", self.process)
        except AssertionError:
            self.kill()
            raise
        self.ready = json.loads(file.read_text())

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the control address answers, which must be a yes."""
        request = urllib.request.Request(  # noqa: S310 loopback
            f"{self.ready['control']}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=30) as answered:  # noqa: S310 loopback
            return json.loads(answered.read())

    def now_ns(self) -> int:
        """Its time."""
        told: int = self.ask("GET", "/time")["now_ns"]
        return told

    def truth(self, after: "Mark | None" = None) -> dict[str, Any]:
        """The account as it is; what was asked and said only behind a mark."""
        requests, words = (0, 0) if after is None else (after.requests, after.words)
        told: dict[str, Any] = self.ask(
            "GET", f"/truth?requests_after={requests}&words_after={words}"
        )
        return told


class Mark:
    """How far the server's record went at an instant."""

    def __init__(self, truth: dict[str, Any], before: "Mark | None" = None) -> None:
        """`truth` was read behind `before`."""
        self.at_ns: int = truth["at_ns"]
        self.requests: int = len(truth["requests"]) + (0 if before is None else before.requests)
        self.words: int = len(truth["words"]) + (0 if before is None else before.words)
        self.struck: dict[str, int] = truth["struck"]


class Program:
    """`holdfast run` in live mode, both yeses given, and what it answers over its socket."""

    def __init__(self, home: Path, broker: Broker, *, exit_by: str = "modify") -> None:
        """Write its configuration and start it."""
        self.home = home
        self._token: str = broker.ready["token"]
        (home / "holdfast.toml").write_text(
            CONFIG.format(
                client=CLIENT, exit_by=exit_by, **broker.ready["clock"], **broker.ready["urls"]
            )
        )
        account = broker.ready["account"]
        self._env = {
            "DHAN_ACCESS_TOKEN": self._token,
            "DHAN_PIN": account["pin"],
            "DHAN_TOTP_SECRET": account["totp_secret"],
        }
        self._path = socket_path(home / "locks", CLIENT)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Begin, or go on with the day."""
        words = ("--home", str(self.home), "run", "--i-understand-this-is-real-money", CLIENT)
        with (self.home / "program.out").open("ab") as out:
            self.process = subprocess.Popen(
                [*START, *words],
                cwd=self.home,
                env=environment(self.home, **self._env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        return self.process

    def view(self) -> dict[str, Any]:
        """How the account stands by the program; empty while it does not say."""
        try:
            told = json.loads(ask(self._path, "view"))
        except NoAnswer:
            assert self.process.poll() is None, f"the program ended: {self.told()}"
            return {}
        return told or {}

    def do(self, request: OperatorRequest, *, position: int | None = None) -> Done | None:
        """What came of a person's request, `None`: nothing was said in time."""
        try:
            return do(self._path, Deed(do=request, reason="a scenario", position=position))
        except NoAnswer:
            return None

    @property
    def folder(self) -> Path:
        """The run."""
        runs = self.home / "data" / CLIENT / "live" / "runs"
        found = sorted(runs.glob(f".*{DAY.isoformat()}*")) or sorted(runs.glob("*"))
        assert found, f"no run: {self.told()}"
        return found[0]

    def records(self, first: int = 1) -> Iterator[tuple[int, int, Any]]:
        """What its journal holds."""
        return query.records(self.folder / schema.FILE_NAME, first=first)

    def told(self) -> str:
        """What it said."""
        return (self.home / "program.out").read_text(errors="replace")[-3_000:]


class Life:
    """Both of them."""

    def __init__(self, home: Path, broker: Broker, program: Program, speed: int) -> None:
        """They run."""
        self.home, self.broker, self.program, self.speed = home, broker, program, speed

    def until(self, holds: Callable[[dict[str, Any]], Any], what: str, *, within_s: float) -> Any:
        """The first view that is so, within so many seconds of the server's time."""
        ends = time.monotonic() + within_s / self.speed
        view: dict[str, Any] = {}
        while time.monotonic() < ends:
            view = self.program.view() or view
            if view and holds(view):
                return view
            time.sleep(TURN_S)
        raise Missed(f"{what} did not come within {within_s:g} s: {_short(view)}")


class Missed(AssertionError):
    """What was waited for did not come."""


@contextmanager
def living(
    home: Path, *, tape: Path, speed: int, exit_by: str = "modify", begin: str = "09:16:00"
) -> Iterator[Life]:
    """A broker and a program that is ready to enter. Both are gone in the end."""
    home.mkdir(parents=True, exist_ok=True)
    options = ("--tape", str(tape), "--start-ist", begin, "--speed", str(speed))
    broker = Broker(home, *options, "--state", str(home / "state"))
    try:
        program = Program(home, broker, exit_by=exit_by)
        try:
            life = Life(home, broker, program, speed)
            life.until(
                lambda view: view["blocked_by"] is None, "readiness", within_s=READY_S * speed
            )
            yield life
        finally:
            program.process.kill()
            program.process.wait()
    finally:
        broker.kill()


def _until(holds: Callable[[], bool], what: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + READY_S
    while not holds():
        assert process.poll() is None, f"{what} ended before it was ready"
        assert time.monotonic() < ends, f"{what} is not ready"
        time.sleep(TURN_S)


def _short(view: dict[str, Any]) -> str:
    names = ("halt", "blocked_by", "blocked_values", "live_orders", "open_points", "live")
    told = {name: view.get(name) for name in names}
    told["positions"] = [
        {
            name: one[name]
            for name in ("position", "quantity", "is_stop_seen", "exit_rule", "unprotected_ms")
        }
        for one in view.get("positions", ())
    ]
    told["drifts"] = [(one["key"], one["ours"], one["theirs"]) for one in view.get("drifts", ())]
    return json.dumps(told, default=str)


def order_ids(truth: dict[str, Any]) -> list[str]:
    """Our ids of every order that reached the broker, as often as they did."""
    return [one["correlation_id"] for one in truth["orders"] if one["source"] == "P"]


def is_gone(url: str) -> bool:
    """Whether nobody listens there."""
    try:
        urllib.request.urlopen(url, timeout=5)  # noqa: S310 loopback
    except (urllib.error.URLError, OSError):
        return True
    return False
