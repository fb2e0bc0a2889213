"""Where the broker is."""

import msgspec

from holdfast.brokers.dhan.settings import REAL


def test_the_real_hosts_are_reached_in_secret_only() -> None:
    """Tokens go to them."""
    assert all(url.startswith(("https://", "wss://")) for url in msgspec.structs.astuple(REAL))
