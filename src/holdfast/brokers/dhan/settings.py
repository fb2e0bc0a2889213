"""Where the broker is: the real hosts unless the configuration names others."""

from typing import Final

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
