"""What the broker says of the account, in whatever shape: read, or the one error of its kind."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.brokers.dhan.authhost import Denied, Granted, Unanswered, made_of
from holdfast.brokers.dhan.chain import Chain, chain_of, expiries_of
from holdfast.brokers.dhan.charts import checked, series
from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.ip import registration_of
from holdfast.brokers.dhan.margin import margin_of
from holdfast.brokers.dhan.master import Wanted, read_master
from holdfast.brokers.dhan.profile import profile_of
from holdfast.brokers.dhan.rest import Answer
from holdfast.brokers.dhan.token import TokenFile, claims_of, token_of
from holdfast.domain.errors import DataRefused
from tests.support.dhan_account import NOW_NS, PROFILE, answer
from tests.support.dhan_wire import CLIENT_ID
from tests.unit.brokers.dhan.test_chain import EXPIRY, body
from tests.unit.brokers.dhan.test_charts import DAY, INDEX
from tests.unit.brokers.dhan.test_ip import GOOD
from tests.unit.brokers.dhan.test_master import CALL, HEADER, PUT
from tests.unit.brokers.dhan.test_master import INDEX as INDEX_ROW

STAMP = DAY.open_ns // 1_000_000_000
CHART = {
    "open": [26_000.05, 26_001],
    "high": [26_002.0, 26_002],
    "low": [25_999.0, 26_000],
    "close": [26_001.0, 26_001],
    "volume": [0.0, 0],
    "timestamp": [STAMP, STAMP + 60],
}
MARGIN = {"totalMargin": 1.5, "availableBalance": 2, "insufficientBalance": 0, "brokerage": 20.0}
EXPIRIES = {"data": ["2026-11-24"], "status": "success"}

READERS: dict[str, tuple[Callable[[Answer], object], Any]] = {
    "profile": (profile_of, PROFILE),
    "address": (lambda one: registration_of(one).fault, GOOD),
    "chart": (lambda one: checked(series(one), INDEX, [DAY], now_ns=NOW_NS), CHART),
    "chain": (lambda one: chain_of(one, INDEX, EXPIRY), body()),
    "expiries": (expiries_of, EXPIRIES),
    "margin": (margin_of, MARGIN),
}

numbers = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -0.0, 1e308, 5e-324, 2**63, -(2**64), 10**40])
)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=12)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def spoiled(draw: st.DrawFn, value: Any) -> Any:
    """A body with something in it replaced, dropped or repeated."""
    if draw(st.integers(0, 3)) == 0:
        return draw(anything)
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        act = draw(st.sampled_from(["spoil", "spoil", "drop", "add"]))
        if act == "drop":
            return {name: one for name, one in value.items() if name != key}
        if act == "add":
            return {**value, draw(st.text(max_size=6)): draw(anything)}
        return {**value, key: draw(spoiled(value[key]))}
    if isinstance(value, list) and value:
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(spoiled(value[at])), *value[at + draw(st.integers(0, 1)) :]]
    return draw(anything)


def judge(why: str) -> None:
    """A reason is a short line."""
    assert "\n" not in why
    assert len(why) < 300


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_a_spoiled_body_is_read_or_unreadable(name: str, data: st.DataObject) -> None:
    """Nothing else is raised, whatever stands where, and a value that is read is whole."""
    read, good = READERS[name]
    try:
        value = read(answer(json.dumps(data.draw(spoiled(good)))))
    except Unreadable as error:
        judge(str(error))
        return
    if isinstance(value, Chain):
        assert all(leg.strike_paise > 0 for leg in value.legs)


@given(
    value=anything | spoiled({"accessToken": "t", "expiryTime": "2026-11-21T08:45:00"}),
    status=st.integers(200, 599),
)
def test_any_answer_to_a_login_is_one_of_three(value: object, status: int) -> None:
    """A token, a refusal or nothing that can be told."""
    made = made_of(answer(json.dumps(value), status=status))
    assert isinstance(made, Granted | Denied | Unanswered)


@given(
    text=st.text(alphabet=st.characters(codec="ascii"), max_size=60)
    | st.builds("a.{}.b".format, st.text(max_size=40))
)
def test_any_text_may_be_a_token(text: str) -> None:
    """What it says of itself is taken where it can be, and its end is one that a clock shows."""
    claims_of(text)
    assert 0 <= token_of(CLIENT_ID, text, minted_ns=NOW_NS).valid_until_ns < 1 << 63


@given(content=st.binary(max_size=80))
def test_any_bytes_may_lie_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """They are a token or refused."""
    file = TokenFile(tmp_path_factory.getbasetemp(), CLIENT_ID)
    file.path.unlink(missing_ok=True)
    file.path.touch(0o600)
    file.path.write_bytes(content)
    with pytest.raises(DataRefused):
        file.load()


@st.composite
def lists(draw: st.DrawFn) -> bytes:
    """A list of contracts, damaged in a few places."""
    text = bytearray(f"{HEADER}\n{INDEX_ROW}\n{CALL}\n{PUT}\n".encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(text) - 1, 0)))
        match draw(st.integers(0, 3)):
            case 0:
                text[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del text[at : at + draw(st.integers(1, 40))]
            case 2:
                text[at:at] = draw(
                    st.sampled_from([b",", b'"', b"\n", b"\x00", b"9", b"-", b"\xff"])
                )
            case _:
                del text[at + 1 :]
    return bytes(text)


@given(content=lists())
def test_a_damaged_list_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """What is taken from it has its terms; the rest is told."""
    file: Path = tmp_path_factory.getbasetemp() / "list.csv"
    file.write_bytes(content)
    wanted = Wanted(day=dt.date(2026, 11, 20), freeze={"NIFTY": 1_800})
    try:
        master = read_master(file, wanted)
    except DataRefused:
        return
    assert all(one.underlying == "NIFTY" for one in master.instruments)
    assert all(one.freeze_quantity <= 1_800 for one in master.instruments)
