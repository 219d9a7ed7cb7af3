"""Servers that speak HTTP: their addresses as people type them, and the way to them."""

import os
from typing import Any

import httpx

from partlab.errors import BackendUnavailableError, NotFoundError, StudioError

CERTIFICATES = "SSL_CERT_FILE"


def http_address(text: str) -> httpx.URL | None:
    """The address of a server that speaks HTTP; None where `text` is none."""
    try:
        parsed = httpx.URL(text.strip())
    except httpx.InvalidURL:
        return None
    return parsed if parsed.scheme in ("http", "https") and parsed.host else None


def open_http(url: str, **options: Any) -> httpx.Client:
    """A client for this address; `options` are httpx's.

    Proxies of the environment are used for other machines only, since none can reach our own.
    A server with a certificate of its own is trusted through the file SSL_CERT_FILE.

    Raises:
        NotFoundError: that file is not there, or holds no certificates.
        BackendUnavailableError: the proxy is of a kind that needs a package.
    """
    try:
        verify = httpx.create_ssl_context()
    except OSError as error:
        named = os.environ.get(CERTIFICATES) or os.environ.get("SSL_CERT_DIR")
        raise NotFoundError(
            f"cannot read certificates from {named}: {error.strerror or error}",
            hint=f"{CERTIFICATES} names a PEM file with the certificate of the server",
        ) from error
    try:
        return httpx.Client(verify=verify, trust_env=not is_loopback(url), **options)
    except (ImportError, ValueError) as error:  # SOCKS without its package, or no address at all
        kind = BackendUnavailableError if isinstance(error, ImportError) else StudioError
        raise kind(
            f"the proxy on the way to {url} cannot be used: {str(error).split('. ')[0]}",
            hint="install it with pip install 'httpx[socks]', or leave the server out of the "
            f"proxy: export NO_PROXY={httpx.URL(url).host}",
        ) from error


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = httpx.URL(url).host
    return host in ("localhost", "::1") or host.startswith("127.")
