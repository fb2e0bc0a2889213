"""The strategies that come with the package, by the name that a configuration calls them by."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.core.strategy import Strategy
from holdfast.domain.instrument import InstrumentId
from holdfast.strategies.supertrend import SupertrendAdx, SupertrendSettings


class BuiltIn(NamedTuple):
    """How to make one strategy: the type of its parameters, and what takes them.

    `make` is called with keywords `name`, `underlying` and `settings`, the last of type
    `settings_type`.
    """

    settings_type: type[msgspec.Struct]
    make: Callable[..., Strategy]


BUILT_IN: Final[Mapping[str, BuiltIn]] = MappingProxyType(
    {"supertrend": BuiltIn(SupertrendSettings, SupertrendAdx)}
)


def make_strategy(
    kind: str, *, name: str, underlying: InstrumentId, parameters: Mapping[str, Any]
) -> Strategy:
    """A strategy of one kind from parameters as a file holds them.

    Raises `LookupError` on an unknown kind, naming the known ones, and `msgspec.ValidationError`
    on a parameter that is unknown, of another type or out of its range.
    """
    if kind not in BUILT_IN:
        raise LookupError(f"no strategy {kind!r}; there are: {', '.join(sorted(BUILT_IN))}")
    built_in = BUILT_IN[kind]
    settings = msgspec.convert(dict(parameters), built_in.settings_type)
    return built_in.make(name=name, underlying=underlying, settings=settings)
