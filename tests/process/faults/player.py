"""Plays scenarios, one after the other, in one life of broker and program, and judges each."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from holdfast.domain.event import OperatorRequest
from tests.process.faults.life import SECOND_NS, TURN_S, Life, Mark, Missed
from tests.process.faults.scenario import Act, End, Moment, Scenario
from tests.process.faults.watching import (
    PROMISED_MS,
    Bare,
    Watch,
    differences,
    longest_bare_ms,
    nets,
)

APPROACH_S: Final = 500.0
"""So soon a position is held, or an entry is struck: the market turns every two minutes."""

TOLD_S: Final = 60.0
"""So soon a stable read tells of what others hold."""

AGREES_S: Final = 90.0
"""So soon after everything is healed the books are equal, trade book and projections read."""

RISE: Final = {"kind": "gap", "bps": 1_500, "for_s": 40}
FALL: Final = {"kind": "gap", "bps": -2_000, "for_s": 40}


FALLS: Final = 4
"""A stop is touched by a trade, our own rule by a bid that stands: every other fall is its own."""


class NeverStruck(Missed):
    """What was to go wrong found nothing to strike."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a scenario went. `wrong` is empty when everything held; `took_s` of the wall's.

    `bare_ms` is the longest time without a resting stop, by the truth; `unprotected_ms` that without
    a live rule of ours as well.
    """

    name: str
    strikes: int
    bare_ms: int
    unprotected_ms: int
    disarmed: str
    took_s: float
    wrong: str = ""


class Player:
    """Everything that is done to one life."""

    def __init__(self, life: Life) -> None:
        """It is ready."""
        self._life = life
        self._watch = Watch()
        self._before: dict[str, Any] = {}
        self._mark: Mark
        self._number = 0
        self._crossed = 0
        self._known: set[int] = set()

    def play(self, row: Scenario) -> Verdict:
        """One scenario from its approach to its verdict."""
        begun, self._watch, self._number = time.monotonic(), Watch(), 0
        self._crossed = 0
        strikes = bare_ms = unprotected_ms = 0
        try:
            strikes = self._meet(row)
            self._heal(row)
            bare_ms, unprotected_ms = self._judge(row)
            wrong = "; ".join(self._watch.faults)
        except (Missed, Bare) as error:
            wrong = str(error)
        if wrong:
            wrong += self._recover()
        return Verdict(
            name=row.name,
            strikes=strikes,
            bare_ms=bare_ms,
            unprotected_ms=unprotected_ms,
            disarmed=" ".join(self._watch.terms),
            took_s=round(time.monotonic() - begun, 1),
            wrong=wrong,
        )

    # -- until it strikes

    def _meet(self, row: Scenario) -> int:
        """Approach and strike; a fall that our own rule was faster than is waited for again (T18)."""
        for _ in range(FALLS - 1 if row.moment is Moment.TRIGGER else 0):
            self._approach(row)
            with suppress(NeverStruck):
                return self._strike(row)
        self._approach(row)
        return self._strike(row)

    def _approach(self, row: Scenario) -> None:
        if row.moment is Moment.ENTRY or row.is_fresh:
            self._leave()
        if row.moment is not Moment.ENTRY:
            view = self._until(_is_calm, "a calm position", APPROACH_S)
            self._number = view["positions"][0]["position"]
        view = self._watch.last
        self._known = {*view["live"], *view["closed"]}
        self._before = self._life.broker.truth()
        self._mark = Mark(self._before)

    def _leave(self) -> None:
        """Be flat, and ready to enter."""
        view = self._until(_is_settled, "calm", APPROACH_S)
        for held in view["positions"]:
            self._close(held["position"])
        self._until(_is_flat, "the way out", APPROACH_S)

    def _close(self, number: int) -> None:
        for _ in range(5):
            done = self._life.program.do(OperatorRequest.CLOSE, position=number)
            if done is not None and (done.is_taken or done.was_done):
                return
        raise Missed(f"nobody takes the request to close {number}")

    # -- the strike

    def _strike(self, row: Scenario) -> int:
        """Let it go wrong, do our part, wait; returns how often it went wrong."""
        held = self._held()
        faults = [*row.faults, *_moves(row.moment, held)]
        if faults:
            self._life.broker.ask("POST", "/faults", faults)
        self._act(row.act, held)
        if row.moment is Moment.EXIT:
            self._close(self._number)
        if row.moment is Moment.ENTRY:
            self._until_struck(row)
        self._pass(row.for_s)
        truth = self._life.broker.truth(self._mark)
        self._life.broker.ask("DELETE", "/faults")
        return self._strikes(row, truth)

    def _held(self) -> dict[str, Any]:
        for held in self._watch.last["positions"]:
            if held["position"] == self._number:
                return dict(held)
        return {}

    def _until_struck(self, row: Scenario) -> None:
        """The next entry has met every fault."""
        ends = time.monotonic() + APPROACH_S / self._life.speed
        while any(not n for n in self._struck(row, self._life.broker.truth(self._mark)).values()):
            self._look()
            if time.monotonic() > ends:
                raise Missed(f"no entry was struck within {APPROACH_S:g} s")
            time.sleep(5 * TURN_S)

    def _entered(self) -> int:
        """The number of the position whose entry was struck; 0: it never came to be."""
        known = {*self._watch.last["live"], *self._watch.last["closed"]}
        return min(known - self._known, default=0)

    def _struck(self, row: Scenario, truth: dict[str, Any]) -> dict[str, int]:
        kinds = [one["kind"] for one in row.faults]
        return {
            kind: truth["struck"].get(kind, 0) - self._mark.struck.get(kind, 0) for kind in kinds
        }

    def _strikes(self, row: Scenario, truth: dict[str, Any]) -> int:
        struck = self._struck(row, truth)
        missed = [kind for kind, n in struck.items() if n <= 0]
        if missed:
            raise NeverStruck(f"{', '.join(missed)} never struck")
        return sum(struck.values()) + (row.act is not Act.NOTHING)

    def _act(self, act: Act, held: dict[str, Any]) -> None:
        broker = self._life.broker
        match act:
            case Act.LOGIN:
                broker.ask("POST", "/token")
            case Act.LOGIN_TWICE:
                broker.ask("POST", "/token")
                self._pass(200.0)  # ours is made anew by then, two minutes after the one before
                broker.ask("POST", "/token")
            case Act.SQUARE_OFF:
                broker.ask("POST", "/squareoff")
            case Act.SELL_PART | Act.SELL_ALL:
                quantity = held["quantity"] // (2 if act is Act.SELL_PART else 1)
                broker.ask("POST", "/owner", _trade(held["instrument"], "SELL", quantity))
                self._crossed = quantity
            case Act.KILL_BROKER:
                broker.kill()
                broker.start()
            case _:
                pass

    def _pass(self, seconds: float) -> None:
        """Let so many seconds of the server's time go by, looking."""
        ends_ns = self._life.broker.now_ns() + round(seconds * SECOND_NS)
        while self._life.broker.now_ns() < ends_ns:
            self._look()
            time.sleep(TURN_S)

    # -- after it

    def _heal(self, row: Scenario) -> None:
        if self._crossed:
            self._until(lambda view: self._number in view["closed"], "the end", row.heals_s)
            self._give_back()
        if row.heals_s:
            self._until(_is_settled, "healing", row.heals_s)
        elif self._watch.last["blocked_by"] not in row.disarmed:
            raise Missed(f"entries are armed again, or off for {self._watch.last['blocked_by']}")
        if row.moment is Moment.ENTRY:
            self._number = self._entered()
        if row.ends is End.FLAT:
            self._until(lambda view: self._number in view["closed"], "the end", row.heals_s)
        if row.ends is End.OPEN and self._number not in self._watch.last["live"]:
            raise Missed(f"position {self._number} is not held any more")

    def _give_back(self) -> None:
        """
        The owner buys what our exit and his own order sold twice: no more than he sold, and told.

        An exit that left before his sale was heard of cannot know of it. What is then short is his
        (T14): never ours to trade, a difference that keeps entries in its underlying off.
        """
        broker = self._life.broker
        for instrument, quantity in _shorts(broker.truth()).items():
            if quantity > self._crossed:
                raise Missed(f"{quantity} of {instrument} are short, he sold {self._crossed}")
            self._until(lambda view: _shorts_told(view) == quantity, "word of it", TOLD_S)  # noqa: B023
            broker.ask("POST", "/owner", _trade(instrument, "BUY", quantity))

    def _judge(self, row: Scenario) -> tuple[int, int]:
        """Raises Missed for what did not hold; returns for how long no stop, and nothing, protected."""
        self._until_equal()
        if row.disarmed and not set(row.disarmed) & set(self._watch.terms):
            raise Missed(f"entries were not off for {row.disarmed}: {dict(self._watch.terms)}")
        after = self._life.broker.truth(self._mark)
        bare_ms = longest_bare_ms(self._before, after, crossed=self._crossed)
        unprotected_ms = min(bare_ms, self._watch.longest_ms)
        if unprotected_ms > PROMISED_MS and not self._watch.terms:
            raise Missed(f"nothing protected for {unprotected_ms} ms, and entries were armed")
        return bare_ms, unprotected_ms

    def _until_equal(self) -> None:
        ends = time.monotonic() + AGREES_S / self._life.speed
        while found := differences(self._life):
            if time.monotonic() > ends:
                raise Missed("; ".join(found))
            self._look()
            time.sleep(5 * TURN_S)

    def _recover(self) -> str:
        """Make an end of what went wrong, so that the next scenario finds a calm market."""
        if self._life.program.process.poll() is not None:
            return " (the program ended)"
        self._life.broker.ask("DELETE", "/faults")
        self._life.program.do(OperatorRequest.FLATTEN)
        try:
            self._until(lambda view: not view["positions"], "flat", APPROACH_S)
            self._until(self._is_unlocked, "a lifted halt", APPROACH_S)
        except Missed as error:
            return f" (and then: {error})"
        return ""

    def _is_unlocked(self, view: dict[str, Any]) -> bool:
        if view["halt"] == "none":
            return True
        self._life.program.do(OperatorRequest.UNLOCK)
        return False

    # -- looking

    def _look(self) -> None:
        if view := self._life.program.view():
            self._watch.see(view)

    def _until(
        self, holds: Callable[[dict[str, Any]], Any], what: str, within_s: float
    ) -> dict[str, Any]:
        def seen(view: dict[str, Any]) -> bool:
            self._watch.see(view)
            return bool(holds(view))

        found: dict[str, Any] = self._life.until(seen, what, within_s=within_s)
        return found


