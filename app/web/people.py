"""Who may use the app: a file of accounts with slow hashes, and sessions that are signed.

A password is hashed by scrypt with a salt of its own; `CONTEXT.md` says what the roles do. The
session is a cookie that says who and since when, with an HMAC whose key stands in the file too: a
restart signs nobody out, a new password does.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from partlab.config import Config, validate
from partlab.errors import ConfigError, NotFoundError, UnknownNameError
from partlab.files import exclusive, read_json, write_json

Role = Literal["annotator", "inspector", "lead", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may."""
SESSION_S = 14 * 24 * 3600
_COST = {"n": 1 << 15, "r": 8, "p": 1}  # 32 MiB and a tenth of a second
_MEMORY = 64 << 20
_SHORTEST = 8


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks."""

    name: str
    role: Role
    signed_in: bool = True  # False: on this machine, where nobody signs in

    def may(self, role: Role) -> bool:
        """Whether this role is theirs or below it."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Account(Config):
    """One person in the file. Without a password they come through a proxy that knows them."""

    name: str
    role: Role
    salt: str = ""
    scrypt: str = Field("", repr=False)

    @property
    def person(self) -> Person:
        """Without what is secret."""
        return Person(self.name, self.role)


class _File(Config):
    secret: str = Field(repr=False)
    accounts: tuple[Account, ...] = ()


def read_accounts(path: Path) -> _File:
    """The file of accounts.

    Raises:
        NotFoundError: there is no such file.
        ConfigError: it is none of ours.
    """
    if not path.is_file():
        raise NotFoundError(
            f"no file of accounts {path}",
            hint=f"make one: partlab app user NAME --role inspector --users {path}",
        )
    found = read_json(path)
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is no file of accounts")
    return validate(_File, found, str(path))


def set_account(path: Path, name: str, role: str, password: str | None) -> Account:
    """Make an account, or give one another role or password; None: they come through a proxy.

    Raises:
        UnknownNameError: no such role.
        ConfigError: an empty name, or a password that is too short.
    """
    if role not in ROLES:
        raise UnknownNameError("role", role, ROLES)
    if not name.strip() or name != name.strip() or "|" in name:
        raise ConfigError(f"{name!r} cannot be a name", hint="an email address, or a short name")
    if password is not None and len(password) < _SHORTEST:
        raise ConfigError(f"a password has at least {_SHORTEST} letters")
    salt = secrets.token_hex(16) if password is not None else ""
    digest = "" if password is None else _digest(password, salt)
    made = Account.model_validate({"name": name, "role": role, "salt": salt, "scrypt": digest})
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.parent, patience=10):
        there = read_accounts(path) if path.is_file() else _File(secret=secrets.token_hex(32))
        others = [each for each in there.accounts if each.name != name]
        kept = [each.model_dump() for each in (*others, made)]
        write_json(path, {"secret": there.secret, "accounts": kept})
        os.chmod(path, 0o600)
    return made


def _digest(password: str, salt: str) -> str:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogateescape"),
        salt=salt.encode(),
        maxmem=_MEMORY,
        dklen=32,
        **_COST,
    ).hex()


@dataclass
class Accounts:
    """The file of accounts of an app, read again when it changes."""

    path: Path
    now: Callable[[], float] = time.time
    _read: float = -1.0
    _file: _File = field(default_factory=lambda: _File(secret=""), repr=False)

    def __post_init__(self) -> None:
        self._look()

    def find(self, name: str) -> Person | None:
        """Somebody in the file."""
        found = self._account(name)
        return found.person if found else None

    def check(self, name: str, password: str) -> Person | None:
        """Who has this password. A name that is not known takes as long as a wrong password."""
        found = self._account(name)
        salt, wanted = (found.salt, found.scrypt) if found and found.scrypt else ("none", "")
        same = hmac.compare_digest(_digest(password, salt), wanted)
        return found.person if found and same else None

    def session(self, name: str) -> str:
        """What the cookie of somebody who has just signed in says."""
        since = str(int(self.now()))
        told = base64.urlsafe_b64encode(name.encode("utf-8", "surrogateescape")).decode()
        return f"{told}.{since}.{self._sign(name, since)}"

    def holder(self, session: str) -> Person | None:
        """Whose cookie this is; None: nobody's, too old, or from before a change of password."""
        told, _, rest = session.partition(".")
        since, _, signature = rest.partition(".")
        try:
            name = base64.urlsafe_b64decode(told).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError):
            return None
        if not since.isdecimal() or not 0 <= self.now() - int(since) <= SESSION_S:
            return None
        same = hmac.compare_digest(self._sign(name, since).encode(), signature.encode())
        return self.find(name) if same else None

    def _sign(self, name: str, since: str) -> str:
        found = self._account(name)
        signed = f"{name}|{since}|{found.scrypt if found else ''}"
        text = signed.encode("utf-8", "surrogateescape")
        return hmac.new(bytes.fromhex(self._file.secret), text, hashlib.sha256).hexdigest()

    def _account(self, name: str) -> Account | None:
        self._look()
        return next((each for each in self._file.accounts if each.name == name), None)

    def _look(self) -> None:
        changed = self.path.stat().st_mtime if self.path.is_file() else -1.0
        if changed != self._read or changed < 0:
            self._file, self._read = read_accounts(self.path), changed
