"""Strategies by the names that a configuration uses."""

from typing import Any

import msgspec
import pytest

from holdfast.core.strategy import Warmup
from holdfast.domain.instrument import Segment, instrument_id
from holdfast.strategies.registry import BUILT_IN, make_strategy

NIFTY = instrument_id(Segment.IDX_I, 13)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_built_in_is_made_from_nothing_but_defaults(kind: str) -> None:
    """A kind without parameters is a working strategy that knows its name and what it needs."""
    made = make_strategy(kind, name="mine", underlying=NIFTY, parameters={})
    assert (made.name, made.underlying) == ("mine", NIFTY)
    assert all(need.candles > 0 for need in made.warmup())
    assert made.warmup()


def test_parameters_reach_the_strategy() -> None:
    """What the file says is what the strategy asks for."""
    parameters = {"interval_s": 300, "warmup_candles": 150}
    made = make_strategy("supertrend", name="mine", underlying=NIFTY, parameters=parameters)
    assert made.warmup() == (Warmup(interval_s=300, candles=150),)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"multiplier": 3}, "multiplier"),
        ({"multiplier_e2": 2.5}, "multiplier_e2"),
        ({"multiplier_e2": "200"}, "multiplier_e2"),
        ({"adx_min": 0}, "adx_min"),
        ({"interval_s": 0}, "a candle lasts"),
        ({"confirm": 1}, "confirm"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(parameters: dict[str, Any], named: str) -> None:
    """Unknown, of another type or out of range: nothing is guessed, and the message says which."""
    with pytest.raises(msgspec.ValidationError, match=named):
        make_strategy("supertrend", name="mine", underlying=NIFTY, parameters=parameters)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    """The message lists what there is."""
    with pytest.raises(LookupError, match="no strategy 'supertend'; there are: supertrend"):
        make_strategy("supertend", name="mine", underlying=NIFTY, parameters={})
