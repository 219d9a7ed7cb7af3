"""Accounts for annotators and inspectors.

Label Studio's own call for making users ignores the password and leaves them outside the
organisation, so they sign up as people do: by the invitation's form.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import unescape
from shlex import quote

import httpx

from annotate.studio.api.client import Studio
from annotate.web import open_http
from partlab.errors import ConfigError, StudioError, UnknownNameError

_EMAIL = re.compile(r"[^\s@<>\"]+@[^\s@<>\"']+")


@dataclass(frozen=True, slots=True)
class Account:
    """A user; `password` is known only when the account was made just now."""

    email: str
    id: int
    password: str | None = None


def create_users(studio: Studio, emails: Iterable[str]) -> list[Account]:
    """Make the accounts that are missing, each with a random password; in the order given.

    Raises:
        ConfigError: an email is not one; nothing was made.
        StudioError: the server turned a sign-up down.
    """
    wanted = list(dict.fromkeys(checked_email(email) for email in emails))
    known = studio.users()
    new = {email: secrets.token_urlsafe(12) for email in wanted if email not in known}
    invitation = studio.get("/api/invite")["token"] if new else ""
    for email, password in new.items():
        _sign_up(studio.url, invitation, email, password)
    if new:
        known = studio.users()
    for email in new:
        if email not in known:
            raise StudioError(f"{email} signed up, but Label Studio does not list the account")
    return [Account(email, known[email], new.get(email)) for email in wanted]


def checked_email(email: str) -> str:
    """The address in lower case, as everybody is known here.

    Raises:
        ConfigError: it is none.
    """
    email = email.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise ConfigError(f"{email!r} is not an email address")
    return email


def need_users(studio: Studio, emails: Iterable[str]) -> Mapping[str, int]:
    """Ids of these users, by email in lower case.

    Raises:
        UnknownNameError: one has no account; near emails are suggested.
    """
    known = studio.users()
    found = {}
    for email in emails:
        if (id := known.get(email.strip().lower())) is None:
            error = UnknownNameError("Label Studio user", email, known)
            near = f"{error.hint} Or " if error.hint and error.hint.endswith("?") else ""
            error.hint = f"{near}make the account: partlab studio user {quote(email)}"
            raise error
        found[email.strip().lower()] = id
    return found


def _sign_up(url: str, invitation: str, email: str, password: str) -> None:
    page = f"{url}/user/signup/?token={invitation}"
    try:
        with open_http(url, timeout=60) as browser:
            browser.get(page)
            form = {"email": email, "password": password, "how_find_us": ""}
            form["csrfmiddlewaretoken"] = browser.cookies.get("csrftoken") or ""
            answer = browser.post(page, data=form, headers={"Referer": page})
    except httpx.HTTPError as error:
        raise StudioError(f"cannot sign {email} up: {type(error).__name__}") from error
    if not answer.has_redirect_location:  # it shows the form again, with what is wrong
        shown = re.findall(r'class="field_errors">(.*?)</ul>', answer.text, re.DOTALL)
        words = " ".join(unescape(re.sub(r"<[^>]*>", " ", " ".join(shown))).split())
        why = words[:200] or f"status {answer.status_code}"
        raise StudioError(f"Label Studio did not accept the account {email}: {why}")
