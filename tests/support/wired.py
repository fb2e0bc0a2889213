"""The program and the simulated broker as two processes on this machine, and what both say of a day.

The server's truth is read from its control address, the program's books from its database. Neither
is asked through the other.
"""

import datetime as dt
import json
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Tick
from tests.support.command import START, environment

READY_S: Final = 60
CLIENT: Final = "1000000001"
YES: Final = ("--i-understand-this-is-real-money", CLIENT)
DAY: Final = "2026-11-20"
PAGE: Final = 5_000


class Broker:
    """A simulated broker that serves, and its control address."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.ready = ready
        self.token: str = ready["token"]
        self.told: list[Tick] = []
        """The ticks of its market, as far as somebody has asked for them."""

    def ask(self, path: str) -> Any:
        """What the control address tells."""
        with urllib.request.urlopen(f"{self.ready['control']}{path}", timeout=30) as answer:  # noqa: S310 loopback
            return json.load(answer)

    def post(self, path: str, body: object = None) -> Any:
        """Ask it to do something."""
        request = urllib.request.Request(  # noqa: S310 loopback
            f"{self.ready['control']}{path}",
            method="POST",
            data=json.dumps(body if body is not None else {}).encode(),
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 loopback
            return json.load(answer)

    def delete(self, path: str) -> None:
        """Ask it to end something."""
        request = urllib.request.Request(f"{self.ready['control']}{path}", method="DELETE")  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 loopback
            answer.read()

    def wait_open(self, *, is_open: bool = True) -> None:
        """Return once it takes connections, which it may have been told not to, or takes none."""
        rest = urlsplit(self.ready["urls"]["rest"])

        def takes() -> bool:
            try:
                socket.create_connection((rest.hostname, rest.port), timeout=5).close()
            except ConnectionError:
                return False
            return True

        wait_for(lambda: takes() is is_open, "its door does not move", within_s=20)
        self.ask("/time")  # it has cut what it had, too

    def ask_rest(self, method: str, path: str) -> None:
        """Ask the broker itself, as its owner could from anywhere."""
        request = urllib.request.Request(  # noqa: S310 loopback
            f"{self.ready['urls']['rest']}{path}",
            method=method,
            headers={"access-token": self.token},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 loopback
            answer.read()

    def truth(self) -> dict[str, Any]:
        """The account, and everything that was asked of it."""
        told: dict[str, Any] = self.ask("/truth")
        return told

    def learn(self) -> list[Tick]:
        """Every tick that the market has told until now."""
        while part := self.ask(f"/ticks?after={len(self.told)}")["ticks"]:
            self.told += msgspec.convert(part, list[Tick])
        return self.told

    def configuration(self, mode: str, more: str = "", names: Sequence[str] = ("NIFTY",)) -> str:
        """A configuration that trades `names` there; `more` are further sections."""
        clock = (f"{name} = {json.dumps(value)}" for name, value in self.ready["clock"].items())
        urls = (f'{name}_url = "{url}"' for name, url in self.ready["urls"].items())
        lines = [f'mode = "{mode}"', "[account]", f'client_id = "{CLIENT}"']
        lines += [f"underlyings = {json.dumps(names)}", "[clock]", *clock]
        return "\n".join([*lines, "[dhan]", *urls, more])


class Pace(NamedTuple):
    """How fast a day is played here and now, and how long before its open it must be begun."""

    speed: int
    lead_s: int

    def before(self, opens: str) -> str:
        """The time of day at which the server begins so that all is up when the market opens."""
        open_ = dt.datetime.fromisoformat(f"{DAY} {opens}")
        return f"{open_ - dt.timedelta(seconds=self.lead_s * self.speed):%H:%M:%S}"

    def wall_s(self, minutes: int) -> float:
        """How long so many minutes of the day last at most, from the beginning."""
        return 2 * self.lead_s + 60 * minutes / self.speed + 60


SLOW_S: Final = 4.0
"""A machine on which a program takes so long to begin is too busy for the full speed."""


def pace(home: Path, speed: int) -> Pace:
    """The pace that this machine can keep: told by how long the program takes to say its name."""
    began = time.monotonic()
    subprocess.run([*START, "--version"], cwd=home, env=environment(home), check=True)
    took_s = time.monotonic() - began
    return Pace(speed if took_s < SLOW_S else speed // 2, 12 + round(6 * took_s))


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Broker]:
    """A server of its own process for as long as the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / "ready.json"
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*START, "sim-broker", "--ready-file", str(ready), *arguments],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        wait_for(ready.exists, "the server is not ready", within_s=READY_S, going=process)
        yield Broker(json.loads(ready.read_text()))
    finally:
        process.terminate()
        process.wait(20)


