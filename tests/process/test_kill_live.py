"""Show 5 of the wire: the program killed in live mode, at moments drawn by phase, on a real broker's protocol."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from holdfast.domain.event import OperatorRequest
from holdfast.exchange.draws import draw_within
from holdfast.store import query
from tests.support.live_kills import (
    RESTING,
    SECOND_NS,
    Broker,
    Coverage,
    Live,
    is_flat,
    live_orders,
    orders_at,
    placed,
    result_paise,
)
from tests.support.wired import pace

pytestmark = pytest.mark.timeout(1_200)

KILLS: Final = int(os.environ.get("HOLDFAST_LIVE_KILLS", "20"))
"""How many in all: `make kill-live` asks for 200."""

A_DAY: Final = 25 if KILLS > 20 else 10
DAYS: Final = -(-KILLS // A_DAY)

SPEED: Final = 5
"""How much faster than the wall; half of it on a machine that is slow just now."""

PROMISED_NS: Final = 2 * SECOND_NS
"""READY logged, and what is held has its stop resting at the exchange, by the broker's own time."""

STARTS_MAX: Final = 3
"""So often a start may find nobody who answers: at a multiple of the wall's speed time-outs are short."""

PHASES: Final = ("entry", "fill", "stop", "trailing", "exit", "shutdown")
FLOOR: Final = A_DAY // len(PHASES)

ALL: Final[Counter[str]] = Counter()
"""Kills of every day so far in this process."""

JUST_NS: Final = SECOND_NS
"""So long after the request a stop is being placed, a stop is trailed, an exit has just ended."""

DELAYS_US: Final = {
    "entry": 20_000,
    "fill": 3_000,
    "stop": 40_000,
    "trailing": 100_000,
    "exit": 100_000,
    "shutdown": 700_000,
}
"""The longest time from the sign of a phase to the kill, in microseconds of the wall."""


