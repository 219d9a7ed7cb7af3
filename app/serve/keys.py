"""Who may ask: a file with hashes of keys, each with a name and a role.

Keys are 256 bits of chance, so a plain SHA-256 of one tells nobody anything; a slow hash is for
passwords that people think of.
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.serve.errors import RefusalError
from app.serve.settings import Role
from partlab.config import Config, validate
from partlab.errors import ConfigError, NotFoundError, OutputExistsError
from partlab.files import exclusive, read_json, write_json

ROLES: tuple[Role, ...] = ("read", "attack", "admin")
"""Each may do what those before it may."""


class Holder(Config):
    """Somebody with a key."""

    name: str
    role: Role
    sha256: str

    def may(self, role: Role) -> bool:
        """Whether this role is theirs or below it."""
        return ROLES.index(self.role) >= ROLES.index(role)


class _File(Config):
    keys: tuple[Holder, ...] = ()


def read_keys(path: Path) -> tuple[Holder, ...]:
    """The holders in a file of keys.

    Raises:
        NotFoundError: there is no such file.
        ConfigError: it is none of ours.
    """
    if not path.is_file():
        raise NotFoundError(
            f"no file of keys {path}", hint=f"make one: partlab serve key NAME --keys {path}"
        )
    found = read_json(path)
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is no file of keys")
    return validate(_File, found, str(path)).keys


def add_key(path: Path, name: str, role: str) -> str:
    """Make a key, keep its hash in the file, and give the key, which is kept nowhere.

    Raises:
        OutputExistsError: somebody of that name has one.
        ConfigError: no such role, or an empty name.
    """
    if role not in ROLES:
        raise ConfigError(f"unknown role {role!r}", hint=f"one of {', '.join(ROLES)}")
    if not name.strip():
        raise ConfigError("a key needs the name of its holder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.parent, patience=10):
        there = read_keys(path) if path.is_file() else ()
        if any(each.name == name for each in there):
            raise OutputExistsError(
                f"{path} has a key of {name} already",
                hint="take its lines out of the file to withdraw it, or use another name",
            )
        key = f"pl_{secrets.token_urlsafe(32)}"
        made = {"name": name, "role": role, "sha256": _hash(key)}
        holders = [*there, Holder.model_validate(made)]
        write_json(path, {"keys": [each.model_dump() for each in holders]})
        os.chmod(path, 0o600)
    return key


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass
class Keys:
    """The file of keys of a server, read again when it changes; None: everybody may do all."""

    path: Path | None
    _read: float = -1.0
    _holders: tuple[Holder, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        self._look()

    def holder(self, headers: Mapping[str, str], role: Role) -> str | None:
        """The name of who sends this request; None where no keys are asked for.

        Raises:
            RefusalError: 401 without a known key, 403 with one that does not suffice.
        """
        if self.path is None:
            return None
        self._look()
        found = self._find(_sent(headers))
        if found is None:
            raise RefusalError(
                401,
                "this server asks for a key, and none that it knows was sent",
                hint="send the header Authorization: Bearer KEY",
                headers={"WWW-Authenticate": 'Bearer realm="partlab"'},
            )
        if not found.may(role):
            raise RefusalError(
                403,
                f"the key of {found.name} has the role {found.role}, this needs {role}",
                hint=f"have a key made with --role {role}",
            )
        return found.name

    def _find(self, key: str) -> Holder | None:
        """Every hash is compared, each in constant time: how long it takes tells nothing."""
        digest, found = _hash(key), None
        for each in self._holders:
            if hmac.compare_digest(each.sha256.encode(), digest.encode()):
                found = each
        return found if key else None

    def _look(self) -> None:
        if self.path is not None:
            changed = self.path.stat().st_mtime if self.path.is_file() else -1.0
            if changed != self._read or changed < 0:
                self._holders, self._read = read_keys(self.path), changed


def _sent(headers: Mapping[str, str]) -> str:
    """The key; Label Studio sends it as the password of a user, who may have any name."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    if scheme.lower() == "basic":
        with suppress(ValueError):
            return base64.b64decode(key, validate=True).decode().partition(":")[2].strip()
    return headers.get("x-api-key", "").strip()
