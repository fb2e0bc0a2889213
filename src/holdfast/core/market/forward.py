"""The forward that put-call parity reads off the two options of one strike."""

from typing import Protocol


class TwoSided(Protocol):
    """Anything with a best bid and ask in paise, `None` where nobody stands: a tick, a quote."""

    @property
    def bid_paise(self) -> int | None: ...

    @property
    def ask_paise(self) -> int | None: ...


def parity_forward(strike_paise: int, *, call: TwoSided, put: TwoSided) -> int | None:
    """The strike plus the call's mid less the put's, in paise, halves up; `None` without a side.

    Not discounted: near the money, a month's interest on the difference of two premiums is below a
    rupee. Rounded once, at the end.
    """
    call_twice, put_twice = _mid_twice(call), _mid_twice(put)
    if call_twice is None or put_twice is None:
        return None
    return strike_paise + (call_twice - put_twice + 1) // 2


def _mid_twice(quote: TwoSided) -> int | None:
    """Bid plus ask: twice the mid, still whole paise."""
    bid_paise, ask_paise = quote.bid_paise, quote.ask_paise
    return bid_paise + ask_paise if bid_paise and ask_paise else None