def wait_for(
    condition: Callable[[], object],
    what: str,
    *,
    within_s: float,
    going: "subprocess.Popen[Any] | None" = None,
) -> None:
    """Return once `condition` holds; fails when it does not in time, or its process ends first."""
    until = time.monotonic() + within_s
    while not condition():
        assert going is None or going.poll() is None, f"{what}: the process ended"
        assert time.monotonic() < until, what
        time.sleep(0.05)


class Program:
    """`holdfast run` in a home of its own, against a server; begun as often as it is wanted."""

    def __init__(
        self, home: Path, broker: Broker, mode: str, *, settings: str, names: Sequence[str]
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "holdfast.toml").write_text(broker.configuration(mode, settings, names), "utf-8")
        self.home = home
        self._mode = mode
        self._token = broker.token
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Where the run of the day lies."""
        return self.home / "data" / CLIENT / self._mode / "runs" / DAY

    def start(self) -> None:
        """Begin, or go on. In live both yeses are said."""
        self.starts += 1
        said = YES if self._mode == "live" else ()
        out, err = (self._told(stream).open("wb") for stream in ("out", "err"))
        with out, err:
            self.process = subprocess.Popen(
                [*START, "--home", str(self.home), "run", "--json", *said],
                cwd=self.home,
                env=environment(self.home, DHAN_ACCESS_TOKEN=self._token),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def _told(self, stream: str) -> Path:
        return self.home / f"{stream}-{self.starts}.txt"

    def stop(self) -> int:
        """As Ctrl+C does; returns the exit code."""
        assert self.process is not None, "it runs"
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def wait(self, within_s: float) -> dict[str, Any]:
        """What it tells at its end, which must be a clean one."""
        assert self.process is not None, "it runs"
        code = self.process.wait(within_s)
        said = self._told("err").read_text()
        assert code == 0, f"exit {code}\n{said[-3_000:]}"
        told: dict[str, Any] = json.loads(self._told("out").read_text())
        return told

    def kill(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> dict[str, Any]:
        """The line of the log that says how the newest process ended."""
        lines = (self.folder / "log.jsonl").read_text().splitlines()
        words = [line for line in lines if '"Shutdown complete"' in line]
        told: dict[str, Any] = json.loads(words[-1])
        return told


@contextmanager
def program(
    home: Path, broker: Broker, mode: str, settings: str = "", *, names: Sequence[str] = ("NIFTY",)
) -> Iterator[Program]:
    """A program that is gone after the block, whatever happened in it."""
    made = Program(home, broker, mode, settings=settings, names=names)
    try:
        yield made
    finally:
        made.kill()


# -- two books of one day


class Books:
    """What the program's database says of orders, fills, positions and money."""

    def __init__(self, folder: Path) -> None:
        with closing(
            sqlite3.connect(f"file:{folder / 'journal.db'}?mode=ro", uri=True)
        ) as database:
            database.row_factory = sqlite3.Row
            self.orders = [dict(row) for row in database.execute("select * from orders")]
            self.fills = [
                dict(row) for row in database.execute("select * from fills order by sequence")
            ]
            self.positions = [dict(row) for row in database.execute("select * from positions")]
            accounts = database.execute(
                "select account, sum(amount_paise) from postings group by 1"
            )
            self.accounts: dict[str, int] = dict(tuple(row) for row in accounts)

    @property
    def trades(self) -> int:
        """Round trips."""
        return sum(one["state"] == "closed" for one in self.positions)

    def differences(self, truth: Mapping[str, Any], cash_paise: int) -> Iterator[str]:
        """Where they differ from the broker's truth of an account that began with so much cash."""
        yield from self._orders_differ(truth)
        yield from self._fills_differ(truth)
        yield from self._money_differs(truth, cash_paise)

    def _orders_differ(self, truth: Mapping[str, Any]) -> Iterator[str]:
        theirs = [_their_order(one) for one in truth["orders"]]
        ours = [_our_order(one) for one in self.orders]
        yield from (f"order only there: {one}" for one in theirs if one not in ours)
        yield from (f"order only here: {one}" for one in ours if one not in theirs)
        placed = [
            json.loads(one["body"]) for one in truth["requests"] if one["endpoint"] == "place"
        ]
        names = [one["correlationId"] for one in placed]
        yield from (f"sent twice: {name}" for name in {*names} if names.count(name) > 1)

    def _fills_differ(self, truth: Mapping[str, Any]) -> Iterator[str]:
        """Ours stand at some of their fills and at the last one, each to the paisa."""
        for order in truth["orders"]:
            name = order["correlation_id"]
            theirs = _running(
                (one["quantity"], one["quantity"] * one["price_paise"])
                for one in truth["trades"]
                if one["order_id"] == order["order_id"]
            )
            ours = _running(
                (one["quantity"], one["value_paise"])
                for one in self.fills
                if one["order_id"] == name
            )
            if theirs[-1:] != ours[-1:] or not {*ours} <= {*theirs}:
                yield f"fills of {name}: {ours}, not {theirs}"

    def _money_differs(self, truth: Mapping[str, Any], cash_paise: int) -> Iterator[str]:
        """What the positions brought is what the broker's cash has grown by."""
        gross = sum(one["gross_paise"] or 0 for one in self.positions)
        grown = truth["cash_paise"] - cash_paise
        if gross != grown:
            yield f"result before charges: {gross}, not {grown}"
        charges = sum(one["charges_paise"] or 0 for one in self.positions)
        net = sum(one["net_paise"] or 0 for one in self.positions)
        if net != gross - charges:
            yield f"net result: {net}, not {gross} without {charges}"
        if sum(self.accounts.values()):
            yield f"the postings do not balance: {self.accounts}"


