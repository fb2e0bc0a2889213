"""Live mode as two real processes on loopback, to be killed: a simulated broker, and the program.

The broker lives on while the program dies; what it says of itself (`GET /truth`) judges both.
"""

import datetime as dt
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.app.cli.ending import ExitCode
from holdfast.control.operator import Deed
from holdfast.control.socket import ask, do, socket_path
from holdfast.core.view import View
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import OperatorRequest
from holdfast.facts.ist import ist_ns
from tests.support.command import START, environment
from tests.support.restless import main as restless
from tools import CHECKOUT

READY_S: Final = 180
READY: Final = "everything is ready"
SECOND_NS: Final = 1_000_000_000

CONFIGURATION: Final = """mode = "live"
[account]
client_id = "{client_id}"
[dhan]
{urls}
[clock]
{clock}
[entries]
start_ist = "09:15"
cooldown_s = 0
positions_open_max = 12
trades_per_day_max = 200
chase_bps = 200
spread_bps_max = 2000
[sizing]
capital_rupees = 20000000
risk_bps = 1000
lots_max = {lots}
[exits]
stop_bps = 400
target_bps = 150
trail_arm_bps = 50
trail_giveback_bps = 100
[limits]
loss_per_day_rupees_max = 10000000
"""
"""Positions that last seconds to minutes, and larger than what stands at the best price."""


class Broker:
    """`holdfast sim-broker` that remembers: it may be killed, and comes back with its truth."""

    def __init__(self, home: Path, *, seed: int, speed: int, underlying: str = "NIFTY") -> None:
        """Nothing runs yet."""
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self._ready_file = home / "broker.json"
        self._command = [
            *(*START, "sim-broker", "--ready-file", str(self._ready_file), "--json"),
            *("--seed", str(seed), "--speed", str(speed), "--start-ist", "09:20"),
            *("--state", str(home / "broker"), "--cash", "100000000"),
            *("--underlying", underlying, "--logged-out", "--transit-ms", "100", "300"),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}

    def start(self) -> "Broker":
        """Run it, for the first time or again; returns once it serves."""
        self._ready_file.unlink(missing_ok=True)
        with (self._home / "broker.stderr").open("ab") as stderr:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._home,
                env=environment(self._home),
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        until("the broker", self._ready_file.exists, alive=self._process, within_s=READY_S)
        self.ready = json.loads(self._ready_file.read_text())
        return self

    def kill(self) -> None:
        """Kill it if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def told(self, what: str = "truth") -> dict[str, Any]:
        """What it says of itself; `truth?words_after=N` leaves out what was told before."""
        url = f"{self.ready['control']}/{what}"
        with urllib.request.urlopen(url, timeout=20) as answered:  # noqa: S310 loopback
            found: dict[str, Any] = json.loads(answered.read())
        return found

    def fault(self, *faults: dict[str, Any]) -> None:
        """Let something go wrong."""
        request = urllib.request.Request(  # noqa: S310 loopback
            f"{self.ready['control']}/faults", method="POST", data=json.dumps(faults).encode()
        )
        with urllib.request.urlopen(request, timeout=20) as answered:  # noqa: S310 loopback
            answered.read()

    def day_ns(self, wall_ns: int) -> int:
        """The broker's time at an instant of the wall."""
        clock = self.ready["clock"]
        start = dt.datetime.fromisoformat(clock["start"])
        seconds = start.hour * 3_600 + start.minute * 60 + start.second
        passed_ns: int = wall_ns - clock["since_ms"] * 1_000_000
        return ist_ns(start.date(), seconds) + passed_ns * int(clock["speed"])


