"""The way to a server: its address, the certificates it may have, the proxies on the way."""

import urllib.request

import httpx

from annotate.web import CERTIFICATES, http_address, is_loopback
from partlab.errors import StudioError

URL_VARIABLE, TOKEN_VARIABLE = "PARTLAB_STUDIO_URL", "PARTLAB_STUDIO_TOKEN"
SET_THEM = (
    f"start a server with `partlab studio up DIR` and export {URL_VARIABLE} and "
    f"{TOKEN_VARIABLE} as it prints them"
)


def checked_url(url: str) -> str:
    """The address of a server without a slash at its end.

    Raises:
        StudioError: it is none, or holds a password.
    """
    if (parsed := http_address(url)) is None:
        raise StudioError(
            f"{url!r} is not the address of a server",
            hint=f"set {URL_VARIABLE} to something like http://127.0.0.1:8080",
        )
    if parsed.userinfo:  # it would end in messages and projects
        raise StudioError(
            f"the address of {parsed.host} holds a user or a password",
            hint=f"leave them out of {URL_VARIABLE}; {TOKEN_VARIABLE} is what logs in",
        )
    return str(parsed).rstrip("/")


def checked_token(token: str) -> str:
    """The token as it goes into a request; it is never shown.

    Raises:
        StudioError: it cannot be one.
    """
    token = token.strip()
    if not (token.isascii() and token.isprintable()) or " " in token or not token:
        raise StudioError(
            "the token has blanks, line breaks or signs that no token has",
            hint=f"copy it into {TOKEN_VARIABLE} again",
        )
    return token


def unreachable(url: str, error: Exception) -> StudioError:
    """What a connection that failed means."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return _no_connection(url, str(error))
    why = "took too long" if isinstance(error, httpx.TimeoutException) else "broke off"
    return StudioError(
        f"the answer of {url} {why} ({type(error).__name__})",
        hint="see whether the server still runs, then run the same command again",
    )


def _no_connection(url: str, words: str) -> StudioError:
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return StudioError(
            f"the certificate of {url} is not one this machine trusts",
            hint=f"if it is yours, export {CERTIFICATES} with its PEM file",
        )
    if "WRONG_VERSION_NUMBER" in words or "record layer" in words:
        return StudioError(
            f"{url} does not speak https",
            hint=f"set {URL_VARIABLE} to its address with http://",
        )
    proxies = () if is_loopback(url) else urllib.request.getproxies().values()
    over = f" over the proxy {min(proxies).rpartition('@')[2]}" if proxies else ""
    return StudioError(f"no Label Studio answers at {url}{over}", hint=SET_THEM)
