"""What a person asks of a running program: each request an event of the engine, each answer a fact.

The request goes into the account lane like everything else that decides; the answer comes when the
engine has stepped it and it is on the disk, and says how the account stands then. Asking twice does
nothing twice.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from holdfast.core.engine import Engine
from holdfast.core.view import View
from holdfast.domain.audit import Halted
from holdfast.domain.decision import HaltLevel
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import OperatorAsked, OperatorRequest
from holdfast.domain.instrument import BrokerKey, InstrumentId, Product
from holdfast.ports import Clock

TAKEN_S: Final = 1.5
"""A request that has not been stepped, or is not durable, by then is answered as it stands."""

RESUMABLE: Final = (HaltLevel.NONE, HaltLevel.PAUSE)
"""What `resume` lifts; a flatten or a panic takes `unlock`."""

HALTS: Final = {
    OperatorRequest.PAUSE: HaltLevel.PAUSE,
    OperatorRequest.FLATTEN: HaltLevel.FLATTEN,
    OperatorRequest.PANIC: HaltLevel.PANIC,
}
"""The requests that halt, and how far."""


class Deed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person asks to be done. `key` is that of a drift as `holdfast drift` lists it."""

    do: OperatorRequest
    reason: str = ""
    position: int | None = None
    is_anyway: bool = False
    key: str | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    `refused` says why it was not even told to the engine; empty: it was, unless it `was_done`
    already. `is_taken`: the engine has stepped it; `is_durable`: it is on the disk, and no crash
    forgets it; `is_ending`: nobody takes requests any more, because the program ends. `before` and `after` are how the account stood; `None` while there is no engine yet.
    """

    do: OperatorRequest
    refused: str = ""
    was_done: bool = False
    is_taken: bool = False
    is_durable: bool = False
    is_ending: bool = False
    before: View | None = None
    after: View | None = None


class Desk(Protocol):
    """The day, as the operator sees it."""

    @property
    def engine(self) -> Engine | None:
        """The engine; `None` before the day has begun."""
        ...

    async def ask(self, event: OperatorAsked) -> int | None:
        """Have an event stepped; returns its number, `None` when nobody takes it any more."""
        ...

    async def until_durable(self, sequence: int) -> None:
        """Wait until a number is on the disk. Raises DataRefused when it never will be."""
        ...


class Operator:
    """Takes requests of a person to the engine of one day, and answers."""

    def __init__(self, day: Desk, clock: Clock, write_halt: Callable[[Halted], None]) -> None:
        """`write_halt` puts a halt into its file while there is no engine that would do it."""
        self._day = day
        self._clock = clock
        self._write_halt = write_halt

    def view(self) -> View | None:
        """How the account stands, from memory."""
        engine = self._day.engine
        return None if engine is None else engine.view

    async def do(self, deed: Deed) -> Done:
        """Do it, or say why not. Takes no longer than `TAKEN_S`."""
        before = self.view()
        refused, was_done = _refusal(deed, before), _was_done(deed, before)
        if refused or was_done:
            return Done(do=deed.do, refused=refused, was_done=was_done, before=before, after=before)
        self._halt_first(deed)
        event = OperatorAsked(
            at_ns=self._clock.now_ns(),
            request=deed.do,
            reason=deed.reason,
            position=deed.position,
            is_anyway=deed.is_anyway,
            key=parse_key(deed.key) if deed.key is not None else None,
        )
        done = Done(do=deed.do, before=before)
        return msgspec.structs.replace(done, **await self._asked(event), after=self.view())

    def _halt_first(self, deed: Deed) -> None:
        """A halt is written down before anything else: by us, where no engine is there to do it."""
        level = HALTS.get(deed.do)
        if level is not None and self._day.engine is None:
            self._write_halt(Halted(level=level, reason=deed.reason))

    async def _asked(self, event: OperatorAsked) -> dict[str, bool]:
        """What became of it: stepped, on the disk, or not taken because the program ends."""
        sequence: int | None = None
        try:
            async with asyncio.timeout(TAKEN_S):
                sequence = await self._day.ask(event)
                if sequence is None:
                    return {"is_ending": True}
                await self._day.until_durable(sequence)
        except (TimeoutError, DataRefused):
            return {"is_taken": sequence is not None}
        return {"is_taken": True, "is_durable": True}


def parse_key(text: str) -> BrokerKey | None:
    """The broker key that a person typed, as `holdfast drift` lists it; `None`: it is none."""
    instrument, _, product = text.rpartition(":")
    if not instrument or product not in tuple(Product):
        return None
    return BrokerKey(InstrumentId(instrument), Product(product))


RECOVERING: Final = "the engine is still being recovered: ask again in a moment"


def _refusal(deed: Deed, now: View | None) -> str:
    """Why it is not told to the engine; empty when it is. Nothing refuses a halt."""
    if deed.do in HALTS:
        return ""
    if now is None:
        return RECOVERING
    match deed.do:
        case OperatorRequest.RESUME if now.halt not in RESUMABLE:
            stands = f"halted ({now.halt.value}): {now.halt_reason}"
            return f"{stands}; a flatten or a panic is lifted with: holdfast unlock"
        case OperatorRequest.UNLOCK if (
            now.halt is not HaltLevel.NONE and now.in_the_way is not None
        ):
            return f"not unlocked, {now.in_the_way}: close and explain what is left first"
        case _:
            return _names_nothing(deed, now)


def _names_nothing(deed: Deed, now: View) -> str:
    """Why what a request names is not there; empty when it is, or names nothing."""
    match deed.do:
        case OperatorRequest.CLOSE if deed.position not in (*now.live, *now.closed):
            live = ", ".join(str(number) for number in now.live) or "none"
            return f"there is no position {deed.position}; open: {live}"
        case OperatorRequest.ACKNOWLEDGE if deed.key not in [one.key for one in now.drifts]:
            keys = ", ".join(one.key for one in now.open_drifts) or "none"
            return f"there is no difference {deed.key}; open: {keys}"
        case _:
            return ""


def _was_done(deed: Deed, now: View | None) -> bool:
    """Whether what is asked is so already, and nobody need be told."""
    match deed.do:
        case OperatorRequest.CLOSE:
            return now is not None and deed.position in now.closed
        case OperatorRequest.RESUME | OperatorRequest.UNLOCK:
            return now is not None and now.halt is HaltLevel.NONE
        case _:
            return False
