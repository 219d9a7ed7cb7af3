"""Accounts and sessions: who is who, for how long, and how long it takes to be refused."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.web.people import ROLES, SESSION_S, Accounts, Person, set_account
from partlab.errors import ConfigError, NotFoundError, UnknownNameError

PASSWORD = "correct horse"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    set_account(tmp_path / "people.json", "kim@x.org", "inspector", PASSWORD)
    return tmp_path / "people.json"


def test_the_file_holds_hashes_that_only_its_owner_may_read(file: Path) -> None:
    assert PASSWORD not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (account,) = json.loads(file.read_text())["accounts"]
    assert len(account["scrypt"]) == 64


def test_two_people_with_one_password_have_different_hashes(file: Path) -> None:
    set_account(file, "lou@x.org", "lead", PASSWORD)
    kim, lou = json.loads(file.read_text())["accounts"]
    assert kim["scrypt"] != lou["scrypt"]


def test_the_right_password_only(file: Path) -> None:
    accounts = Accounts(file)
    assert accounts.check("kim@x.org", PASSWORD) == Person("kim@x.org", "inspector")
    assert accounts.check("kim@x.org", PASSWORD.upper()) is None
    assert accounts.check("kim@x.org", "") is None
    assert accounts.check("nobody", PASSWORD) is None


def test_who_comes_through_a_proxy_has_no_password_at_all(file: Path) -> None:
    set_account(file, "lou@x.org", "lead", None)
    accounts = Accounts(file)
    assert accounts.check("lou@x.org", "") is None
    assert accounts.find("lou@x.org") == Person("lou@x.org", "lead")


def test_a_session_lasts_until_it_is_old_or_the_password_changes(file: Path) -> None:
    now = [1_000_000.0]
    accounts = Accounts(file, now=lambda: now[0])
    session = accounts.session("kim@x.org")
    assert accounts.holder(session) == Person("kim@x.org", "inspector")
    now[0] += SESSION_S + 1
    assert accounts.holder(session) is None
    now[0] -= SESSION_S + 1
    set_account(file, "kim@x.org", "lead", "another password")
    assert Accounts(file, now=lambda: now[0]).holder(session) is None


@pytest.mark.parametrize("change", ["", "x", "a.b.c", "a.5.c", "é.5.c", "..", "LA==.5.00"])
def test_a_session_that_nobody_signed_is_nobodys(file: Path, change: str) -> None:
    accounts = Accounts(file)
    assert accounts.holder(change) is None
    name, since, signature = accounts.session("kim@x.org").split(".")
    assert accounts.holder(f"{name}.{int(since) - 1}.{signature}") is None
    assert accounts.holder(f"{name}.{since}.{signature[:-1]}0") is None or signature[-1] == "0"


def test_roles_contain_those_below_them() -> None:
    assert [Person("a", "lead").may(role) for role in ROLES] == [True, True, True, False]


@pytest.mark.parametrize("name", ["", " ", " kim", "kim|lou"])
def test_a_name_that_cannot_be_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        set_account(tmp_path / "people.json", name, "lead", PASSWORD)


def test_faults_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as missing:
        Accounts(tmp_path / "people.json")
    assert "partlab app user" in str(missing.value.hint)
    with pytest.raises(UnknownNameError):
        set_account(tmp_path / "people.json", "kim", "inspecter", PASSWORD)
    with pytest.raises(ConfigError, match="at least 8"):
        set_account(tmp_path / "people.json", "kim", "lead", "short")
    (tmp_path / "people.json").write_text("[]")
    with pytest.raises(ConfigError, match="no file of accounts"):
        Accounts(tmp_path / "people.json")


def test_the_command_asks_for_the_password(tmp_path: Path) -> None:
    words = ["app", "user", "kim@x.org", "--role", "lead", "--users", str(tmp_path / "p.json")]
    done = CliRunner().invoke(app, words, input=f"{PASSWORD}\n")
    assert done.exit_code == 0, done.output
    assert "kim@x.org may use the app as lead" in done.stdout
    assert PASSWORD not in done.output
    assert Accounts(tmp_path / "p.json").check("kim@x.org", PASSWORD)
