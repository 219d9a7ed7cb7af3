"""A real SPARQL engine on loopback, with triples in Wikidata's own shape.

It answers GET and POST as the SPARQL protocol says, over an in-memory Oxigraph store. A test can
make it busy, slow, strict about the size of a query, or take it away.
"""

import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pyoxigraph import Literal, NamedNode, Quad, QueryResultsFormat, Store

WD = "http://www.wikidata.org/entity/"
WDS = "http://www.wikidata.org/entity/statement/"
P = "http://www.wikidata.org/prop/"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
SCHEMA = "http://schema.org/"
WIKIBASE = "http://wikiba.se/ontology#"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
OWL = "http://www.w3.org/2002/07/owl#"

Canned = tuple[int, dict[str, str], str]  # status, headers, body


class Triples:
    """Writes items as Wikidata's RDF dump does: labels, statements with ranks, direct claims."""

    def __init__(self, store: Store) -> None:
        self.store, self._statements = store, 0

    def add(self, subject: str, predicate: str, object: Any) -> None:
        self.store.add(Quad(NamedNode(subject), NamedNode(predicate), object))

    def item(
        self,
        qid: str,
        label: str | dict[str, str] = "",
        *aliases: str,
        about: str = "",
        pages: int = 0,
        **claims: str | Iterable[str],
    ) -> str:
        """One item; `P527=["Q1", "Q2"]` are its claims, `label` a text or one for each language."""
        labels = label if isinstance(label, dict) else {"en": label} if label else {}
        self.add(WD + qid, RDF + "type", NamedNode(WIKIBASE + "Item"))
        for language, text in labels.items():
            for predicate in (RDFS + "label", SKOS + "prefLabel", SCHEMA + "name"):
                self.add(WD + qid, predicate, Literal(text, language=language))
        for alias in aliases:
            self.add(WD + qid, SKOS + "altLabel", Literal(alias, language="en"))
        if about:
            self.add(WD + qid, SCHEMA + "description", Literal(about, language="en"))
        self.add(WD + qid, WIKIBASE + "sitelinks", Literal(pages))
        for property, values in claims.items():
            for value in [values] if isinstance(values, str) else values:
                self.claim(qid, property, value)
        return qid

    def claim(self, qid: str, property: str, value: str, rank: str = "Normal") -> None:
        """A statement node, and the direct claim unless the statement is deprecated."""
        self._statements += 1
        node = f"{WDS}{qid}-{self._statements:08d}"
        term = NamedNode(WD + value) if re.fullmatch(r"Q\d+", value) else Literal(value)
        self.add(WD + qid, f"{P}{property}", NamedNode(node))
        self.add(node, RDF + "type", NamedNode(WIKIBASE + "Statement"))
        self.add(node, f"{P}statement/{property}", term)
        self.add(node, WIKIBASE + "rank", NamedNode(f"{WIKIBASE}{rank}Rank"))
        if rank != "Deprecated":
            self.add(WD + qid, f"{P}direct/{property}", term)

    def merged(self, qid: str, into: str) -> None:
        """A redirect: nothing is left but where the item went."""
        self.add(WD + qid, OWL + "sameAs", NamedNode(WD + into))


