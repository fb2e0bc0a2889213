"""Where the broker is."""

import msgspec
import pytest

from holdfast.brokers.dhan.settings import REAL, Urls, is_loopback

HERE = Urls(
    rest="http://127.0.0.1:1/v2",
    auth="http://localhost:2",
    feed="ws://127.0.0.1:3",
    updates="ws://[::1]:4",
    instruments="http://127.9.9.9:5/api-data",
)


def test_this_machine_is_known_by_its_addresses() -> None:
    """By number, by either family and by its name."""
    assert is_loopback(HERE)
    assert not is_loopback(REAL)


@pytest.mark.parametrize("name", Urls.__struct_fields__)
def test_one_stranger_is_enough(name: str) -> None:
    """Where any of the services is elsewhere, real money may be at stake."""
    for url in ("https://api.dhan.co/v2", "http://127.0.0.1.example/x", "nonsense", ""):
        assert not is_loopback(msgspec.structs.replace(HERE, **{name: url}))


def test_the_real_hosts_are_reached_in_secret_only() -> None:
    """Tokens go to them."""
    assert all(url.startswith(("https://", "wss://")) for url in msgspec.structs.astuple(REAL))
