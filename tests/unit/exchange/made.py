"""Days to generate in tests: a whole one, and a short one that takes no time."""

from msgspec.structs import replace

from holdfast.exchange.universe import Universe
from tests.support.desk import DAY, FACTS, NIFTY, OPEN, SECOND, SESSION

UNIVERSE = Universe(
    index=NIFTY,
    spot_paise=24_500_00,
    strike_step_paise=50_00,
    lot_size=65,
    freeze_quantity=1_801,
    price_step_paise=5,
    expiry="2026-11-24",
)
EXPIRING = replace(UNIVERSE, expiry=DAY)

SHORT = replace(SESSION, windows=((OPEN, OPEN + 300 * SECOND),))
SHORT_FACTS = replace(FACTS, sessions=(SHORT,))
