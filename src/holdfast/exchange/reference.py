"""The reference price of limit price protection: the mean of the trades of the last window."""


class TradeReference:
    """Folds trades into the reference of one contract.

    The reference is renewed when a window ends, from the trades in it, and stands while nothing
    trades. The first trade of the day is the first reference; before it there is none. (The real
    exchange then, and after fifteen minutes without a trade, takes a theoretical price.)
    Windows lie on whole multiples of their length since the epoch.
    """

    def __init__(self, window_s: int) -> None:
        self._window_ns = window_s * 1_000_000_000
        self._window = 0
        self._sum_paise = 0
        self._count = 0
        self._reference_paise: int | None = None

    def trade(self, price_paise: int, at_ns: int) -> None:
        """Take one trade. Prices in paise, times never going back."""
        self._roll(at_ns)
        if self._reference_paise is None:
            self._reference_paise = price_paise
        self._sum_paise += price_paise
        self._count += 1

    def at(self, at_ns: int) -> int | None:
        """The reference in force at `at_ns`, in paise, rounded down; `None` before any trade."""
        self._roll(at_ns)
        return self._reference_paise

    def _roll(self, at_ns: int) -> None:
        window = at_ns // self._window_ns
        if window == self._window:
            return
        self._window = window
        if self._count:
            self._reference_paise = self._sum_paise // self._count
            self._sum_paise = self._count = 0
