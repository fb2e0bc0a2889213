"""The broker as a `VenueDriver`: each command is executed by a task, and its end is told as an event.

No policy lives here: rates, repeats and the breaker are the router's. A command ends in exactly one
answer, whatever happens to its task (EXE-6, ORT-3); one order found under two numbers is told twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

import structlog

from holdfast.brokers.asked import GUARDS, what_of
from holdfast.brokers.dhan.bookread import BookReader
from holdfast.brokers.dhan.errors import text_of
from holdfast.brokers.dhan.orders import (
    Call,
    Change,
    action_of,
    answered,
    cancel_call,
    modify_call,
    place_call,
    rupees,
)
from holdfast.brokers.dhan.rest import Answer, CallKind, Credentials, Reply, Rest
from holdfast.brokers.dhan.rows import OrderWords
from holdfast.domain.command import (
    AnyCommand,
    BrokerKillSwitch,
    CancelOrder,
    ExitAll,
    FindOrder,
    GuardRequest,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
    SetLossExit,
    Subscribe,
)
from holdfast.domain.event import (
    AnyEvent,
    GuardAnswered,
    OrderAcknowledged,
    Outcome,
    QuotesRead,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.instrument import Instrument, InstrumentId
from holdfast.domain.market import Tick
from holdfast.ports import Timing

_log = structlog.get_logger("dhan")

NEVER_PROFIT_PAISE: Final = 100_000_000_000
"""The broker's P&L exit wants a profit too, and fires at once where it is reached: this one never is."""

ReadQuotesOf = Callable[[Sequence[InstrumentId]], Awaitable[QuotesRead | ReadFailed | None]]
"""Reads full quotes; `None`: another call takes them along, and its answer tells them."""

Told = Sequence[AnyEvent]


