"""When something is wrong in a world, and how: while it is, checkers ask less of us."""

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from itertools import accumulate

from holdfast.exchange.faults import ONCE, FaultKind
from holdfast.worlds.acts import AnyAct, BrokerFault, Lasting
from holdfast.worlds.ground import BEGIN_NS


class Troubles:
    """The times in which something is wrong, act by act; deaths add theirs when they come."""

    def __init__(
        self, acts: Sequence[AnyAct], but: Callable[[AnyAct], bool] = lambda _act: False
    ) -> None:
        """`but` tells of which acts nothing is wrong."""
        self._spans = sorted(
            (BEGIN_NS + act.at_ns, BEGIN_NS + act.until_ns)
            for act in acts
            if isinstance(act, Lasting) and not but(act)
        )
        self._index()

    def _index(self) -> None:
        """Know of each span until when it, or one that began before it, lasts at the longest."""
        self._from_ns = [from_ns for from_ns, _ in self._spans]
        self._until_ns = list(accumulate((until_ns for _, until_ns in self._spans), max))

    def add(self, from_ns: int, until_ns: int) -> None:
        """Something is wrong from then until then."""
        insort(self._spans, (from_ns, until_ns))
        self._index()

    def lie_at(self, at_ns: int, within_ns: int) -> bool:
        """Whether something was wrong at a moment, or in the time before it."""
        begun = bisect_right(self._from_ns, at_ns)
        return begun > 0 and at_ns < self._until_ns[begun - 1] + within_ns


def is_others(act: AnyAct) -> bool:
    """Whether it is only that somebody else trades."""
    return isinstance(act, BrokerFault) and act.kind in ONCE


def is_stream(act: AnyAct) -> bool:
    """Whether requests and reads go through all the same: a stream, a stop, or how orders fill."""
    return isinstance(act, BrokerFault) and act.kind.value.startswith(
        ("update_", "stream_", "stop_dropped", "fill")
    )


def is_late_read(act: AnyAct) -> bool:
    """Whether it is only that positions are told later than orders (T5)."""
    return isinstance(act, BrokerFault) and act.kind is FaultKind.BOOK_FILL_BEHIND