@dataclass
class SparqlEngine:
    """The running server. `requests` keeps method, path, query, headers of each that came."""

    store: Store = field(default_factory=Store)
    requests: list[dict[str, Any]] = field(default_factory=list)
    canned: deque[Canned] = field(default_factory=deque)
    most_keys: int = 10**9  # more in one query ends in Wikidata's own timeout
    poison: str = ""  # a query that names this always takes too long
    delay: float = 0.0  # seconds before each answer

    def __post_init__(self) -> None:
        self.triples = Triples(self.store)
        self._start(0)

    def _start(self, port: int) -> None:
        engine = self

        class Handler(_Handler):
            sparql = engine

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/sparql"

    @property
    def queries(self) -> list[str]:
        return [request["query"] for request in self.requests]

    def then(self, status: int, body: str = "", **headers: str) -> None:
        """The next request gets this answer instead of the engine's."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.canned.append((status, named, body))

    def stop(self) -> None:
        """Nobody listens any more."""
        self._server.shutdown()
        self._server.server_close()

    def start_again(self) -> None:
        """The same engine at the same address."""
        self._start(self.port)

    def answer(self, query: str) -> Canned:
        if self.canned:
            return self.canned.popleft()
        time.sleep(self.delay)
        keys = re.search(r"VALUES \?key \{(.*?)\}", query, re.DOTALL)
        names = keys[1].split() if keys else []
        if len(names) > self.most_keys or (self.poison and self.poison in names):
            return 500, {}, "java.util.concurrent.TimeoutException\n\tat com.bigdata.rdf.sail"
        try:
            found: Any = self.store.query(query)
        except SyntaxError as error:
            return 400, {}, f"MalformedQueryException: {error}"
        body = found.serialize(format=QueryResultsFormat.JSON).decode()
        return 200, {"Content-Type": "application/sparql-results+json"}, body


class _Handler(BaseHTTPRequestHandler):
    sparql: SparqlEngine
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._reply(parse_qs(urlsplit(self.path).query))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._reply(parse_qs(body))

    def _reply(self, fields: dict[str, list[str]]) -> None:
        query = fields.get("query", [""])[0]
        self.sparql.requests.append(
            {
                "method": self.command,
                "path": self.path,
                "query": query,
                "headers": dict(self.headers),
            }
        )
        status, headers, text = self.sparql.answer(query)
        body = text.encode()
        self.send_response_only(status)
        usual = {"Date": self.date_time_string(), "Content-Type": "text/plain"}
        for name, value in {**usual, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def fill(triples: Triples) -> None:
    """Things of PIN++'s examples; hammer's and its parts' QIDs are Wikidata's, others are ours."""
    item = triples.item
    # hammer -> handle, striker, hammerhead (V-02)
    item("Q25294", "hammer", "mallet", about="tool with a heavy head", pages=120,
         P279="Q2578402", P527=["Q1094", "Q901"], P8814="03486255-n")  # fmt: skip
    triples.claim("Q25294", "P527", "Q902", rank="Deprecated")
    item("Q1094", "handle", "grip", "haft", P279="Q223557")
    item("Q901", "striker", P279="Q223557")
    item("Q902", "steam chest", P279="Q223557")
    item("Q903", "hammerhead", "hammer head", P361="Q25294", P279="Q223557")
    item("Q2578402", "hand tool", P279="Q39546")
    item("Q39546", "tool", P279="Q8205328")
    item("Q8205328", "artificial physical object", P279="Q223557", P527=["Q905"])
    item("Q905", "surface")
    item("Q904", "Hammer", about="family name", pages=300, P31="Q101352")
    item("Q906", "hammer", about="part of a piano action", pages=9, P279="Q39546")
    # quadrupeds -> head, body, foot, tail (V-03); the ram is linked by subclass and by taxon
    item("Q2929800", "ram", "tup", about="male sheep", pages=40, P279="Q7368", P8814="02414726-n")
    item("Q7368", "sheep", P171="Q910")
    item("Q910", "Bovidae", P171="Q19159")
    item("Q911", "Elephantidae", P171="Q19159")
    item("Q7378", "elephant", P171="Q911", P527=["Q912"])
    item("Q912", "elephant trunk", "trunk")
    item("Q19159", {"en": "quadruped", "de": "Vierbeiner"}, P171="Q7239",
         P527=["Q913", "Q914", "Q915", "Q916"])  # fmt: skip
    item("Q913", {"en": "head", "de": "Kopf"})
    item("Q914", {"en": "body", "de": "Körper"})
    item("Q915", {"mul": "foot", "de": "Fuß"}, "feet")
    item("Q916", {"en": "tail", "de": "Schwanz"})
    item("Q7239", "organism", P527=["Q7868"])
    item("Q7868", "cell")
    # flatworm: nothing at all (V-04)
    item("Q124900", "Platyhelminthes", "flatworm", about="phylum of worms", pages=90, P171="Q729")
    item("Q729", "animal", P171="Q7239")
    # maraca, acoustic guitar (V-07, V-08)
    item("Q39777", "maraca", P279="Q34379", P527=["Q920"], P361="Q922")
    item("Q920", "rattle head")
    item("Q921", "stick", P361="Q39777")
    item("Q922", "percussion section")
    item("Q34379", "musical instrument", P279="Q8205328")
    item("Q31561", "acoustic guitar", P279="Q6607", P2670=["Q925"])
    item("Q6607", "guitar", P279="Q34379", P527=["Q923", "Q924"])
    item("Q923", "fingerboard", "fretboard")
    item("Q924", "strings")
    item("Q925", "sound hole")
    triples.merged("Q31560", "Q31561")
    # a name with two meanings, one of them no class
    item("Q27896", "crane", about="type of machine", pages=60, P279="Q39546", P527=["Q930"])
    item("Q25365", "crane", about="family of birds", pages=80, P171="Q729", P527=["Q931"])
    item("Q930", "jib")
    item("Q931", "beak")
    # an unknown value, as `somevalue` snaks appear
    triples.add(WD + "Q39777", P + "direct/P527",
                NamedNode("http://www.wikidata.org/.well-known/genid/8f1c"))  # fmt: skip


@contextmanager
def running_engine(*, filled: bool = True) -> Iterator[SparqlEngine]:
    """An engine, with the examples in it."""
    engine = SparqlEngine()
    try:
        if filled:
            fill(engine.triples)
        yield engine
    finally:
        engine.stop()
