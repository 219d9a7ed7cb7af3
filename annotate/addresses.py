"""Addresses of servers, as people type them."""

import httpx


def http_address(text: str) -> httpx.URL | None:
    """The address of a server that speaks HTTP; None where `text` is none."""
    try:
        parsed = httpx.URL(text.strip())
    except httpx.InvalidURL:
        return None
    return parsed if parsed.scheme in ("http", "https") and parsed.host else None
