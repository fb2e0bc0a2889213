"""Secrets of a whole session in live mode: nowhere but in the two private files of the account."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.live_desk import ACCOUNT, HELD, LiveDesk, spoken

pytestmark = pytest.mark.timeout(300)

PRIVATE: Final = {"passwords.toml", "token.json", "ready.json", "broker.out"}
"""Where they belong: ours, and what the simulated broker says of its own account."""

FLOOR_FILES: Final = 12
FLOOR_BYTES: Final = 200_000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[LiveDesk]:
    """A broker at 09:40 whose account is logged in to by nobody we know."""
    made = LiveDesk(tmp_path, start_ist="09:40", speed=15)
    try:
        yield made
    finally:
        made.close()


def secrets(desk: LiveDesk, tokens: set[str]) -> dict[str, re.Pattern[bytes]]:
    """Everything that must not be seen, each in the forms in which it could be."""
    account = desk.ready["account"]
    known = {name: account[name] for name in ("pin", "totp_secret", "app_secret")}
    known |= {f"token {number}": token for number, token in enumerate(sorted(tokens))}
    patterns = {"any token": re.compile(rb"eyJ[A-Za-z0-9_-]{20,}[.]")}
    for name, secret in known.items():
        forms = {secret.encode(), base64.b64encode(secret.encode())}
        # Six digits are also a part of longer numbers: alone they are a PIN.
        patterns[name] = re.compile(
            b"|".join(rb"(?<![0-9])" + re.escape(form) + rb"(?![0-9])" for form in forms)
        )
    return patterns


def stored(desk: LiveDesk) -> str:
    """The token that the account's private file holds."""
    token: str = json.loads((desk.account_dir / "token.json").read_text())["secret"]
    return token


def test_a_live_session_shows_no_secret_anywhere(desk: LiveDesk) -> None:
    """Log in by PIN and one-time password, trade, be refused, lose the token, end, put into a file.

    Then every file of the home, what was said, the arguments of the process, and what its owner is
    shown hold neither token, PIN, TOTP secret nor the API key's.
    """
    desk.configure(more=HELD)
    desk.keep_passwords()
    login = desk.tell("login", "--json")
    assert login.returncode == 0, login.stderr
    tokens = {desk.ready["token"], stored(desk)}
    desk.run()
    arguments = " ".join(spoken(desk.program)) if desk.program else ""
    desk.until_resting()
    shown = [login, desk.tell("status"), desk.tell("login")]
    desk.ask("POST", "/faults", [{"kind": "ip_refused", "for_s": 60, "share": 1.0}])
    shown.append(desk.tell("flatten", "--yes", "--reason", "the test"))
    desk.ask("DELETE", "/faults")
    desk.ask("POST", "/token")
    shown.append(desk.tell("login", "--by", "password"))
    tokens.add(stored(desk))
    assert desk.end() in (0, 10), desk.said()
    shown += [desk.tell("bundle", "--to", str(desk.home / "a.bundle")), desk.tell("explain", "1")]
    assert (desk.home / "a.bundle").stat().st_size
    said = [arguments, *(f"{one.stdout}{one.stderr}" for one in shown)]
    assert sought(desk, said, tokens) == []


def sought(desk: LiveDesk, said: list[str], tokens: set[str]) -> list[str]:
    """Where a secret was found: in a file of the home, or in something that was said."""
    patterns = secrets(desk, tokens)
    files = [file for file in desk.home.rglob("*") if file.is_file() and file.name not in PRIVATE]
    texts = {str(file.relative_to(desk.home)): file.read_bytes() for file in files}
    texts |= {f"said {number}": text.encode() for number, text in enumerate(said)}
    found = [
        f"{name} in {where}"
        for name, pattern in patterns.items()
        for where, text in texts.items()
        if pattern.search(text) or pattern.search(where.encode())
    ]
    size = sum(len(text) for text in texts.values())
    trades = len(desk.truth()["trades"])
    print(f"{len(patterns)} secrets, {len(files)} files, {size} bytes, {trades} trades")  # noqa: T201
    assert len(files) >= FLOOR_FILES
    assert size >= FLOOR_BYTES
    assert trades >= 1
    assert (desk.account_dir / "token.json").stat().st_mode & 0o077 == 0
    assert ACCOUNT in "".join(said)
    return found
