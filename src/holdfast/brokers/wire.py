"""The way back from a simulated broker: answers to requests, and the stream that nobody asked."""

from collections.abc import Sequence
from heapq import heappop, heappush

from msgspec.structs import replace

from holdfast.domain.book import ForeignRow
from holdfast.domain.event import AnyEvent, ForeignUpdated, OrderUpdated
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.order import BrokerOrderId, OrderRow
from holdfast.exchange.faults import FaultKind, Faults
from holdfast.exchange.latency import Latency

_Word = OrderUpdated | ForeignUpdated


class Wire:
    """Messages on their way to us, in order of time and then of their making.

    Without faults the words about one order never overtake each other.
    """

    def __init__(self, latency: Latency, faults: Faults) -> None:
        """Nothing is on its way."""
        self._latency = latency
        self._faults = faults
        self._answers: list[tuple[int, int, AnyEvent]] = []
        self._made = 0
        self._named: dict[str, int] = {}
        self._word_due_ns: dict[BrokerOrderId, int] = {}

    @property
    def due_ns(self) -> int | None:
        """When something reaches us next."""
        return self._answers[0][0] if self._answers else None

    def pop_due(self, at_ns: int) -> list[AnyEvent]:
        """What reaches us up to `at_ns`, stamped with its time."""
        events = []
        while self._answers and self._answers[0][0] <= at_ns:
            events.append(heappop(self._answers)[2])
        return events

    def clear(self) -> None:
        """What is on its way is lost."""
        self._answers.clear()

    def count(self) -> int:
        """The number of the next thing that is made here."""
        self._made += 1
        return self._made

    def name(self, subject: str) -> str:
        """Number the messages of one subject from 0."""
        number = self._named.get(subject, 0)
        self._named[subject] = number + 1
        return f"{subject}/{number}"

    def answer(self, event: AnyEvent) -> None:
        """Let an event reach us at its own time."""
        heappush(self._answers, (event.at_ns, self.count(), event))

    def tell(self, rows: Sequence[OrderRow], at_ns: int) -> None:
        """Let the stream speak of orders of ours, as they became at `at_ns`."""
        for row in rows:
            self._stream(OrderUpdated(at_ns=at_ns, row=row), row.terms.instrument)

    def tell_foreign(self, rows: Sequence[ForeignRow], at_ns: int) -> None:
        """Let the stream speak of orders of others, as they became at `at_ns`."""
        for row in rows:
            self._stream(ForeignUpdated(at_ns=at_ns, row=row), row.instrument)

    def word(self, row: OrderRow, due_ns: int, *, is_read: bool = False) -> None:
        """Queue a word about an order, not before the one that was said before it."""
        self._say(OrderUpdated(at_ns=due_ns, row=row, is_read=is_read), due_ns)

    def _stream(self, word: _Word, instrument: InstrumentId) -> None:
        """Send one word through the stream, as it is today."""
        at_ns, name = word.at_ns, self.name(f"update/{word.row.broker_id}")
        due_ns = at_ns + self._latency.update(name)
        if self._is_silent(name, at_ns, instrument):
            return
        again = self._faults.strikes(
            FaultKind.UPDATE_DUPLICATED, name, at_ns, instrument=instrument
        )
        if again is not None:
            self.answer(replace(word, at_ns=due_ns + again.wait_ns))
        late = self._faults.strikes(FaultKind.UPDATE_LATE, name, at_ns, instrument=instrument)
        due_ns += 0 if late is None else late.wait_ns
        overtaken = self._faults.strikes(
            FaultKind.UPDATE_REORDERED, name, at_ns, instrument=instrument
        )
        if overtaken is not None:
            self.answer(replace(word, at_ns=due_ns + overtaken.wait_ns))
        else:
            self._say(word, due_ns)

    def _is_silent(self, name: str, at_ns: int, instrument: InstrumentId) -> bool:
        """Whether nobody hears this word."""
        if any(window.is_on(at_ns) for window in self._faults.of(FaultKind.STREAM_DOWN)):
            return True
        kinds = (FaultKind.STREAM_MUTE, FaultKind.UPDATE_LOST)
        return any(self._faults.strikes(kind, name, at_ns, instrument=instrument) for kind in kinds)

    def _say(self, word: _Word, due_ns: int) -> None:
        broker_id = word.row.broker_id
        due_ns = max(due_ns, self._word_due_ns.get(broker_id, due_ns))
        self._word_due_ns[broker_id] = due_ns
        self.answer(replace(word, at_ns=due_ns))
