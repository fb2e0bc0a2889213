"""Where passwords come from, and that they go nowhere."""

import sys
import types
from pathlib import Path

import pytest

from holdfast.brokers.dhan.passwords import PASSWORDS_FILE, Passwords, find_passwords
from holdfast.brokers.dhan.token import PrivateFile
from holdfast.domain.errors import DataRefused
from tests.support.dhan_wire import CLIENT_ID


def write(folder: Path, text: str) -> None:
    """The private file."""
    PrivateFile(folder / PASSWORDS_FILE).write(text.encode())


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    """And nothing at all is an answer too."""
    assert find_passwords(tmp_path, CLIENT_ID, {}) == Passwords()
    write(tmp_path, 'pin = "111111"\ntotp_secret = "AAAA"\n')
    found = find_passwords(tmp_path, CLIENT_ID, {"DHAN_PIN": " 222222 ", "DHAN_TOTP_SECRET": ""})
    assert found == Passwords(pin="222222", totp_secret="AAAA")  # noqa: S106
    assert found.can_mint
    assert found.app_key is None


def test_the_consent_flow_needs_both_halves_of_its_key(tmp_path: Path) -> None:
    """An id without its secret is none."""
    env = {"DHAN_APP_ID": "i", "DHAN_APP_SECRET": "s"}
    key = find_passwords(tmp_path, CLIENT_ID, env).app_key
    assert key is not None
    assert key.headers == {"app_id": "i", "app_secret": "s"}
    assert find_passwords(tmp_path, CLIENT_ID, {"DHAN_APP_ID": "i"}).app_key is None


def test_a_repr_says_only_what_is_known() -> None:
    """By name."""
    shown = repr(Passwords(pin="482915", totp_secret="JBSWY3DP"))  # noqa: S106
    assert "482915" not in shown
    assert "JBSWY3DP" not in shown
    assert "pin" in shown


@pytest.mark.parametrize(
    "text", ["pin = 5512", "pin = '551298", "otp = '551298'", "[pin]\na = '551298'", "\xff"]
)
def test_a_file_that_is_not_understood_is_refused_without_its_content(
    tmp_path: Path, text: str
) -> None:
    """A slip of the hand in it must not print a password."""
    PrivateFile(tmp_path / PASSWORDS_FILE).write(text.encode("latin-1"))
    with pytest.raises(DataRefused) as refused:
        find_passwords(tmp_path, CLIENT_ID, {})
    assert "5512" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """It is the account."""
    write(tmp_path, "")
    (tmp_path / PASSWORDS_FILE).chmod(0o644)
    with pytest.raises(DataRefused, match="chmod 600"):
        find_passwords(tmp_path, CLIENT_ID, {})


def test_a_keyring_is_asked_last_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is locked tells nothing."""

    class KeyringError(Exception):
        pass

    def get_password(service: str, user: str) -> str | None:
        if user.endswith("app_id"):
            raise KeyringError
        return "333333" if (service, user) == ("holdfast", f"{CLIENT_ID}:pin") else None

    keyring, errors = types.ModuleType("keyring"), types.ModuleType("keyring.errors")
    keyring.get_password = get_password  # type: ignore[attr-defined]
    keyring.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    errors.KeyringError = KeyringError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    assert find_passwords(tmp_path, CLIENT_ID, {}) == Passwords(pin="333333")
    assert find_passwords(tmp_path, CLIENT_ID, {"DHAN_PIN": "1"}).pin == "1"