class Live:
    """`holdfast run` in live mode on such a broker, started and killed again and again in one home."""

    def __init__(self, home: Path, broker: Broker, *, lots: int = 20) -> None:
        """Write its configuration: the broker is asked where it is."""
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.broker = broker
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._offset = 0
        self._lines: list[dict[str, Any]] = []
        self.past: list[dict[str, Any]] = []
        ready = broker.ready
        self.client_id: str = ready["account"]["client_id"]
        (home / "holdfast.toml").write_text(
            CONFIGURATION.format(
                client_id=self.client_id,
                lots=lots,
                urls="\n".join(f'{name}_url = "{url}"' for name, url in ready["urls"].items()),
                clock="\n".join(f"{name} = {json.dumps(v)}" for name, v in ready["clock"].items()),
            ),
            "utf-8",
        )

    def start(self) -> None:
        """Run it; its log is read from here on."""
        log = self._log_file()
        self.past += self.lines()
        self._lines, self._offset = [], 0 if log is None else log.stat().st_size
        self.starts += 1
        account = self.broker.ready["account"]
        with (self.home / "stderr").open("ab") as stderr:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", restless.__module__, "--home", str(self.home), "run"),
                    *("--i-understand-this-is-real-money", self.client_id),
                ],
                cwd=CHECKOUT,
                env=environment(
                    self.home,
                    DHAN_PIN=account["pin"],
                    DHAN_TOTP_SECRET=account["totp_secret"],
                ),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def until(self, what: str, holds: Callable[[], Any], within_s: float = READY_S) -> Any:
        """Wait for something that it does; fails when it ends before."""
        assert self._process is not None, "it was started"
        try:
            return until(what, holds, alive=self._process, within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.said()}") from error

    def until_ready(self) -> int | None:
        """When it logged that it is ready, in the day's time; `None`: no broker answered in time."""
        assert self._process is not None, "it was started"
        try:
            found = self.until(READY, lambda: self.logged(READY))
        except AssertionError:
            if self._process.poll() == ExitCode.BROKER_UNAVAILABLE:
                return None
            raise
        stamp = dt.datetime.fromisoformat(found[0]["timestamp"])
        wall = stamp - dt.datetime.fromtimestamp(0, dt.UTC)
        return self.broker.day_ns(round(wall.total_seconds() * 1e6) * 1_000)

    def kill(self) -> bool:
        """Kill it; whether it was still there to be killed."""
        if self._process is None:
            return False
        self._process.kill()
        was_there: bool = self._process.wait() == -signal.SIGKILL
        self._process = None
        return was_there

    def ask_stop(self) -> None:
        """SIGTERM."""
        assert self._process is not None, "it was started"
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Its exit code."""
        assert self._process is not None, "it was started"
        return self._process.wait(READY_S)

    # -- what it says

    @property
    def folder(self) -> Path:
        """The folder of the day's run."""
        runs = self.home / "data" / self.client_id / "live" / "runs"
        found = sorted(runs.glob(".*.new")) or sorted(runs.glob("[!.]*"))
        assert found, f"no run: {self.said()}"
        return found[0]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Lines of its log since the last start that tell of this."""
        return [line for line in self.lines() if line["event"] == event]

    def lines(self) -> list[dict[str, Any]]:
        """Its log since the last start."""
        log = self._log_file()
        if log is not None:
            with log.open("rb") as file:
                file.seek(self._offset)
                whole = file.read().rpartition(b"\n")
            self._offset += len(whole[0]) + len(whole[1])
            self._lines += [json.loads(line) for line in whole[0].splitlines()]
        return self._lines

    def _log_file(self) -> Path | None:
        runs = self.home / "data" / self.client_id / "live" / "runs"
        files = [*runs.glob(".*.new/log.jsonl"), *runs.glob("[!.]*/log.jsonl")]
        return files[0] if files else None

    def changed_trigger(self, line: dict[str, Any]) -> bool:
        """Whether a line asks to modify a stop to another trigger than the last that was asked for."""
        order_id, asked = line["order_id"], []
        for one in (*self.past, *self._lines):
            if one.get("order_id") == order_id and one["event"] in {"PlaceOrder", "ModifyOrder"}:
                asked.append(one["trigger_paise"])
            if one is line:
                break
        return asked[-2:-1] != asked[-1:]

    def said(self) -> str:
        """The end of its stderr and of its log, for a failing test."""
        file = self.home / "stderr"
        stderr = file.read_text(errors="replace")[-2_000:] if file.exists() else ""
        return "\n".join([stderr, *(str(line)[:300] for line in self.lines()[-12:])])

    # -- the operator's hand

    def view(self) -> View | None:
        """How the account stands, from its memory; `None` while nobody answers."""
        try:
            return msgspec.json.decode(ask(self._socket, "view"), type=View | None)
        except DataRefused:
            return None

    def deed(self, request: OperatorRequest, position: int | None = None) -> None:
        """Ask for something, as a person does."""
        do(self._socket, Deed(do=request, reason="a test asks", position=position))

    @property
    def _socket(self) -> Path:
        return socket_path(self.home / "locks", self.client_id)


def until(
    what: str, holds: Callable[[], Any], *, alive: subprocess.Popen[bytes], within_s: float
) -> Any:
    """What `holds` returns once it is something; fails when the process ends or time is over."""
    end = time.monotonic() + within_s
    while not (found := holds()):
        assert alive.poll() is None, f"ended with {alive.returncode} without {what}"
        assert time.monotonic() < end, f"{what} did not come within {within_s} s"
        time.sleep(0.004)
    return found


# -- the truth


def placed(truth: dict[str, Any]) -> list[str]:
    """The correlation ids of the orders that the broker has, in order; those of the owner left out."""
    return [one["correlation_id"] for one in truth["orders"] if one["correlation_id"] != "NA"]


def live_orders(truth: dict[str, Any]) -> set[str]:
    """The correlation ids of the orders that could still fill."""
    return {one["correlation_id"] for one in truth["orders"] if one["status"] in RESTING}


RESTING: Final = ("TRANSIT", "PENDING", "PART_TRADED", "TRIGGERED")
BOOKED: Final = ("PENDING", "PART_TRADED", "TRIGGERED")


def result_paise(truth: dict[str, Any]) -> int:
    """What the day made before charges, by the broker's own sums: only where nothing is held."""
    return sum(one["sold_paise"] - one["bought_paise"] for one in truth["positions"])


