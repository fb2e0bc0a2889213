"""The underlying that a recording lacks: the parity forward of one strike, tick by tick."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from holdfast.domain.instrument import Instrument, OptionType
from holdfast.store.columns import DEPTH
from holdfast.store.imports.recording import Book, Ints, Recording

FRESH_NS: Final = 5_000_000_000


class Forward(NamedTuple):
    """The synthetic underlying: behind which rows it ticks, at what price, traded when."""

    legs: tuple[Instrument, Instrument]
    at: Ints
    last: Ints
    venue_ns: Ints


def parity_forward(
    recording: Recording, book: Book, contracts: Sequence[Instrument]
) -> Forward | None:
    """The parity forward of the pair that ticks most; `None` when no strike has both legs."""
    pair = _pair(recording, contracts)
    if pair is None:
        return None
    call, put = pair
    at = np.flatnonzero(np.isin(recording.symbol, pair))
    latest = [
        np.maximum.accumulate(np.where(recording.symbol[at] == leg, np.arange(len(at)), -1))
        for leg in pair
    ]
    both = (latest[0] >= 0) & (latest[1] >= 0)
    rows = [at[np.maximum(leg, 0)] for leg in latest]
    for leg in rows:
        both &= recording.ts_ns[at] - recording.ts_ns[leg] <= FRESH_NS
        both &= book.held[leg, 0] & book.held[leg, DEPTH]
    calls, puts = (book.price[leg, 0] + book.price[leg, DEPTH] for leg in rows)
    strike_paise = contracts[call].strike_paise
    assert strike_paise is not None, "an option has a strike"
    last = (calls - puts + 2 * strike_paise) // 2
    both &= last > 0
    venue_ns = np.maximum(recording.venue_ns[rows[0]], recording.venue_ns[rows[1]])
    return Forward(
        (contracts[call], contracts[put]),
        at[both],
        last[both],
        np.maximum.accumulate(venue_ns)[both],
    )


def _pair(recording: Recording, contracts: Sequence[Instrument]) -> tuple[int, int] | None:
    """Call and put of one contract; of several pairs the one whose quieter leg ticks most."""
    ticks = np.bincount(recording.symbol, minlength=len(contracts))
    legs: dict[tuple[str, str | None, int | None], dict[OptionType, int]] = {}
    for number, contract in enumerate(contracts):
        if contract.option_type is not None:
            key = contract.underlying, contract.expiry, contract.strike_paise
            legs.setdefault(key, {})[contract.option_type] = number
    pairs = [(leg[OptionType.CALL], leg[OptionType.PUT]) for leg in legs.values() if len(leg) == 2]
    return max(
        pairs,
        key=lambda pair: (
            min(ticks[pair[0]], ticks[pair[1]]),
            -(contracts[pair[0]].strike_paise or 0),
        ),
        default=None,
    )
