"""The engine's state as bytes and back: exact, whole, and without a way to execute anything.

Objects are taken apart by their own attributes, so that a new one cannot be forgotten. Only the
classes named here are made again, and only from plain values; what is shared stays shared, and
dicts keep their order.
"""

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

import msgspec

from holdfast.core.books.charges import Charges
from holdfast.core.books.positions import Holding, Position
from holdfast.core.books.postings import Account, Ledger
from holdfast.core.market.candles import CandleBuilder, CandleSeries, Forming
from holdfast.core.market.history import HistoryFold
from holdfast.core.market.prints import Prints
from holdfast.core.market.quotes import Connection, Quote
from holdfast.core.orders.order import Fill, Order
from holdfast.core.settings import EngineSettings
from holdfast.core.state import (
    Access,
    BookWatch,
    DayCount,
    Drifted,
    GuardWatch,
    LossWatch,
    Outbox,
    PathWatch,
    State,
)
from holdfast.core.strategy import Fed
from holdfast.core.timers import Rank, TimerKey, Timers
from holdfast.domain.audit import OF_BOOKS
from holdfast.domain.book import ForeignRow
from holdfast.domain.dated import DayFacts
from holdfast.domain.decision import Direction, Exit, ExitPlan, HaltLevel, Intent
from holdfast.domain.event import Action, BookRead, Link, PositionCarried, ServiceState
from holdfast.domain.instrument import BrokerKey, Exchange, Instrument, Product
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import BrokerStatus, OrderState, OrderTerms, Purpose, Refusal, Side

_OBJECTS: Final = (
    Access, BookWatch, CandleBuilder, CandleSeries, Connection, DayCount, Forming, GuardWatch,
    HistoryFold, Ledger, LossWatch, Order, Outbox, PathWatch, Position, Prints, Quote, State, Timers,
)  # fmt: skip
_VALUES: Final = (
    BookRead, Candle, Charges, DayFacts, Drifted, EngineSettings, Exit, ExitPlan, Fed, ForeignRow,
    Instrument, Intent, OrderTerms, PositionCarried, Tick, *OF_BOOKS,
)  # fmt: skip
_ENUMS: Final = (
    Account, Action, BrokerStatus, Direction, Exchange, HaltLevel, Link, OrderState, Product,
    Purpose, Rank, Refusal, ServiceState, Side,
)  # fmt: skip
_TUPLES: Final = (BrokerKey, Fill, Holding, TimerKey)

_NAMES: Final[Mapping[type, str]] = {
    kind: kind.__name__ for kind in (*_OBJECTS, *_VALUES, *_ENUMS, *_TUPLES)
}
_CLASSES: Final[Mapping[str, Any]] = {name: kind for kind, name in _NAMES.items()}
_PLAIN: Final = frozenset({type(None), bool, int, float, str})


class ImageUnusable(Exception):
    """The bytes are no image of a state that this code knows."""


def encode(root: Mapping[str, object]) -> bytes:
    """The values of `root` with everything that they hold. Asserts that all of it is known."""
    return msgspec.msgpack.encode(_Taking().take(dict(root)))


def decode(image: bytes) -> dict[str, Any]:
    """What was encoded, made anew. Raises `ImageUnusable`."""
    try:
        made = _Making().make(msgspec.msgpack.decode(image))
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ImageUnusable(f"{type(error).__name__}: {error}") from error
    if not isinstance(made, dict):
        raise ImageUnusable("it holds no state")
    return made


