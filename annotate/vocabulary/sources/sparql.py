"""A SPARQL endpoint: batches of questions, one request at a time, politely, answers kept.

    with Endpoint("https://query.wikidata.org/sparql", contact="me@example.org") as endpoint:
        rows = endpoint.ask(Question("labels", "SELECT … VALUES ?key { KEYS } …"), ["wd:Q25294"])

A question is asked about many keys at once and stored for each key alone, so a longer list
of categories asks only for what is new. A batch that takes the server too long is halved.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, Self

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.wait import wait_exponential

from annotate.vocabulary.sources.answers import Answers, Rows
from annotate.web import http_address, open_http
from partlab.errors import BackendUnavailableError, ConfigError, PartlabError
from partlab.progress import track

log = logging.getLogger(__name__)

ENTITY = "http://www.wikidata.org/entity/"
_LONGEST_URL = 1900  # characters; longer queries are POSTed
_ATTEMPTS = 6
_GIVE_UP_AFTER = 3  # single questions in a row that take too long
_TIMEOUT_WORDS = ("TimeoutException", "QueryTimeout", "timed out")


@dataclass(frozen=True, slots=True)
class Question:
    """A SELECT with `VALUES ?key { KEYS }`; every row says in `?key` what it is about.

    `what` names the things asked about, for progress and errors ("labels").
    """

    what: str
    text: str

    def about(self, keys: Sequence[str]) -> str:
        """The query for these keys."""
        return self.text.replace("KEYS", " ".join(keys))


class _BusyError(Exception):
    """The server asks to come back; `wait` in seconds, if it says how long."""

    def __init__(self, words: str, wait: float | None = None) -> None:
        super().__init__(words)
        self.wait = wait


class _TooLongError(Exception):
    """The query took the server, or us, too long."""


class Endpoint:
    """One SPARQL endpoint.

    `requests` counts what was sent, `from_cache` the keys answered from disk, and `unanswered`
    holds the keys that take too long even alone.
    """

    def __init__(
        self,
        url: str,
        *,
        answers: Answers | None = None,
        timeout: float = 60.0,
        contact: str = "",
        batch: int = 100,
        offline: bool = False,
        refresh: bool = False,
        patience: float = 300.0,
        pause: float = 1.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`timeout` in seconds for one answer, `patience` in seconds for one wanted wait.

        `offline` uses only stored answers, `refresh` asks again for those too; `pause` is the
        wait before the first retry.

        Raises:
            ConfigError: the address is not one, or `offline` and `refresh` are both on.
        """
        if offline and refresh:
            raise ConfigError(
                "answers cannot be asked for again offline",
                hint="leave out --refresh to use those that are kept, or --offline to ask",
            )
        self.url, self._answers = _checked_url(url), answers
        self._timeout, self._batch, self._patience = timeout, batch, patience
        self._offline, self._refresh = offline, refresh
        self._back_off = wait_exponential(pause, min=pause, max=60)
        self._answered, self._stuck = False, 0
        self.requests, self.from_cache = 0, 0
        self.unanswered: list[str] = []
        self._http = open_http(
            self.url,
            headers={
                "User-Agent": _user_agent(contact),
                "Accept": "application/sparql-results+json",
            },
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            follow_redirects=True,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(
        self,
        question: Question,
        keys: Sequence[str],
    ) -> dict[str, Rows]:
        """The rows about each key (SPARQL terms such as `wd:Q5`), stored ones first.

        Raises:
            BackendUnavailableError: nobody answers, or it is no SPARQL endpoint, or `offline`
                and not all is stored.
            PartlabError: the endpoint refuses the query.
        """
        keys = list(dict.fromkeys(keys))
        found = {} if self._refresh else self._stored(question, keys)
        self.from_cache += len(found)
        missing = [key for key in keys if key not in found]
        if missing and self._offline:
            raise self._not_stored(question, missing, len(keys))
        total = -(-len(missing) // self._batch)
        for batch in track(self._batches(missing), f"asking for {question.what}", total):
            found |= self._answer(question, batch)
        return found

    def _batches(self, missing: Sequence[str]) -> Iterator[Sequence[str]]:
        """Slices of the size that last worked."""
        self._size, start = self._batch, 0
        while start < len(missing):
            batch = missing[start : start + self._size]
            start += len(batch)
            yield batch

    def _answer(self, question: Question, keys: Sequence[str]) -> dict[str, Rows]:
        try:
            rows = self._fetch(question.about(keys))
        except _TooLongError:
            return self._halved(question, keys)
        self._stuck = 0
        found: dict[str, Rows] = {key: [] for key in keys}
        for row in rows:
            if (key := row.pop("key", "")) in found:
                found[key].append(row)
        if self._answers is not None:
            self._answers.put({self._hash(question, key): rows for key, rows in found.items()})
        return found

    def _halved(self, question: Question, keys: Sequence[str]) -> dict[str, Rows]:
        middle = len(keys) // 2
        if middle:
            self._size = max(1, middle)
            log.info("%d %s at once take too long; asking for half", len(keys), question.what)
            return self._answer(question, keys[:middle]) | self._answer(question, keys[middle:])
        self._stuck += 1
        if self._stuck >= _GIVE_UP_AFTER:
            raise BackendUnavailableError(
                f"{self.url} does not answer within {self._timeout:g} s, even about one thing",
                hint="try again later or with a longer --timeout; what was answered is kept",
            )
        log.warning("no answer within the time limit about the %s of %s", question.what, keys[0])
        self.unanswered.append(keys[0])
        return {keys[0]: []}

    def _hash(self, question: Question, key: str) -> str:
        return hashlib.sha256(f"{self.url}\n{question.about([key])}".encode()).hexdigest()

    def _stored(self, question: Question, keys: Sequence[str]) -> dict[str, Rows]:
        if self._answers is None:
            return {}
        hashes = {self._hash(question, key): key for key in keys}
        return {hashes[hash]: rows for hash, rows in self._answers.get(list(hashes)).items()}

    def _not_stored(
        self, question: Question, missing: Sequence[str], asked: int
    ) -> BackendUnavailableError:
        where = self._answers.path.parent if self._answers is not None else "no cache"
        return BackendUnavailableError(
            f"{len(missing)} of {asked} answers about {question.what} are not stored in {where} "
            f"(such as {missing[0]})",
            hint="run the same command once with a connection, without --offline",
        )

    # -- one request --------------------------------------------------------------------------

    def _fetch(self, query: str) -> Rows:
        attempts = Retrying(
            retry=retry_if_exception_type((_BusyError, httpx.TransportError)),
            wait=self._pause,
            before_sleep=self._tell,
            stop=lambda state: state.attempt_number >= (_ATTEMPTS if self._answered else 2),
            reraise=True,
        )
        try:
            return attempts(self._send, query)
        except _BusyError as error:
            raise BackendUnavailableError(
                f"{self.url} {error}, also after {attempts.statistics['attempt_number']} attempts",
                hint="run the same command again later; what was answered is kept",
            ) from error
        except httpx.TransportError as error:
            raise BackendUnavailableError(
                f"no answer from {self.url} ({error or type(error).__name__})",
                hint="check the network and --endpoint, then run the same command again: answers "
                "are kept, and --offline uses only those",
            ) from error

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, _BusyError) else None
        if asked is not None and asked > self._patience:
            raise BackendUnavailableError(
                f"{self.url} asks to be left alone for {_duration(asked)}",
                hint="run the same command again after that; what was answered is kept",
            )
        return self._back_off(state) if asked is None else asked

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.info("%s %s: trying again in %s", self.url, error, _duration(state.upcoming_sleep))

    def _send(self, query: str) -> Rows:
        self.requests += 1
        try:
            asked = httpx.URL(self.url).copy_merge_params({"query": query})
            if len(str(asked)) <= _LONGEST_URL:
                answer = self._http.get(asked)
            else:
                answer = self._http.post(self.url, data={"query": query})
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise _TooLongError from error
        except (httpx.TooManyRedirects, httpx.DecodingError) as error:
            raise self._foreign(str(error)) from error
        return self._rows(answer)

    def _rows(self, answer: httpx.Response) -> Rows:
        self._refuse(answer)
        self._answered = True
        try:
            return [_row(binding) for binding in answer.json()["results"]["bindings"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if any(words in answer.text for words in _TIMEOUT_WORDS):  # it broke off half way
                raise _TooLongError from error
            raise self._foreign(f"its answer is {_glimpse(answer)}") from error

    def _refuse(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status in (429, 502, 503):
            self._answered = True
            raise _BusyError(f"is busy ({status})", _retry_after(answer))
        if status in (413, 414, 504) or (
            status >= 500 and any(words in answer.text for words in _TIMEOUT_WORDS)
        ):
            raise _TooLongError
        if status >= 500:
            raise _BusyError(f"failed ({status})")
        if not answer.is_success:
            raise self._refusal(answer)

    def _refusal(self, answer: httpx.Response) -> PartlabError:
        status = answer.status_code
        if status in (401, 403):
            return BackendUnavailableError(
                f"{self.url} refuses us ({status})",
                hint="say who you are with --contact you@example.org, as Wikimedia asks",
            )
        if status == 400:
            return PartlabError(
                f"{self.url} does not understand the query (400): {_glimpse(answer)}"
            )
        return self._foreign(f"it answered {status}")

    def _foreign(self, why: str) -> BackendUnavailableError:
        return BackendUnavailableError(
            f"{self.url} does not speak SPARQL: {why}",
            hint="give --endpoint the address that takes queries, "
            "as https://query.wikidata.org/sparql",
        )


def literal(text: str, language: str = "") -> str:
    """The SPARQL term of a text."""
    quoted = json.dumps(text, ensure_ascii=False)
    return f"{quoted}@{language.lower()}" if language else quoted


def _row(binding: Mapping[str, Any]) -> dict[str, str]:
    """Variable -> value; `key` as the term that was asked about; unknown values are left out."""
    row = {name: term["value"] for name, term in binding.items() if term["type"] != "bnode"}
    if any(not isinstance(value, str) for value in row.values()):
        raise TypeError("a value is not text")
    if "key" in row:
        row["key"] = _term(binding["key"])
    return row


def _term(term: Mapping[str, str]) -> str:
    if term["type"] == "uri":
        short = term["value"].removeprefix(ENTITY)
        return f"wd:{short}" if short != term["value"] else f"<{short}>"
    return literal(term["value"], term.get("xml:lang", ""))


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds to wait, from a number or an HTTP date (by the server's own clock, if it tells)."""
    asked = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", asked):
        return float(asked)
    until = _date(asked)
    now = _date(answer.headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds()) if until else None


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _glimpse(answer: httpx.Response) -> str:
    kind = answer.headers.get("content-type", "").partition(";")[0]
    text = " ".join(answer.text.split())[:120]
    return f"a web page ({kind})" if kind == "text/html" else repr(text)


def _user_agent(contact: str) -> str:
    """As Wikimedia's policy asks: program, version, who to write to, library."""
    if not (contact.isascii() and contact.isprintable()):
        raise ConfigError(f"the contact {contact!r} is not plain ASCII text")
    about = "; ".join(filter(None, ("part vocabularies", contact.strip())))
    return f"partlab/{version('partlab')} ({about}) httpx/{httpx.__version__}"


def _checked_url(url: str) -> str:
    if (parsed := http_address(url)) is None:
        raise ConfigError(
            f"{url!r} is not the address of a SPARQL endpoint",
            hint="it looks like https://query.wikidata.org/sparql",
        )
    return str(parsed)
