"""REST of who the account is and from where it may trade (dhan.md 1.4, 1.6, 1.7)."""

import ipaddress
from collections.abc import Sequence
from typing import Any, Final

from holdfast.simbroker.dhan.host import Host, Values
from holdfast.simbroker.dhan.route import Answer, Call, Family, Route, bad_input, order_error
from holdfast.simbroker.dhan.shown import ist_stamp, ist_time
from holdfast.simbroker.dhan.tokens import Consumer, Minted, Tokens
from holdfast.simbroker.dhan.wire_faults import Endpoint, WireFault, WireFaults

LOCKED_NS: Final = 7 * 86_400 * 1_000_000_000
INVALID_TOKEN: Final = "Invalid Token"  # noqa: S105 the broker's words
FLAGS: Final = ("PRIMARY", "SECONDARY")


class Addresses:
    """The static IP addresses from which orders are taken (dhan.md 1.6)."""

    def __init__(self, host: Host, faults: WireFaults, *, primary: str = "127.0.0.1") -> None:
        """`primary` stands since before today; empty: none was ever set."""
        self._host = host
        self._faults = faults
        self._set: dict[str, tuple[str, int]] = {}
        if primary:
            self._set["PRIMARY"] = (primary, 0)
        host.register("ip", self._keep)

    def may_trade(self, call: Call) -> bool:
        """Whether the address of a request is one of those that were set."""
        struck = self._faults.strikes(
            WireFault.IP_REFUSED, call.key, call.at_ns, endpoint=call.endpoint, fields=call.fields
        )
        return struck is None and self._match(call) is not None

    def routes(self) -> Sequence[Route]:
        """Everything under /v2/ip."""
        return (
            Route("POST", "/v2/ip/setIP", self._first, Endpoint.IP),
            Route("PUT", "/v2/ip/modifyIP", self._again, Endpoint.IP),
            Route("GET", "/v2/ip/getIP", self._told, Endpoint.IP),
        )

    async def _first(self, call: Call) -> Answer:
        flag = str(call.fields.get("ipFlag") or "")
        if flag in self._set:
            return bad_input(f"{flag} IP is already set")
        return self._save(call, flag)

    async def _again(self, call: Call) -> Answer:
        flag = str(call.fields.get("ipFlag") or "")
        _, since_ns = self._set.get(flag, ("", 0))
        if since_ns and call.at_ns - since_ns < LOCKED_NS:
            return bad_input("IP can be modified once in 7 days only")
        return self._save(call, flag)

    def _save(self, call: Call, flag: str) -> Answer:
        address = str(call.fields.get("ip") or "")
        if flag not in FLAGS or call.fields.get("dhanClientId") != call.client_id:
            return bad_input()
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return bad_input()
        self._host.do("ip", {"flag": flag, "address": address})
        return Answer(payload={"message": "IP saved successfully", "status": "SUCCESS"})

    def _keep(self, values: Values, at_ns: int) -> None:
        self._set[values["flag"]] = (values["address"], at_ns)

    async def _told(self, call: Call) -> Answer:
        """With no address at all it is an error at 200, in an array (ip_getip_error_200.json)."""
        if not self._set:
            return Answer(payload=[{"message": "Something went wrong", "status": "ERROR"}])
        match = self._match(call)
        told: dict[str, Any] = {}
        for flag, word in (("PRIMARY", "primaryIP"), ("SECONDARY", "secondaryIP")):
            told[word] = self._set.get(flag, ("", 0))[0]
        for flag, word in (("PRIMARY", "modifyDatePrimary"), ("SECONDARY", "modifyDateSecondary")):
            told[word] = self._since(flag, call.at_ns)
        told |= {
            "ip": call.remote,
            "detectedIP": call.remote,
            "ipMatchStatus": "NO_MATCH" if match is None else f"{match}_MATCH",
            "ordersAllowed": self.may_trade(call),
        }
        return Answer(payload=told)

    def _since(self, flag: str, at_ns: int) -> str:
        """From when on it may be modified."""
        if flag not in self._set:
            return ""
        since_ns = self._set[flag][1]
        return ist_stamp(since_ns + LOCKED_NS if since_ns else at_ns)[:10]

    def _match(self, call: Call) -> str | None:
        return next((flag for flag in self._set if self._set[flag][0] == call.remote), None)


class Profile:
    """Answers whose token it is, and renews it."""

    def __init__(self, host: Host, tokens: Tokens) -> None:
        """Speak of the account of `tokens`."""
        self._host = host
        self._tokens = tokens

    def routes(self) -> Sequence[Route]:
        """Profile and renewal, which refuse a token alike."""
        return (
            Route("GET", "/v2/profile", self._profile, Endpoint.PROFILE, Family.RECENT),
            Route("GET", "/v2/RenewToken", self._renew, Endpoint.RENEW, Family.RECENT),
            Route("POST", "/v2/RenewToken", self._renew_posted, Endpoint.RENEW, Family.RECENT),
        )

    async def _profile(self, call: Call) -> Answer:
        """As production tells it: letters with a comma behind (profile_live.json)."""
        active = self._tokens.active
        until_ns = call.at_ns if active is None else active.until_ns
        paid_until = ist_time(call.at_ns + 20 * 86_400 * 1_000_000_000)
        return Answer(
            payload={
                "dhanClientId": call.client_id,
                "tokenValidity": f"{ist_time(until_ns):%d/%m/%Y %H:%M}",
                "activeSegment": "E, D, C, M, ",
                "ddpi": "Deactive",
                "mtf": "Deactive",
                "dataPlan": "Active",
                "dataValidity": f"{paid_until:%Y-%m-%d %H:%M:%S}.0",
            }
        )

    async def _renew(self, call: Call) -> Answer:
        """Only tokens of the web page can be renewed, while they live (dhan.md 1.4)."""
        active = self._tokens.active
        named = call.headers.get("dhanClientId")
        if active is None or active.consumer is not Consumer.SELF or named != call.client_id:
            return order_error(INVALID_TOKEN)
        minted = self._host.do("mint", {"consumer": Consumer.SELF.value, "by": "renewal"})
        return Answer(payload=token_body(minted, self._tokens))

    async def _renew_posted(self, _call: Call) -> Answer:
        """A POST was refused with 400 (dhan.md 1.4)."""
        return bad_input()


def token_body(minted: Minted, tokens: Tokens) -> dict[str, Any]:
    """A new token as every way of making one tells it (dhan.md 1.3)."""
    return {
        "dhanClientId": tokens.login.client_id,
        "dhanClientName": "SIMULATED ACCOUNT",
        "dhanClientUcc": "SIMU01234A",
        "givenPowerOfAttorney": False,
        "accessToken": minted.secret,
        "expiryTime": f"{ist_time(minted.until_ns):%Y-%m-%dT%H:%M:%S}.000",
    }
