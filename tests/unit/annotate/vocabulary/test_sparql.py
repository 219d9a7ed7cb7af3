"""The SPARQL client against a real engine: batches, cache, politeness, and every way to fail."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from annotate.vocabulary.sources.answers import Answers
from annotate.vocabulary.sources.sparql import Endpoint, Question, literal
from partlab.errors import (
    BackendUnavailableError,
    ConfigError,
    PartlabError,
    SchemaError,
)

if TYPE_CHECKING:
    from sparql_engine import SparqlEngine

Open = Callable[..., Endpoint]

LABELS = Question(
    "labels",
    "PREFIX wd: <http://www.wikidata.org/entity/>"
    "PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>"
    'SELECT ?key ?label WHERE { VALUES ?key { KEYS } ?key rdfs:label ?label FILTER(LANG(?label) = "en") }',  # noqa: E501
)
HAMMER = {"wd:Q25294": [{"label": "hammer"}]}
SIX = [f"wd:Q{number}" for number in (25294, 1094, 901, 902, 903, 905)]


@pytest.fixture
def connect(sparql_endpoint: "SparqlEngine", tmp_path: Path) -> Iterator[Open]:
    """An endpoint that keeps answers in tmp_path/cache and loses no time between retries."""
    opened: list[Any] = []

    def build(**settings: Any) -> Endpoint:
        answers = Answers(tmp_path / "cache")
        endpoint = Endpoint(
            settings.pop("url", sparql_endpoint.url),
            **{"answers": answers, "pause": 0.01, "timeout": 5.0, **settings},
        )
        opened.extend((endpoint._http, answers))
        return endpoint

    yield build
    for one in opened:
        one.close()


def test_each_key_has_its_rows_and_one_request_serves_many(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    endpoint = connect()
    found = endpoint.ask(LABELS, [*SIX, "wd:Q25294", "wd:Q404404"])
    assert found["wd:Q25294"] == [{"label": "hammer"}]
    assert found["wd:Q903"] == [{"label": "hammerhead"}]
    assert found["wd:Q404404"] == []
    assert len(sparql_endpoint.requests) == endpoint.requests == 1


def test_short_queries_are_sent_by_get_and_long_ones_by_post(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    endpoint = connect(batch=1000)
    endpoint.ask(LABELS, ["wd:Q25294"])
    found = endpoint.ask(LABELS, [f"wd:Q{number}" for number in range(900, 1200)])
    assert [request["method"] for request in sparql_endpoint.requests] == ["GET", "POST"]
    assert found["wd:Q1094"] == [{"label": "handle"}]


def test_it_says_who_asks(connect: Open, sparql_endpoint: "SparqlEngine") -> None:
    connect(contact="me@example.org").ask(LABELS, ["wd:Q25294"])
    headers = sparql_endpoint.requests[0]["headers"]
    assert headers["User-Agent"].startswith("partlab/")
    assert "me@example.org" in headers["User-Agent"]
    assert headers["Accept"] == "application/sparql-results+json"
    with pytest.raises(ConfigError, match="contact"):
        connect(contact="a\r\nX: y")


def test_batches_have_the_size_that_is_set(connect: Open, sparql_endpoint: "SparqlEngine") -> None:
    connect(batch=2).ask(LABELS, SIX)
    assert [query.count("wd:Q") for query in sparql_endpoint.queries] == [2, 2, 2]


@pytest.mark.parametrize("text", ['say "hi"', "back\\slash", "new\nline", "Körper", "槌", "'"])
def test_literals_of_any_kind_are_found_again(
    connect: Open, sparql_endpoint: "SparqlEngine", text: str
) -> None:
    sparql_endpoint.triples.item("Q1", text)
    question = Question(
        "names",
        "SELECT ?key ?item WHERE { VALUES ?key { KEYS }"
        " ?item <http://www.w3.org/2000/01/rdf-schema#label> ?key }",
    )
    key = literal(text, "en")
    assert connect().ask(question, [key]) == {key: [{"item": "http://www.wikidata.org/entity/Q1"}]}


# -- what was answered is kept ----------------------------------------------------------------


def test_a_second_run_asks_only_for_what_is_new(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    connect().ask(LABELS, SIX[:4])
    again = connect()
    found = again.ask(LABELS, SIX)
    assert sparql_endpoint.queries[1].count("wd:Q") == 2
    assert (again.requests, again.from_cache) == (1, 4)
    assert {key: rows[0]["label"] for key, rows in found.items()}["wd:Q901"] == "striker"


def test_answers_belong_to_question_and_endpoint(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    connect().ask(LABELS, ["wd:Q913"])
    german = Question("labels", LABELS.text.replace('"en"', '"de"'))
    assert connect().ask(german, ["wd:Q913"]) == {"wd:Q913": [{"label": "Kopf"}]}
    connect(url=sparql_endpoint.url + "?other=1").ask(LABELS, ["wd:Q913"])
    assert len(sparql_endpoint.requests) == 3
    assert "?other=1&query=" in sparql_endpoint.requests[2]["path"]


def test_refresh_asks_again_and_keeps_the_new_answer(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    assert connect().ask(LABELS, ["wd:Q77"]) == {"wd:Q77": []}
    sparql_endpoint.triples.item("Q77", "anvil")
    assert connect().ask(LABELS, ["wd:Q77"]) == {"wd:Q77": []}
    assert connect(refresh=True).ask(LABELS, ["wd:Q77"]) == {"wd:Q77": [{"label": "anvil"}]}
    assert connect().ask(LABELS, ["wd:Q77"]) == {"wd:Q77": [{"label": "anvil"}]}


def test_offline_works_from_the_cache_and_says_what_is_missing(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    connect().ask(LABELS, ["wd:Q25294"])
    sparql_endpoint.stop()
    try:
        offline = connect(offline=True)
        assert offline.ask(LABELS, ["wd:Q25294"]) == HAMMER
        with pytest.raises(BackendUnavailableError, match=r"1 of 2 .*wd:Q901"):
            offline.ask(LABELS, ["wd:Q25294", "wd:Q901"])
        assert offline.requests == 0
    finally:
        sparql_endpoint.start_again()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds between attempts, written down and not slept."""
    asked: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=asked.append))
    return asked