def is_flat(truth: dict[str, Any]) -> bool:
    """Nothing is held, nothing could fill."""
    held = [one for one in truth["positions"] if one["bought"] != one["sold"]]
    return not held and not live_orders(truth)


def orders_at(truth: dict[str, Any], at_ns: int) -> list[dict[str, Any]]:
    """Every order as it stood at an instant of the broker's time, by its words until then."""
    ended = {one["order_id"]: one["status"] for one in truth["orders"]}
    found: dict[str, dict[str, Any]] = {}
    for one in truth["words"]:
        if one["at_ns"] <= at_ns and not is_of_modification(one, ended):
            found[one["order_id"]] = one
    return list(found.values())


def is_of_modification(word: dict[str, Any], ended: dict[str, str]) -> bool:
    """Whether a word of REJECTED meant a modification: the order lived on, to `ended` (T15)."""
    is_rejected: bool = word["status"] == "REJECTED"
    return is_rejected and ended[word["order_id"]] != "REJECTED"


class Coverage:
    """How much of each contract was held, and how much a closing order at the exchange covered."""

    def __init__(self, truth: dict[str, Any]) -> None:
        """Fold trades and words, in order of time; within an instant trades come last."""
        self._now: dict[str, dict[str, int]] = {}
        self._net: dict[str, int] = {}
        self.points: list[tuple[int, dict[str, int], dict[str, int]]] = []
        self.least = 0
        ended = {o["order_id"]: o["status"] for o in truth["orders"]}
        happened = [(one["at_ns"], 0, one) for one in truth["words"]]
        happened += [(one["at_ns"], 1, one) for one in truth["trades"]]
        for at_ns, kind, one in sorted(happened, key=lambda each: each[:2]):
            self._take_trade(one) if kind else self._take_word(one, ended)
            self.points.append((at_ns, dict(self._net), self._covered()))

    def _take_trade(self, one: dict[str, Any]) -> None:
        signed = one["quantity"] if one["side"] == "BUY" else -one["quantity"]
        name = one["instrument"]
        self._net[name] = self._net.get(name, 0) + signed
        self.least = min(self.least, self._net[name])

    def _take_word(self, one: dict[str, Any], ended: dict[str, str]) -> None:
        if one["side"] != "SELL":
            return
        orders = self._now.setdefault(one["instrument"], {})
        if one["status"] in BOOKED:
            orders[one["order_id"]] = one["quantity"] - one["filled_quantity"]
        elif not is_of_modification(one, ended):
            orders.pop(one["order_id"], None)

    def _covered(self) -> dict[str, int]:
        return {name: sum(orders.values()) for name, orders in self._now.items()}

    def bare_ns(self, from_ns: int, until_ns: int) -> int | None:
        """How long after `from_ns` all that was held then is covered or sold; `None`: not yet."""
        before = [point for point in self.points if point[0] <= from_ns]
        if not before:
            return 0
        held = {name: net for name, net in before[-1][1].items() if net > 0}
        since = [before[-1], *(p for p in self.points if from_ns < p[0] <= until_ns)]
        covered_ns = {name: _covered_ns(name, net, since) for name, net in held.items()}
        if None in covered_ns.values():
            return None
        return max(
            (at - from_ns for at in covered_ns.values() if at is not None and at > from_ns),
            default=0,
        )


def _covered_ns(
    name: str, net: int, points: list[tuple[int, dict[str, int], dict[str, int]]]
) -> int | None:
    """When at least what was held of one contract is covered, or no longer held."""
    for number, (at_ns, nets, covered) in enumerate(points):
        if covered.get(name, 0) >= min(net, nets.get(name, 0)):
            return points[0][0] if number == 0 else at_ns
    return None
