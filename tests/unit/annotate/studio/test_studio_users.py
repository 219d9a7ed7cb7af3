"""Accounts are made as people make them, and only once; a server's settings come from a file."""

from pathlib import Path

import httpx
import pytest

from annotate.studio.api.client import Studio
from annotate.studio.api.users import create_users, need_users
from annotate.studio.server.start import Running, read_settings
from partlab.errors import ConfigError, NotFoundError, StudioError, UnknownNameError


def logs_in(url: str, email: str, password: str) -> bool:
    with httpx.Client(base_url=url) as browser:
        browser.get("/user/login/")
        form = {"email": email, "password": password}
        form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
        return browser.post("/user/login/", data=form).has_redirect_location


def test_a_new_user_can_log_in_and_an_old_one_stays(studio: Studio, studio_server: Running) -> None:
    first = create_users(studio, ["Zoe.First@example.org", "second.o'neil@example.org"])
    assert [account.email for account in first] == [
        "zoe.first@example.org",
        "second.o'neil@example.org",
    ]
    for account in first:
        assert account.password is not None
        assert logs_in(studio_server.url, account.email, account.password)
        assert not logs_in(studio_server.url, account.email, account.password + "x")
    again = create_users(studio, ["SECOND.o'neil@example.org", "third@example.org"])
    assert again[0].password is None
    assert again[0].id == first[1].id
    assert again[1].password


def test_something_that_is_no_email_makes_nobody(studio: Studio) -> None:
    with pytest.raises(ConfigError, match="'not an email' is not an email"):
        create_users(studio, ["fourth@example.org", "not an email"])
    assert "fourth@example.org" not in studio.users()


def test_the_server_says_why_it_turns_someone_down(studio: Studio) -> None:
    with pytest.raises(StudioError, match="did not accept the account a@b: Enter a valid email"):
        create_users(studio, ["a@b"])


def test_who_is_missing_is_named_with_near_names(studio: Studio) -> None:
    create_users(studio, ["near@example.org"])
    assert set(need_users(studio, ["NEAR@example.org"])) == {"near@example.org"}
    with pytest.raises(UnknownNameError, match="neer@example") as caught:
        need_users(studio, ["neer@example.org"])
    assert "near@example.org" in str(caught.value.hint)
    assert "partlab studio user" in str(caught.value.hint)


def test_settings_of_the_server_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "pg.env").write_text("# team\nDJANGO_DB=default\nPOSTGRE_PASSWORD='a=b'\n\n")
    assert read_settings(tmp_path / "pg.env") == {"DJANGO_DB": "default", "POSTGRE_PASSWORD": "a=b"}
    (tmp_path / "bad.env").write_text("export X\n")
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        read_settings(tmp_path / "bad.env")
    with pytest.raises(NotFoundError):
        read_settings(tmp_path / "none.env")