def test_offline_and_refresh_exclude_each_other(connect: Open) -> None:
    with pytest.raises(ConfigError, match="cannot be asked for again offline"):
        connect(offline=True, refresh=True)


def test_nobody_there_is_one_sentence_soon(
    connect: Open, sparql_endpoint: "SparqlEngine", waits: list[float]
) -> None:
    """After one short wait: a server that never answered is not waited for."""
    connect().ask(LABELS, ["wd:Q25294"])
    sparql_endpoint.stop()
    try:
        assert connect().ask(LABELS, ["wd:Q25294"]) == HAMMER  # stored
        with pytest.raises(BackendUnavailableError, match="no answer from http") as caught:
            connect().ask(LABELS, ["wd:Q901"])
        assert waits == [0.01]
        assert "--offline" in (caught.value.hint or "")
    finally:
        sparql_endpoint.start_again()


def test_a_server_that_comes_back_is_waited_for(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    endpoint = connect()
    endpoint.ask(LABELS, ["wd:Q25294"])
    sparql_endpoint.then(502)
    sparql_endpoint.then(500, "Internal error")
    assert endpoint.ask(LABELS, ["wd:Q901"]) == {"wd:Q901": [{"label": "striker"}]}


def test_damaged_stored_answers_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(SchemaError, match="damaged") as caught:
        Answers(tmp_path)
    assert "delete" in (caught.value.hint or "")


def test_damaged_rows_are_one_sentence(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    answers.put({"a": [{"x": "1"}]})
    with sqlite3.connect(answers.path) as database:
        database.execute("UPDATE answers SET rows = '[{'")
    with pytest.raises(SchemaError, match="damaged"):
        answers.get(["a"])
    answers.close()


def test_a_cache_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Answers(tmp_path / "file")
    (tmp_path / "folder" / "answers.sqlite").mkdir(parents=True)
    with pytest.raises(PartlabError, match="cannot use the stored answers"):
        Answers(tmp_path / "folder")


# -- politeness -------------------------------------------------------------------------------


def test_retry_after_in_seconds_is_waited_for(
    connect: Open, sparql_endpoint: "SparqlEngine", waits: list[float]
) -> None:
    sparql_endpoint.then(429, "Too Many Requests", Retry_After="1")
    assert connect().ask(LABELS, ["wd:Q25294"]) == HAMMER
    assert waits == [1.0]


def test_retry_after_as_a_date_goes_by_the_servers_clock(
    connect: Open, sparql_endpoint: "SparqlEngine", waits: list[float]
) -> None:
    """The server's clock is a day off; the wait is what lies between its own two times."""
    now = datetime.now(UTC) - timedelta(days=1)
    later = format_datetime(now + timedelta(seconds=1), usegmt=True)
    sparql_endpoint.then(503, Retry_After=later, Date=format_datetime(now, usegmt=True))
    assert connect().ask(LABELS, ["wd:Q25294"]) == HAMMER
    assert waits == [1.0]


@pytest.mark.parametrize("asked", ["soon", "", "-3"])
def test_a_retry_after_without_sense_does_no_harm(
    connect: Open, sparql_endpoint: "SparqlEngine", asked: str
) -> None:
    sparql_endpoint.then(429, Retry_After=asked)
    assert connect().ask(LABELS, ["wd:Q25294"]) == HAMMER


def test_a_long_wait_is_told_instead_of_slept(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    sparql_endpoint.then(429, Retry_After="3600")
    with pytest.raises(BackendUnavailableError, match="60 minutes"):
        connect().ask(LABELS, ["wd:Q25294"])
    assert len(sparql_endpoint.requests) == 1


def test_a_server_that_stays_busy_is_left_alone(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    for _ in range(9):
        sparql_endpoint.then(429, Retry_After="0")
    with pytest.raises(BackendUnavailableError, match=r"busy.*6 attempts"):
        connect().ask(LABELS, ["wd:Q25294"])
    assert len(sparql_endpoint.requests) == 6


def test_the_attempts_that_were_made_are_told(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    """A server that has never answered fails twice, and is left alone."""
    for _ in range(3):
        sparql_endpoint.then(500)
    with pytest.raises(BackendUnavailableError, match=r"failed \(500\), also after 2 attempts"):
        connect().ask(LABELS, ["wd:Q25294"])
    assert len(sparql_endpoint.requests) == 2


# -- what takes too long ----------------------------------------------------------------------


def test_a_batch_that_takes_too_long_is_halved_and_later_ones_are_smaller(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    sparql_endpoint.most_keys = 2
    found = connect(batch=4).ask(LABELS, [*SIX, "wd:Q906", "wd:Q913"])
    assert all(len(rows) == 1 for rows in found.values())
    assert [query.count("wd:Q") for query in sparql_endpoint.queries] == [4, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (414, "URI Too Long"),
        (504, "<html>Gateway Timeout</html>"),
        (200, '{"results": {"bindings": [\njava.util.TimeoutException'),
    ],
)
def test_gateways_and_answers_that_break_off_count_as_too_long(
    connect: Open, sparql_endpoint: "SparqlEngine", status: int, body: str
) -> None:
    sparql_endpoint.then(status, body)
    assert connect().ask(LABELS, SIX[:2])["wd:Q1094"] == [{"label": "handle"}]
    assert [query.count("wd:Q") for query in sparql_endpoint.queries] == [2, 1, 1]


def test_our_own_time_limit_counts_too(connect: Open, sparql_endpoint: "SparqlEngine") -> None:
    sparql_endpoint.delay = 0.6
    with pytest.raises(BackendUnavailableError, match=r"0\.2 s") as caught:
        connect(timeout=0.2).ask(LABELS, SIX)
    assert "--timeout" in (caught.value.hint or "")
    sparql_endpoint.delay = 0


def test_one_thing_that_takes_too_long_does_not_stop_the_others(
    connect: Open, sparql_endpoint: "SparqlEngine"
) -> None:
    sparql_endpoint.poison = "wd:Q903"
    endpoint = connect()
    found = endpoint.ask(LABELS, SIX)
    assert endpoint.unanswered == ["wd:Q903"]
    assert sorted(key for key, rows in found.items() if rows) == sorted(set(SIX) - {"wd:Q903"})
    sparql_endpoint.poison = ""
    assert connect().ask(LABELS, ["wd:Q903"]) == {"wd:Q903": [{"label": "hammerhead"}]}


# -- what is no SPARQL endpoint ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, "<html>hello</html>", "does not speak SPARQL"),
        (200, "[1, 2]", "does not speak SPARQL"),
        (200, '{"results": {"bindings": [{"key": "x"}]}}', "does not speak SPARQL"),
        (200, '{"results": {"bindings": [{"key": {"type": "uri", "value": 5}}]}}', "SPARQL"),
        (200, '{"boolean": true}', "does not speak SPARQL"),
        (200, "", "does not speak SPARQL"),
        (404, "not here", "it answered 404"),
        (400, "MalformedQueryException: line 3", "does not understand the query .*line 3"),
        (403, "", r"refuses us \(403\)"),
    ],
)
def test_wrong_answers_are_one_sentence(
    connect: Open, sparql_endpoint: "SparqlEngine", status: int, body: str, words: str
) -> None:
    sparql_endpoint.then(status, body)
    with pytest.raises(PartlabError, match=words) as caught:
        connect().ask(LABELS, ["wd:Q25294"])
    assert "\n" not in caught.value.message
    assert connect().ask(LABELS, ["wd:Q25294"]) == HAMMER  # nothing wrong was stored


@pytest.mark.parametrize("url", ["", "wikidata", "ftp://x/y", "http://"])
def test_an_address_that_is_none(connect: Open, url: str) -> None:
    with pytest.raises(ConfigError, match="not the address"):
        connect(url=url)


def test_unknown_values_are_left_out(connect: Open, sparql_endpoint: "SparqlEngine") -> None:
    body = (
        '{"results": {"bindings": [{"key": {"type": "uri", "value": '
        '"http://www.wikidata.org/entity/Q1"}, "other": {"type": "bnode", "value": "t1"}}]}}'
    )
    sparql_endpoint.then(200, body)
    assert connect().ask(LABELS, ["wd:Q1"]) == {"wd:Q1": [{}]}