class Day:
    """One day of one broker, and of a program that is killed in it."""

    def __init__(self, home: Path, seed: int) -> None:
        """The broker serves from here on."""
        self.seed = seed
        home.mkdir(parents=True, exist_ok=True)
        self.speed = pace(home, SPEED).speed
        self.broker = Broker(home / "broker", seed=seed, speed=self.speed).start()
        self.broker.fault(
            {"kind": "bad_gateway", "endpoints": ["charts"]},  # no past: see `restless`
            {"kind": "fills_sliced", "quantity": 390, "share": 0.4},
        )
        self.live = Live(home / "own", self.broker)
        self.struck: Counter[str] = Counter()
        self.lives: list[tuple[int, int]] = []
        self.number = 0
        self.bare = 0
        self.told = ""

    def close(self) -> None:
        """Nothing is left running."""
        self.live.kill()
        self.broker.kill()

    def killed(self) -> None:
        """One life: start, wait for the sign of the phase that was struck least, kill."""
        self.number += 1
        phase = min(PHASES, key=lambda one: (self.struck[one], PHASES.index(one)))
        self.start()
        self._await_sign(phase)
        longest = DELAYS_US[phase]
        delay_us = draw_within(self.seed, phase, self.number, low=0, high=longest)
        time.sleep(delay_us / 1e6)  # the moment that was drawn
        at_ns = self.broker.day_ns(time.time_ns())
        was_there = self.live.kill()
        truth = self.broker.told()
        self.lives[-1] = (self.lives[-1][0], at_ns)
        self.bare += Coverage(truth).bare_ns(*self.lives[-1]) != 0
        found = {"shutdown"} if phase == "shutdown" else self._phases(truth, at_ns)
        if was_there:
            self.struck[phase if phase in found else min(found)] += 1
        print(  # noqa: T201 the progress of a Show
            f"day {self.seed} kill {self.number}: aimed at {phase}, {delay_us} us after its sign,"
            f" struck {'+'.join(sorted(found)) if was_there else 'nothing: it had ended'}",
            flush=True,
        )

    def start(self) -> None:
        """Begin a life, and see that it is ready. A machine too busy to answer is asked again."""
        for _ in range(STARTS_MAX):
            self.live.start()
            ready_ns = self.live.until_ready()
            if ready_ns is not None:
                self.lives.append((ready_ns, ready_ns + 86_400 * SECOND_NS))
                self._await_promise(ready_ns)
                return
        raise AssertionError(f"it does not start: {self.live.said()}")

    def _await_promise(self, ready_ns: int) -> None:
        """Leave it as long as was promised, so that every start can be judged."""
        end_ns = ready_ns + PROMISED_NS
        self.live.until("the promised time", lambda: self.broker.day_ns(time.time_ns()) > end_ns)

    def _await_sign(self, phase: str) -> None:
        """Wait for what begins the phase; a person brings about what may be long in coming."""
        if phase == "fill":
            words = len(self.broker.told()["words"])
            self.live.until("a fill", lambda: self._has_filled(words))
            return
        if phase in {"shutdown", "exit"}:
            self.live.until("an open position", self._has_open)
        if phase == "shutdown":
            self.live.ask_stop()
            return
        seen = len(self.live.lines())
        if phase == "exit" and (view := self.live.view()) is not None and view.positions:
            self.live.deed(OperatorRequest.CLOSE, view.positions[0].position)
        self.live.until(
            phase, lambda: any(self._begins(phase, one) for one in self.live.lines()[seen:])
        )

    def _has_filled(self, words: int) -> bool:
        told = self.broker.told(f"truth?requests_after=1000000&words_after={words}")["words"]
        return any(one["side"] == "BUY" and one["filled_quantity"] for one in told)

    def _begins(self, phase: str, line: dict[str, Any]) -> bool:
        """Whether a line of the log shows that a phase begins."""
        return phase in self._of_line(line)

    def _of_line(self, line: dict[str, Any]) -> set[str]:
        order_id, kind = line.get("order_id", ""), line.get("order_type")
        if line["event"] == "PlaceOrder":
            return {"entry" if "-E" in order_id else "stop" if "-S" in order_id else "exit"}
        if line["event"] != "ModifyOrder":
            return set()
        if kind == "LIMIT":
            return {"exit"}
        return {"trailing"} if self.live.changed_trigger(line) else {"stop"}

    def _phases(self, truth: dict[str, Any], at_ns: int) -> set[str]:
        """Where a kill struck, by the truth of then and the last words of the log; often several."""
        orders, found = orders_at(truth, at_ns), set()
        known = {one["correlation_id"] for one in orders}
        for line in self.live.lines():
            is_new = line["event"] == "PlaceOrder" and line["order_id"] not in known
            is_late = line["event"] == "ModifyOrder" and at_ns - line["market_at_ns"] < JUST_NS
            found |= self._of_line(line) if is_new or is_late else set()
        for one in orders:
            found |= _of_order(one, at_ns)
        if any(uncovered > 0 for uncovered in _bare(orders).values()):
            found.add("fill")
        return found or {"elsewhere"}

    def _has_open(self) -> bool:
        view = self.live.view()
        return view is not None and bool(view.positions)

    def end(self) -> dict[str, Any]:
        """Start once more, have everything closed, and stop in order: the truth of the whole day."""
        self.start()
        self.live.deed(OperatorRequest.FLATTEN)
        self.live.until("a flat account", lambda: is_flat(self.broker.told()))
        self.live.until("its own word for it", self._knows_flat)
        self.live.until("what each fill was worth, by the trade book", self._knows_values)
        self.live.ask_stop()
        assert self.live.wait() in {0, 10}, self.live.said()
        return self.broker.told()

    def _knows_flat(self) -> bool:
        view = self.live.view()
        return view is not None and view.is_flat

    def _knows_values(self) -> bool:
        """Mean prices have two digits: the trade book, read twice, makes them exact (T30)."""
        journal, truth = self.live.folder / "journal.db", self.broker.told()
        books = {one.order_id: one for one in query.orders(journal)}
        return not differing(truth, books) and ours_paise(journal) == result_paise(truth)


def ours_paise(journal: Path) -> int:
    """What all positions of the day have made before charges, as they are told now."""
    return sum(one.gross_paise or 0 for one in query.positions(journal))


def _position(order: dict[str, Any]) -> str:
    return str(order["correlation_id"]).split("-")[1][1:]


def _bare(orders: list[dict[str, Any]]) -> Counter[str]:
    """What of each position was filled and neither sold nor in a closing order."""
    bare: Counter[str] = Counter()
    for one in orders:
        filled = one["filled_quantity"]
        bare[_position(one)] += filled if one["side"] == "BUY" else -filled
        if one["side"] == "SELL" and one["status"] in RESTING:
            bare[_position(one)] -= one["quantity"] - filled
    return bare


def _of_order(one: dict[str, Any], now_ns: int) -> set[str]:
    """What an order says about the moment."""
    is_live, is_new = one["status"] in RESTING, now_ns - one["at_ns"] < JUST_NS
    if one["side"] == "BUY":
        return {"fill" if one["filled_quantity"] else "entry"} if is_live else set()
    if not is_live or one["order_type"] == "LIMIT":
        return {"exit"} if is_live or is_new else set()
    return {"stop"} if one["status"] == "TRANSIT" or now_ns - one["created_ns"] < JUST_NS else set()


@pytest.fixture
def day(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Day]:
    """A day whose seed is the test's parameter."""
    made = Day(tmp_path, request.param)
    yield made
    made.close()


