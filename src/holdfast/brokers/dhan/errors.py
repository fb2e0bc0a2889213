"""What the broker's refusals mean. The code is not diagnostic, the message is (dhan.md 1.8-1.10)."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from holdfast.domain.order import Refusal

TEXT_MAX: Final = 400
"""So much of a message is kept."""

_TEXTS: Final = ("errorMessage", "internalErrorMessage", "message", "remarks")
_CODES: Final = ("errorCode", "internalErrorCode")  # an order row has an omsErrorCode of its own
_BAD: Final = ("error", "failed", "failure")

_WORDS: Final[Mapping[Refusal, Sequence[str]]] = {
    Refusal.TOKEN: (
        r"^(?:80[789]|810)\b",
        r"\binvalid token\b",
        r"\btoken (?:is )?(?:invalid|expired)\b",
        r"user generated access token",
        r"authentication failed",
        r"\bclient ?id (?:is )?invalid\b",
        r"\binvalid client ?id\b",
    ),
    Refusal.IP: (r"\binvalid ip\b", r"\bstatic ip\b", r"\bip (?:address|is not|not)\b"),
    Refusal.RATE: (
        r"^805\b",
        r"too many requests",
        r"rate.?limit",
        r"\blimits? (?:exceeded|breached)",
    ),
    Refusal.CLOSED_MARKET: (
        r"market (?:is|are) closed",
        r"markets are (?:offline|blocked)",
        r"offline order",
        r"outside (?:of )?market hours",
        r"market (?:is )?not open",
        r"not allowed after",
        r"square.?off",
    ),
    Refusal.SELF_TRADE: (r"self.?trade",),
    Refusal.FUNDS: (
        r"insufficient (?:fund|balance|margin)",
        r"margin (?:exceed|short)",
        r"funds? short",
        r"not enough (?:fund|balance|margin)",
        r"\badd rs\b",
    ),
    Refusal.TRIGGER_DISTANCE: (
        r"\b16448\b(?!\.)",
        r"trigger.{0,40}(?:difference|distance|permissible|permitted|too far)",
        r"(?:difference|distance|too far|behind).{0,40}trigger",
        r"trigger price should be (?:greater|less|lower|higher) than (?:the )?(?:limit )?price\b",
    ),
    Refusal.BEYOND_TRIGGER: (
        r"trigger.{0,60}(?:last|ltp|market price|current|traded)",
        r"(?:ltp|last traded price|market price).{0,60}trigger",
    ),
    Refusal.BAND: (
        r"circuit",
        r"price band",
        r"price range",
        r"(?:permitted|permissible|execution) range",
        r"\blpp\b",
        r"price protection",
        r"\bdpr\b",
        r"price.{0,30}outside of",
    ),
    Refusal.QUANTITY: (r"freeze", r"lot size", r"market lot", r"\bquantity\b"),
    Refusal.NOT_MODIFIABLE: (
        r"transit state",
        r"incorrect request for order",
        r"cannot be(?:come| modified| cancell?ed)",
        r"\b(?:is|was|been|already) (?:already )?(?:traded|filled|cancell?ed|rejected|executed|expired)",
        r"\border (?:was |is )?not (?:found|open)",
        r"no such order",
        r"modified \d+ times",
        r"modification limit",
        r"no more (?:modifications )?are allowed",
    ),
}
"""In this order: the first that fits decides. A text that none fits is OTHER (T13)."""

_CLASSES: Final = tuple((refusal, re.compile("|".join(words))) for refusal, words in _WORDS.items())


def text_of(payload: object) -> str:
    """The broker's complaint in any of its envelopes (dhan.md 1.10), "" where there is none."""
    if isinstance(payload, Sequence) and not isinstance(payload, str | bytes):
        return text_of(payload[0]) if len(payload) == 1 else ""
    if not isinstance(payload, Mapping):
        return ""
    return _numbered(payload) or _worded(payload) or _gateway(payload)


def _numbered(payload: Mapping[object, object]) -> str:
    """`{"data": {"808": "..."}, "status": "failed"}`: the number belongs to the text."""
    data = payload.get("data")
    if str(payload.get("status", "")).lower() not in _BAD or not isinstance(data, Mapping):
        return ""
    return _cut(", ".join(f"{code} {text}" for code, text in data.items()))


def _worded(payload: Mapping[object, object]) -> str:
    """The trading family, the old paths, and errors that come as HTTP 200."""
    is_bad = any(code in payload for code in _CODES)
    status = payload.get("status")
    if not is_bad and not (isinstance(status, str) and status.lower() in _BAD):
        return ""
    for name in _TEXTS:
        text = payload.get(name)
        if isinstance(text, str) and text.strip():
            return _cut(text.strip())
    code = payload.get("errorCode") or payload.get("internalErrorCode") or status
    return _cut(str(code))


def _gateway(payload: Mapping[object, object]) -> str:
    """The gateway's word for a path that does not exist."""
    if isinstance(payload.get("error"), str) and "path" in payload:
        return _cut(f"{payload['error']} (HTTP {payload.get('status')})")
    return ""


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "..."


def refusal_of(text: str) -> Refusal:
    """The class of a refusal by its message; OTHER for what nobody has seen yet (T13)."""
    lowered = text.lower()
    for refusal, pattern in _CLASSES:
        if pattern.search(lowered):
            return refusal
    return Refusal.OTHER


def is_token_dead(text: str) -> bool:
    """Whether a complaint says that the session is over (dhan.md 1.8)."""
    return refusal_of(text) is Refusal.TOKEN


def is_address_refused(text: str) -> bool:
    """Whether a complaint says that orders are refused from this address (dhan.md 1.6)."""
    return refusal_of(text) is Refusal.IP
