"""Where the broker is: the real hosts unless the configuration names others."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

import msgspec


class Urls(msgspec.Struct, frozen=True, kw_only=True):
    """The base of each of the broker's services (dhan.md, hosts).

    `rest` holds the version, `instruments` is the folder of the daily masters. None ends in "/".
    """

    rest: str = "https://api.dhan.co/v2"
    auth: str = "https://auth.dhan.co"
    feed: str = "wss://api-feed.dhan.co"
    updates: str = "wss://api-order-update.dhan.co"
    instruments: str = "https://images.dhan.co/api-data"


REAL: Final = Urls()
"""The broker itself, where orders cost money."""


def is_loopback(urls: Urls) -> bool:
    """Whether every one of them is on this machine: only then may time be scaled (decisions 2.15).

    "localhost" counts by its name; any other name does not, whatever it resolves to.
    """
    return all(_is_here(getattr(urls, name)) for name in urls.__struct_fields__)


def _is_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