class _Taking:
    """Takes a graph apart into tagged lists; an object that was met before is named by its number.

    Values are written out each time: that two of them are one and the same means nothing.
    """

    def __init__(self) -> None:
        self._met: dict[int, int] = {}
        self._kept: list[object] = []

    def take(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        taker = _TAKERS.get(kind)
        if taker is not None:
            return taker(self, value)
        assert kind in _NAMES, f"{kind.__name__} is no part of the engine's state"
        return self._known(kind, value)

    def _known(self, kind: type, value: Any) -> Any:
        if issubclass(kind, Enum):
            return ["e", _NAMES[kind], value.value]
        if issubclass(kind, tuple):
            return ["n", _NAMES[kind], [self.take(item) for item in value]]
        if issubclass(kind, msgspec.Struct):
            return ["s", _NAMES[kind], value]
        number = self._met.get(id(value))
        if number is not None:
            return ["r", number]
        self._met[id(value)] = len(self._kept)
        self._kept.append(value)  # alive until the end, so that no other gets its identity
        parts = {name: self.take(part) for name, part in _attributes(value)}
        return ["o", _NAMES[kind], parts]

    def take_list(self, value: list[Any]) -> Any:
        return self._row("l", value, None)

    def take_deque(self, value: deque[Any]) -> Any:
        return self._row("q", value, value.maxlen)

    def _row(self, tag: str, value: Any, length_max: int | None) -> Any:
        """A row of values of one class (candles above all) is left to the codec, at its speed."""
        kind = type(value[0]) if value else None
        is_struct = kind is not None and kind in _NAMES and issubclass(kind, msgspec.Struct)
        if kind is not None and is_struct and all(type(item) is kind for item in value):
            return [tag, length_max, _NAMES[kind], list(value)]
        return [tag, length_max, None, [self.take(item) for item in value]]

    def take_tuple(self, value: tuple[Any, ...]) -> Any:
        return ["t", [self.take(item) for item in value]]

    def take_dict(self, value: dict[Any, Any]) -> Any:
        return ["d", [[self.take(key), self.take(item)] for key, item in value.items()]]

    def take_set(self, members: set[Any]) -> Any:
        return ["S", [self.take(item) for item in sorted(members)]]


_TAKERS: Final[Mapping[type, Callable[[_Taking, Any], Any]]] = {
    list: _Taking.take_list,
    deque: _Taking.take_deque,
    tuple: _Taking.take_tuple,
    dict: _Taking.take_dict,
    set: _Taking.take_set,
}


def _attributes(value: object) -> list[tuple[str, Any]]:
    slots: tuple[str, ...] | None = getattr(type(value), "__slots__", None)
    if slots is None:
        return list(vars(value).items())
    return [(name, getattr(value, name)) for name in slots]


class _Making:
    """Makes the graph anew, in the order in which it was taken apart."""

    def __init__(self) -> None:
        self._made: list[Any] = []

    def make(self, value: Any) -> Any:
        if not isinstance(value, list):
            if type(value) not in _PLAIN:
                raise ImageUnusable(f"a bare {type(value).__name__}")
            return value
        return _MAKERS[value[0]](self, *value[1:])

    def make_enum(self, name: str, value: Any) -> Any:
        return _class(name, _ENUMS)(value)

    def make_named(self, name: str, items: list[Any]) -> Any:
        return _class(name, _TUPLES)(*(self.make(item) for item in items))

    def make_again(self, number: int) -> Any:
        return self._made[number]

    def make_struct(self, name: str, fields: Any) -> Any:
        return msgspec.convert(fields, type=_class(name, _VALUES))

    def make_object(self, name: str, parts: dict[str, Any]) -> Any:
        kind = _class(name, _OBJECTS)
        made = kind.__new__(kind)
        self._made.append(made)
        for attribute, part in parts.items():
            if attribute.startswith("__"):
                raise ImageUnusable(f"{name} has no {attribute}")
            setattr(made, attribute, self.make(part))
        return made

    def make_list(self, _length_max: None, name: str | None, items: list[Any]) -> Any:
        if name is None:
            return [self.make(item) for item in items]
        return msgspec.convert(items, type=list[_class(name, _VALUES)])  # type: ignore[misc]

    def make_deque(self, length_max: int | None, name: str | None, items: list[Any]) -> Any:
        return deque(self.make_list(None, name, items), maxlen=length_max)

    def make_tuple(self, items: list[Any]) -> Any:
        return tuple(self.make(item) for item in items)

    def make_dict(self, items: list[Any]) -> Any:
        return {self.make(key): self.make(item) for key, item in items}

    def make_set(self, items: list[Any]) -> Any:
        return {self.make(item) for item in items}


_MAKERS: Final[Mapping[str, Callable[..., Any]]] = {
    "e": _Making.make_enum,
    "n": _Making.make_named,
    "r": _Making.make_again,
    "s": _Making.make_struct,
    "o": _Making.make_object,
    "l": _Making.make_list,
    "q": _Making.make_deque,
    "t": _Making.make_tuple,
    "d": _Making.make_dict,
    "S": _Making.make_set,
}


def _class(name: str, allowed: tuple[Any, ...]) -> Any:
    kind = _CLASSES[name]
    if kind not in allowed:
        raise ImageUnusable(f"{name} stands where it cannot")
    return kind
