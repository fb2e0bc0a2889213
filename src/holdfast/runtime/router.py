"""Commands out: each leaves once, and every id handed over is remembered.

An entry waits until its intent is durable, at most a second; exits, cancels and stops wait for
nothing.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Protocol

import structlog

from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    Severity,
    Subscribe,
)
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import Action, AnyEvent, Outcome, SendFailed
from holdfast.domain.order import OrderId, Purpose
from holdfast.ports import VenueDriver

_log = structlog.get_logger("router")

DURABLE_WAIT_S = 1.0


class DurableJournal(Protocol):
    """What the router asks of the journal before an entry leaves."""

    def wait_durable(self, sequence: int) -> Future[None]:
        """A future that is done once record `sequence` is on the disk."""
        ...


class Router:
    """Hands commands to the venue; refuses to hand an order id over twice, whoever asks."""

    def __init__(
        self,
        venue: VenueDriver,
        journal: DurableJournal,
        fail: Callable[[AnyEvent], None],
        *,
        notify: Callable[[Notify], None] = lambda _notify: None,
    ) -> None:
        """`fail` hears of what did not leave, `notify` of what people should know."""
        self._venue = venue
        self._journal = journal
        self._fail = fail
        self._notify = notify
        self._placed: set[OrderId] = set()
        self.sent = 0

    def execute(self, command: AnyCommand, *, sequence: int, at_ns: int) -> None:
        """Send one command, decided in journal record `sequence` at `at_ns`."""
        match command:
            case PlaceOrder():
                self._place(command, sequence, at_ns)
            case Subscribe():
                self._venue.submit(command, at_ns)
            case Notify():
                level = "warning" if command.severity is Severity.ALARM else "info"
                getattr(_log, level)("notify", severity=command.severity.value, text=command.text)
                self._notify(command)
            case _:
                self._submit(command, at_ns)

    def _submit(self, command: AnyCommand, at_ns: int) -> None:
        """Send it, and then say so: what changes something at the broker is a line of the log."""
        self.sent += 1
        self._venue.submit(command, at_ns)
        if isinstance(command, PlaceOrder | ModifyOrder):
            terms = command.terms
            _log.info(
                type(command).__name__,
                order_id=command.order_id,
                market_at_ns=at_ns,
                side=terms.side.value,
                quantity=terms.quantity,
                instrument=terms.instrument,
                order_type=terms.order_type.value,
                limit_paise=terms.limit_paise,
                trigger_paise=terms.trigger_paise,
            )
        elif isinstance(command, CancelOrder):
            _log.info("CancelOrder", order_id=command.order_id, market_at_ns=at_ns)

    def remember(self, order_ids: Iterable[OrderId]) -> None:
        """Ids that the broker has had, from the record or from its book: none is sent again."""
        self._placed.update(order_ids)

    def _place(self, command: PlaceOrder, sequence: int, at_ns: int) -> None:
        if command.order_id in self._placed:
            self._not_sent(command, at_ns, "this id was already handed to the broker")
            return
        if command.purpose is Purpose.ENTRY and not self._is_durable(sequence):
            self._not_sent(command, at_ns, "the journal could not make the intent durable")
            return
        self._placed.add(command.order_id)
        self._submit(command, at_ns)

    def _is_durable(self, sequence: int) -> bool:
        """Wait for the disk. Virtual time stands still meanwhile: nobody else is waiting."""
        try:
            self._journal.wait_durable(sequence).result(timeout=DURABLE_WAIT_S)
        except (TimeoutError, DataRefused):
            return False
        return True

    def _not_sent(self, command: PlaceOrder, at_ns: int, reason: str) -> None:
        _log.error("order not sent", order_id=command.order_id, reason=reason)
        self._fail(
            SendFailed(
                at_ns=at_ns,
                order_id=command.order_id,
                action=Action.PLACE,
                outcome=Outcome.NOT_SENT,
                reason=reason,
            )
        )