def _is_settled(view: dict[str, Any]) -> bool:
    """Entries are armed, each position has its stop, nothing is under way."""
    return (
        view["blocked_by"] is None
        and not any(one["is_present"] for one in view["drifts"])
        and all(one["is_stop_seen"] and one["exit_rule"] is None for one in view["positions"])
    )


def _is_calm(view: dict[str, Any]) -> bool:
    return _is_settled(view) and len(view["positions"]) == 1


def _is_flat(view: dict[str, Any]) -> bool:
    return _is_settled(view) and not view["positions"] and not view["live_orders"]


def _moves(moment: Moment, held: dict[str, Any]) -> list[dict[str, Any]]:
    """How the market moves what is held."""
    if moment is Moment.TRAIL:
        return [{**RISE, "instrument": held["instrument"]}]
    if moment is Moment.TRIGGER:
        return [{**FALL, "instrument": held["instrument"]}]
    return []


def _trade(instrument: str, side: str, quantity: int) -> dict[str, Any]:
    security_id = int(instrument.partition(":")[2])
    return {"act": "trade", "security_id": security_id, "side": side, "quantity": quantity}


def _shorts(truth: dict[str, Any]) -> dict[str, int]:
    """What the account is short of, by the truth: contracts of each instrument."""
    return {name: -quantity for name, quantity in nets(truth).items() if quantity < 0}


def _shorts_told(view: dict[str, Any]) -> int:
    """How many contracts the program tells to be short at the broker and not held by us."""
    told = [one for one in view["drifts"] if one["is_present"] and not one["ours"]]
    return sum(max(-int(one["theirs"]), 0) for one in told)
