"""What logs in at the broker without a person: from the environment, a private file, or a keyring.

None of it is ever written by us, and no repr shows it.
"""

import importlib
import importlib.util
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from typing_extensions import override

from holdfast.brokers.dhan.authhost import AppKey
from holdfast.brokers.dhan.token import PrivateFile
from holdfast.domain.errors import DataRefused

PASSWORDS_FILE: Final = "passwords.toml"
"""Its name in the account's folder: a line `totp_secret = "..."` for each of the names below."""

KEYRING_SERVICE: Final = "holdfast"
"""What a keyring keeps them under, as the user `CLIENT_ID:NAME`."""

ENVIRONMENT: Final[Mapping[str, str]] = {
    "access_token": "DHAN_ACCESS_TOKEN",
    "pin": "DHAN_PIN",
    "totp_secret": "DHAN_TOTP_SECRET",
    "app_id": "DHAN_APP_ID",
    "app_secret": "DHAN_APP_SECRET",
}
"""Every name with the variable that goes before the file and the keyring."""


class Passwords(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to log in with; empty where it is not known.

    `access_token` is one that a person made on the broker's page. `totp_secret` is base32.
    """

    access_token: str = ""
    pin: str = ""
    totp_secret: str = ""
    app_id: str = ""
    app_secret: str = ""

    @property
    def can_mint(self) -> bool:
        """Whether a token can be made without a person."""
        return bool(self.pin and self.totp_secret)

    @property
    def app_key(self) -> AppKey | None:
        """What the consent flow needs, `None` when a part of it is missing."""
        if self.app_id and self.app_secret:
            return AppKey(app_id=self.app_id, app_secret=self.app_secret)
        return None

    @override
    def __repr__(self) -> str:
        known = [name for name in self.__struct_fields__ if getattr(self, name)]
        return f"Passwords(known={known})"


def find_passwords(folder: Path, client_id: str, env: Mapping[str, str]) -> Passwords:
    """Each from the environment, else the account's private file, else the keyring.

    Raises DataRefused when the file is readable by others, damaged or holds another name.
    """
    written = _from_file(PrivateFile(folder / PASSWORDS_FILE))
    kept = _keyring()
    found = {
        name: env.get(variable, "").strip()
        or written.get(name, "")
        or (kept(f"{client_id}:{name}") or "" if kept is not None else "")
        for name, variable in ENVIRONMENT.items()
    }
    return Passwords(**found)


def _from_file(file: PrivateFile) -> dict[str, str]:
    content = file.read()
    if content is None:
        return {}
    try:
        values = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        # Without its cause: that may quote a line of it.
        raise _refused(file, "is not TOML") from None
    for name, value in values.items():
        if name not in ENVIRONMENT:
            raise _refused(file, "holds a name that is none of ours")
        if not isinstance(value, str):
            raise _refused(file, f"{name} is no text in quotes")
    return {name: value.strip() for name, value in values.items()}


def _refused(file: PrivateFile, what: str) -> DataRefused:
    example = ", ".join(ENVIRONMENT)
    return DataRefused(str(file.path), what, f'write lines of the form name = "...": {example}')


def _keyring() -> Callable[[str], str | None] | None:
    """The system's keyring where the library `keyring` is installed; a locked one tells nothing."""
    if importlib.util.find_spec("keyring") is None:
        return None
    keyring = importlib.import_module("keyring")
    errors = importlib.import_module("keyring.errors")

    def kept(user: str) -> str | None:
        try:
            found = keyring.get_password(KEYRING_SERVICE, user)
        except errors.KeyringError:
            return None
        return found if isinstance(found, str) else None

    return kept