def _running(rows: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Quantity and value after each row; what only corrects a value belongs to the one before."""
    points: list[tuple[int, int]] = []
    quantity = value = 0
    for more, worth in rows:
        quantity, value = quantity + more, value + worth
        if more:
            points.append((quantity, value))
        elif points:
            points[-1] = quantity, value
    return points


_STATES: Final = {"TRADED": "filled", "CANCELLED": "cancelled", "REJECTED": "rejected"} | {
    "EXPIRED": "expired"
}


_ORDER: Final = (
    "order_id",
    "broker_id",
    "instrument",
    "product",
    "side",
    "order_type",
    "quantity",
    "limit_paise",
    "trigger_paise",
    "state",
    "filled_quantity",
    "filled_value_paise",
)


def _their_order(one: Mapping[str, Any]) -> tuple[Any, ...]:
    state = _STATES.get(one["status"], one["status"])
    kind = {"STOP_LOSS": "STOP_LIMIT"}.get(one["order_type"], one["order_type"])
    words = one["correlation_id"], one["order_id"], one["instrument"], one["product"], one["side"]
    prices = kind, one["quantity"], one["price_paise"], one["trigger_paise"] or None
    return (*words, *prices, state, one["filled_quantity"], one["filled_value_paise"])


def _our_order(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(one[name] for name in _ORDER)


def is_flat(truth: Mapping[str, Any]) -> bool:
    """Nothing is held and nothing works."""
    live = [
        one for one in truth["orders"] if one["status"] in {"TRANSIT", "PENDING", "PART_TRADED"}
    ]
    return not live and all(one["bought"] == one["sold"] for one in truth["positions"])


def holding(truth: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """The stops that rest while something is held."""
    is_held = any(one["bought"] != one["sold"] for one in truth["positions"])
    words = "STOP_LOSS", "PENDING"
    stops = [one for one in truth["orders"] if (one["order_type"], one["status"]) == words]
    return stops if is_held else []


# -- the market, told and heard


def content(tick: Tick) -> tuple[Any, ...]:
    """What a tick says of the market, but for when it was received."""
    return tick.last_paise, tick.venue_at_ns, tick.volume, tick.oi, tick.bids, tick.asks


def strange(heard: Iterable[Tick], told: Iterable[Tick]) -> tuple[int, list[Tick]]:
    """How many ticks were compared, and those that are no state in which the market stood by then.

    A feed leaves states out and says again what stands. Where two connections bring one contract,
    the later of them may tell an older book of the same trade; no trade ever goes back.
    """
    states: dict[InstrumentId, list[tuple[Any, ...]]] = {}
    for tick in told:
        states.setdefault(tick.instrument, []).append(content(tick))
    places: Counter[InstrumentId] = Counter()
    found, compared = [], 0
    for tick in heard:
        own, state = states.get(tick.instrument, []), content(tick)
        place = places[tick.instrument]
        compared += 1
        if state in own[place:]:
            places[tick.instrument] = own.index(state, place)
        elif state not in own or state[:TRADE] != own[place][:TRADE]:
            found.append(tick)
    return compared, found


TRADE: Final = 3
"""So many of the figures of a state tell its last trade: price, time, volume of the day."""
