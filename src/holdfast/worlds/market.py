"""The market of a world: an index that wanders, options that follow it, books that thin out.

It is small and rough on purpose: prices that jump over stops, spreads that open, offers of one lot.
"""

from collections.abc import Sequence

from holdfast.domain.instrument import Instrument, InstrumentId, OptionType
from holdfast.domain.market import Level, Tick
from holdfast.worlds.chance import Chance
from holdfast.worlds.ground import BEGIN_NS, INDEX, SECOND, SPOT_PAISE

OPTION_EVERY_S = 3
"""Each option is told once in so many seconds; the index twice in three."""


def ticks(seed: int, contracts: Sequence[Instrument], seconds: int) -> list[Tick]:
    """Everything that happens in the market of a seed, in order of time."""
    return list(_Walk(seed, contracts).until(seconds))


class _Walk:
    """The state of the market while it is made."""

    def __init__(self, seed: int, contracts: Sequence[Instrument]) -> None:
        self._chance = Chance(seed, "market")
        self._contracts = contracts
        self._spot = SPOT_PAISE
        self._noise = dict.fromkeys((one.id for one in contracts), 0)
        self._volumes: dict[InstrumentId, int] = dict.fromkeys((one.id for one in contracts), 6_500)
        self._wildness = self._chance.one_of("wildness", (1, 2, 3, 5))
        self._depth = self._chance.one_of("depth", (1, 4, 12, 40))

    def until(self, seconds: int) -> list[Tick]:
        made: list[Tick] = []
        for second in range(seconds):
            bits = self._chance.bytes_of(str(second))
            self._spot += (bits[0] - bits[1]) * self._wildness
            if bits[2] < 2:  # a jump over whatever rests
                self._spot += (bits[3] - 128) * 20
            base_ns = BEGIN_NS + second * SECOND
            if second % 3 != 2:
                made.append(self._index(base_ns + bits[4] * 1_000_000))
            for number, contract in enumerate(self._contracts):
                if (second + number) % OPTION_EVERY_S == 0:
                    made.append(self._option(contract, base_ns, bits, number))
        return sorted(made, key=lambda tick: tick.at_ns)

    def _index(self, at_ns: int) -> Tick:
        venue_ns = at_ns // SECOND * SECOND
        return Tick(at_ns=at_ns, instrument=INDEX.id, last_paise=self._spot, venue_at_ns=venue_ns)

    def _option(self, contract: Instrument, base_ns: int, bits: bytes, number: int) -> Tick:
        mine = bits[8 + 8 * number : 16 + 8 * number]
        at_ns = base_ns + 260_000_000 + mine[0] * 2_800_000
        self._noise[contract.id] += mine[1] - 127
        paise = self._price(contract)
        is_traded = mine[2] < 200
        self._volumes[contract.id] += 65 * (1 + mine[3] % 8) if is_traded else 0
        half = 5 * (1 + mine[4] % 3 + (20 if mine[5] < 8 else 0))
        return Tick(
            at_ns=at_ns,
            instrument=contract.id,
            last_paise=paise,
            venue_at_ns=(at_ns if is_traded else at_ns - SECOND) // SECOND * SECOND,
            volume=self._volumes[contract.id],
            bids=self._side(paise - half, -5, mine[6]),
            asks=self._side(paise + half, 5, mine[7]),
        )

    def _price(self, contract: Instrument) -> int:
        """About half of the index's way, as an option near the money goes."""
        assert contract.strike_paise is not None
        sign = 1 if contract.option_type is OptionType.CALL else -1
        inner = sign * (self._spot - contract.strike_paise) // 2
        value = 15_000 + inner + self._noise[contract.id]
        return max(value // 5 * 5, 1_000)

    def _side(self, first: int, step: int, bits: int) -> tuple[Level, ...]:
        """A few levels of the book, thin at the touch; now and then nobody is there."""
        if bits < 2:
            return ()
        lots = 1 + bits % self._depth
        return ((first, 65 * lots), (first + step, 65 * 4 * lots), (first + 4 * step, 65 * 40))
