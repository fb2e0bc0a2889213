"""`holdfast sim-broker` as a process: it trades by raw HTTP, is killed, and knows its day."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import START, environment

pytestmark = pytest.mark.timeout(90)

READY_S = 30
CLIENT = "1000000001"


@contextmanager
def broker(home: Path, *args: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """A server that is ready, and what it says of itself. It is killed in the end."""
    ready = home / "ready.json"
    ready.unlink(missing_ok=True)
    command = [*START, "sim-broker", "--ready-file", str(ready), *args]
    process = subprocess.Popen(command, cwd=home, env=environment(home), stdout=subprocess.PIPE)
    try:
        until = time.monotonic() + READY_S
        while not ready.exists():
            assert process.poll() is None, "it ended before it was ready"
            assert time.monotonic() < until, "it is not ready"
            time.sleep(0.05)
        yield process, json.loads(ready.read_text())
    finally:
        process.kill()
        process.communicate()


def ask(method: str, url: str, body: Any = None, *, token: str = "") -> Any:
    """The body of an answer, which must be a good one."""
    request = urllib.request.Request(  # noqa: S310 loopback
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"access-token": token, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answered:  # noqa: S310 loopback
        return json.loads(answered.read())


def wait_for(what: str, found: Any) -> Any:
    """What `found` returns once it is something."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if told := found():
            return told
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come")


def buy(ready: dict[str, Any], price: float) -> str:
    """One lot of the first option that has an offer; returns the order's id."""
    rest, token = ready["urls"]["rest"], ready["token"]
    body = {
        "dhanClientId": CLIENT,
        "correlationId": f"process-{round(price)}",
        "transactionType": "BUY",
        "exchangeSegment": "NSE_FNO",
        "productType": "INTRADAY",
        "orderType": "LIMIT",
        "validity": "DAY",
        "securityId": "40013",
        "quantity": 65,
        "price": price,
    }
    order_id: str = ask("POST", f"{rest}/orders", body, token=token)["orderId"]
    return order_id


def settled(ready: dict[str, Any], order_id: str) -> str:
    """The word of an order once it is no longer in TRANSIT."""
    url = f"{ready['urls']['rest']}/orders/{order_id}"

    def word() -> str | None:
        told: str = ask("GET", url, token=ready["token"])[0]["orderStatus"]
        return None if told == "TRANSIT" else told

    found: str = wait_for("the order", word)
    return found


def test_a_server_that_is_killed_comes_back_with_its_truth(tmp_path: Path) -> None:
    """Orders, trades, money and token; on the same ports, with the time that has passed."""
    args = ("--start-ist", "09:30", "--speed", "5", "--state", "state", "--json")
    with broker(tmp_path, *args) as (process, ready):
        control = ready["control"]
        last = wait_for("a price", lambda: _last_price(control))
        ticks = [buy(ready, last * 1.02 - last * 1.02 % 0.05), buy(ready, 5.0)]
        words = [settled(ready, order_id) for order_id in ticks]
        assert words[0] in {"TRADED", "REJECTED", "PENDING", "PART_TRADED"}
        truth = ask("GET", f"{control}/truth")
        process.kill()
        process.wait()
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            ask("GET", f"{control}/truth")
    with broker(tmp_path, *args) as (process, again):
        assert again["continues"]
        assert (again["urls"], again["token"]) == (ready["urls"], ready["token"])
        assert again["now_ns"] > truth["at_ns"]
        after = ask("GET", f"{control}/truth")
        for name in ("requests", "tokens"):
            assert after[name] == truth[name]
        ids = [order["order_id"] for order in truth["orders"]]
        assert [order["order_id"] for order in after["orders"]] == ids == ticks
        assert after["words"][: len(truth["words"])] == truth["words"]
        assert after["trades"][: len(truth["trades"])] == truth["trades"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def _last_price(control: str) -> float | None:
    """The last price of the option that is bought, in rupees."""
    told = ask("GET", f"{control}/ticks")["ticks"]
    prices = [one["last_paise"] for one in told if one["instrument"].endswith(":40013")]
    return prices[-1] / 100 if prices else None


def test_term_ends_it_and_the_line_is_json(tmp_path: Path) -> None:
    """The first line of stdout says where everything is; the end is clean."""
    with broker(tmp_path, "--json") as (process, ready):
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=10)
        assert process.returncode == 0
        assert json.loads(out.splitlines()[0]) == ready


def test_the_control_ends_it(tmp_path: Path) -> None:
    """As a test harness does."""
    with broker(tmp_path, "--speed", "20") as (process, ready):
        ask("POST", f"{ready['control']}/shutdown")
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--start-ist", "half past nine"), 2, "is not HH:MM"),
        (("--doubt", "external=maybe"), 2, "known are"),
        (("--doubt", "outside=array"), 2, "known are"),
        (("--day", "2026-11-21"), 3, "2026-11-21"),
        (("--underlying", "FOO"), 3, "FOO"),
        (("--tape", "nowhere"), 3, "nowhere"),
    ],
)
def test_what_cannot_be_served_is_refused(
    tmp_path: Path, args: tuple[str, ...], code: int, words: str
) -> None:
    """With the code of the command line, and no trace."""
    done = subprocess.run(
        [*START, "sim-broker", *args],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert words in done.stderr
