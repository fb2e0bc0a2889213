"""How long messages travel: bounds per leg, and a hashed draw between them."""

import msgspec

from holdfast.exchange.draws import draw_within

Bounds = tuple[int, int]
"""Shortest and longest time of one leg in nanoseconds, both included."""

MILLISECOND_NS = 1_000_000


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """The three legs between us and the exchange, under a seed.

    `request_ns`: from us to the exchange. `response_ns`: the answer to a request. `update_ns`: the
    broker's stream, from something happening at the exchange until we hear of it, so that a fill
    may overtake the answer to its own order.
    """

    seed: int
    request_ns: Bounds = (40 * MILLISECOND_NS, 120 * MILLISECOND_NS)
    response_ns: Bounds = (20 * MILLISECOND_NS, 80 * MILLISECOND_NS)
    update_ns: Bounds = (30 * MILLISECOND_NS, 150 * MILLISECOND_NS)

    def __post_init__(self) -> None:
        """A message never arrives before it was sent."""
        for low, high in (self.request_ns, self.response_ns, self.update_ns):
            if not 0 <= low <= high:
                raise ValueError(f"a leg of {low} to {high} ns is no latency")

    def request(self, key: str) -> int:
        """Nanoseconds that the request named `key` travels."""
        return self._leg("request", key, self.request_ns)

    def response(self, key: str) -> int:
        """Nanoseconds that the answer to `key` travels."""
        return self._leg("response", key, self.response_ns)

    def update(self, key: str) -> int:
        """Nanoseconds that the stream's message named `key` travels."""
        return self._leg("update", key, self.update_ns)

    def _leg(self, kind: str, key: str, bounds: Bounds) -> int:
        low, high = bounds
        return draw_within(self.seed, kind, key, low=low, high=high)