class DhanVenue:
    """Executes commands against the broker. It must be used on one running loop."""

    def __init__(  # noqa: PLR0913 the parts of a broker
        self,
        rest: Rest,
        credentials: Credentials,
        timing: Timing,
        *,
        words: OrderWords,
        contracts: Mapping[InstrumentId, Instrument],
        quotes: ReadQuotesOf,
        tell: Callable[[AnyEvent], None],
        want: Callable[[tuple[InstrumentId, ...]], None] = lambda _instruments: None,
    ) -> None:
        """`contracts` is today's master and may be filled later. `words` are shared with the stream.

        `quotes` reads full quotes, `want` hears of subscriptions, `tell` of every event.
        """
        self._rest = rest
        self._credentials = credentials
        self._timing = timing
        self._words = words
        self._contracts = contracts
        self._quotes = quotes
        self._tell = tell
        self._want = want
        self._reader = BookReader(rest, words, timing)
        self._running: set[asyncio.Task[Told]] = set()

    # -- a VenueDriver

    def submit(self, command: AnyCommand, at_ns: int) -> None:
        """Begin to execute a command; what came of it is told later, never before this returns."""
        del at_ns  # it leaves now
        assert not isinstance(command, Notify), "a venue has nobody to notify"
        if isinstance(command, Subscribe):
            self._want(command.instruments)
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._execute(command), name=type(command).__name__)
        self._running.add(task)
        task.add_done_callback(partial(self._end, command))

    def on_tick(self, tick: Tick) -> None:
        """The market goes on without being told."""

    @property
    def due_ns(self) -> int | None:
        """Nothing is due here: what happens is told when it happens."""
        return None

    def pop_due(self, at_ns: int) -> Sequence[AnyEvent]:
        """Nothing."""
        del at_ns
        return ()

    async def settle(self) -> None:
        """Return when every command was answered, or given up by its time-out."""
        while self._running:
            await asyncio.wait(set(self._running))
            await asyncio.sleep(0)  # what they ended with is told by callbacks

    async def close(self) -> None:
        """Give up what has not been answered: it may have been done, and that is told."""
        for task in self._running:
            task.cancel()
        await self.settle()

    # -- the end of a command

    def _end(self, command: AnyCommand, task: asyncio.Task[Told]) -> None:
        """Tell what came of a command. A task that failed or was cancelled is told too."""
        self._running.discard(task)
        if task.cancelled():
            told: Told = [self._lost(command, "given up while it was under way")]
        elif (error := task.exception()) is not None:
            reason = f"{type(error).__name__}: {error}"
            _log.error("a command failed", command=type(command).__name__, reason=reason)
            told = [self._lost(command, reason)]
        else:
            told = task.result()
        for event in told:
            self._tell(event)

    def _lost(self, command: AnyCommand, reason: str) -> SendFailed | GuardAnswered | ReadFailed:
        """What is said where nobody knows what became of a command."""
        at_ns = self._timing.now_ns()
        match command:
            case PlaceOrder() | ModifyOrder() | CancelOrder():
                return self._failed(command, Outcome.UNANSWERED, reason)
            case ExitAll() | BrokerKillSwitch() | SetLossExit():
                guard = GUARDS[type(command)]
                return GuardAnswered(at_ns=at_ns, guard=guard, is_done=False, reason=reason)
            case FindOrder() | ReadFunds() | ReadBook() | ReadQuotes():
                return ReadFailed(at_ns=at_ns, what=what_of(command), reason=reason)
            case _:
                raise AssertionError(f"{type(command).__name__} is not executed")

    def _failed(self, command: Change, outcome: Outcome, reason: str) -> SendFailed:
        return SendFailed(
            at_ns=self._timing.now_ns(),
            order_id=command.order_id,
            action=action_of(command),
            outcome=outcome,
            reason=reason,
        )

    # -- its execution

    def _execute(self, command: AnyCommand) -> Coroutine[Any, Any, Told]:
        match command:
            case PlaceOrder() | ModifyOrder() | CancelOrder():
                return self._change(command)
            case FindOrder():
                return self._reader.find(command.order_id)
            case ExitAll() | BrokerKillSwitch() | SetLossExit():
                return self._guard(command)
            case _:
                return self._read(command)

    async def _read(self, command: AnyCommand) -> Told:
        match command:
            case ReadBook():
                return [await self._reader.book()]
            case ReadFunds():
                return [await self._reader.funds()]
            case ReadQuotes():
                told = await self._quotes(command.instruments)
                return [] if told is None else [told]
            case _:
                raise AssertionError(f"{type(command).__name__} is no read")

    async def _change(self, command: Change) -> Told:
        """Ask something of an order. What cannot even be asked never left."""
        try:
            call = self._call(command)
        except (KeyError, ValueError) as error:
            return [self._failed(command, Outcome.NOT_SENT, f"{type(error).__name__}: {error}")]
        reply = await self._rest.call(call.method, call.path, body=call.body, kind=call.kind)
        event = answered(command, reply)
        if isinstance(event, OrderAcknowledged):
            return self._acknowledged(command, event)
        return [event]

    def _call(self, command: Change) -> Call:
        """Raises `KeyError` or `ValueError` for what cannot be asked."""
        match command:
            case PlaceOrder():
                contract = self._contracts[command.terms.instrument]
                return place_call(command, contract, self._credentials.client_id)
            case ModifyOrder():
                return modify_call(command, self._credentials.client_id)
            case CancelOrder():
                return cancel_call(command)

    def _acknowledged(self, command: Change, event: OrderAcknowledged) -> Told:
        """The second order under one id has no acknowledgements: they would rename the first (T21).

        Its rows tell what becomes of it.
        """
        if isinstance(command, PlaceOrder):
            self._words.know(event.order_id, event.broker_id)
        first = self._words.number_of(event.order_id)
        return [event] if first in (None, event.broker_id) else []

    # -- the broker's own guards

    async def _guard(self, command: GuardRequest) -> Told:
        reason = ""
        match command:
            case ExitAll():
                reason = _objection(await self._ask("DELETE", "/positions"))
            case BrokerKillSwitch():
                query = {"killSwitchStatus": "ACTIVATE"}
                reason = _not_active(await self._ask("POST", "/killswitch", query=query))
            case SetLossExit():
                reason = await self._set_loss_exit(command.loss_paise)
        guard = GUARDS[type(command)]
        at_ns = self._timing.now_ns()
        return [GuardAnswered(at_ns=at_ns, guard=guard, is_done=not reason, reason=reason)]

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Reply:
        return await self._rest.call(method, path, body=body, query=query, kind=CallKind.GUARD)

    async def _set_loss_exit(self, loss_paise: int) -> str:
        """Set it and read it back (T25); the reason where it does not stand."""
        body: dict[str, object] = {
            "dhanClientId": self._credentials.client_id,
            "profitValue": rupees(NEVER_PROFIT_PAISE),
            "lossValue": rupees(loss_paise),
            "productType": ["INTRADAY", "DELIVERY"],
            "enableKillSwitch": False,
        }
        reason = _objection(await self._ask("POST", "/pnlExit", body=body))
        if reason:
            return reason
        reply = await self._rest.call("GET", "/pnlExit")
        reason = _objection(reply)
        payload = reply.payload if isinstance(reply, Answer) else None
        status = payload.get("pnlExitStatus") if isinstance(payload, dict) else None
        if not reason and status != "ACTIVE":
            reason = f"read back as {status}"
        return reason


def _objection(reply: Reply) -> str:
    """Why something was not done, "" when it was. An empty success is one (dhan.md 1.10)."""
    if not isinstance(reply, Answer):
        return reply.reason
    complaint = text_of(reply.payload)
    if complaint or not reply.is_ok:
        return f"HTTP {reply.status}: {complaint or 'no word why'}"
    return ""


def _not_active(reply: Reply) -> str:
    """The kill switch says in words whether it is on."""
    reason = _objection(reply)
    if reason or not isinstance(reply, Answer) or not isinstance(reply.payload, dict):
        return reason
    said = str(reply.payload.get("killSwitchStatus", "activated"))
    is_on = "activate" in said.lower() and "deactivate" not in said.lower()
    return "" if is_on and "not " not in said.lower() else said