@pytest.mark.parametrize("day", range(1, DAYS + 1), indirect=True)
def test_a_day_killed_in_every_phase_owes_nothing_at_its_end(day: Day) -> None:
    """By the broker's own truth: each order once, none forgotten, stops in time, equal results."""
    began_s = time.monotonic()
    while sum(day.struck[one] for one in PHASES) < A_DAY or not _has_floor(day):
        assert day.number < 2 * A_DAY + 10, f"the phases were missed: {day.struck}"
        day.killed()
    truth = day.end()
    found = violations(day, truth)
    ALL.update(day.struck)
    print(  # noqa: T201 a Show
        f"day {day.seed}: {sum(day.struck.values())} kills, {dict(day.struck)},"
        f" {day.live.starts} starts, {len(truth['orders'])} orders, {len(truth['trades'])} trades,"
        f" {day.told}, {time.monotonic() - began_s:.0f} s; violations: {found or 'none'}\n"
        f"in all {sum(ALL.values())} kills: {dict(ALL)}",
        flush=True,
    )
    assert not found
    assert len(truth["orders"]) >= A_DAY


@pytest.mark.parametrize("day", [201], indirect=True)
def test_a_broker_killed_in_mid_position_comes_back_and_nothing_is_lost(day: Day) -> None:
    """First it alone: what is entered stops until it is back. Then both at once, and both go on."""
    day.start()
    for both in (False, True):
        day.live.until("a stop at rest", lambda: _rests(day.broker.told()))
        kept = _rests(day.broker.told())
        day.broker.kill()
        if both:
            day.lives[-1] = (day.lives[-1][0], day.broker.day_ns(time.time_ns()))
            day.live.kill()
        else:
            day.live.until("entries off", lambda: _blocked(day.live))
        day.broker.start()
        assert day.broker.ready["continues"]
        told = {one["correlation_id"] for one in day.broker.told()["orders"]}
        assert kept <= told, "what rested is known"
        if not both:
            day.live.until("entries on again", lambda: not _blocked(day.live))
    truth = day.end()
    found = violations(day, truth)
    print(  # noqa: T201 a Show
        f"the broker killed twice, the program once: {len(truth['orders'])} orders, {day.told};"
        f" violations: {found or 'none'}"
    )
    assert not found


def _blocked(live: Live) -> str | None:
    """What keeps entries off, by the program's own word."""
    view = live.view()
    return "nobody answers" if view is None else view.blocked_by


def _rests(truth: dict[str, Any]) -> set[str]:
    """The stops that rest at the exchange."""
    return {
        one["correlation_id"]
        for one in truth["orders"]
        if (one["status"], one["order_type"]) == ("PENDING", "STOP_LOSS")
    }


def violations(day: Day, truth: dict[str, Any]) -> dict[str, Any]:
    """What a day owes at its end, by the broker's truth; nothing where all holds."""
    ids, coverage = placed(truth), Coverage(truth)
    bare = [coverage.bare_ns(ready_ns, until_ns) for ready_ns, until_ns in day.lives]
    late = [one for one in bare if one is None or one > PROMISED_NS]
    day.told = (
        f"READY to stop at most {max((one or 0) for one in bare) / 1e9:.2f} s of the day at"
        f" {day.speed} times the wall's speed, {sum(1 for one in bare if one)} of {len(bare)} starts"
        " with something bare"
    )
    journal = day.live.folder / "journal.db"
    books = {one.order_id: one for one in query.orders(journal)}
    header = query.day_header(journal)
    assert header is not None
    ended = [one for one in query.positions(journal) if one.state == "closed"]
    found = {
        "orders twice": [one for one, times in Counter(ids).items() if times > 1],
        "orphans": sorted({*live_orders(truth), *(set(ids) - set(books))}),
        "held": not is_flat(truth),
        "short": coverage.least,
        "stops too late": late,
        "tokens too many": len(truth["tokens"]) - 1,
        "fills that differ": differing(truth, books),
        "result that differs": result_paise(truth) - ours_paise(journal),
        "day's result that differs": result_paise(truth) - header.gross_paise,
        "trades told twice or not at all": header.trades - len(ended),
    }
    return {name: one for name, one in found.items() if one}


def _has_floor(day: Day) -> bool:
    """Every phase was struck often enough, and a start found something without a stop."""
    return day.bare >= 1 and all(day.struck[one] >= FLOOR for one in PHASES)


def differing(truth: dict[str, Any], books: dict[str, Any]) -> list[str]:
    """Orders of which the books know other fills than the broker."""
    found = []
    for one in truth["orders"]:
        ours = books.get(one["correlation_id"])
        theirs = (one["filled_quantity"], one["filled_value_paise"])
        if ours is None or (ours.filled_quantity, ours.filled_value_paise) != theirs:
            found.append(f"{one['correlation_id']}: {theirs}")
    return found
