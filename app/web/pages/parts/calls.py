"""The call that asks the same elsewhere: for curl, Python and the command line."""

import csv
import json
from dataclasses import dataclass
from io import StringIO
from shlex import quote
from typing import Any
from urllib.parse import urlencode

from app.web.pages.parts.answer import Ask
from app.web.shelf import Known


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked, of which model, where."""

    ask: Ask
    path: str  # of the picture
    known: Known
    server: str | None

    @property
    def url(self) -> str:
        """Of the server that has the model, or that would."""
        return self.server or "http://127.0.0.1:8600"

    @property
    def unsaid(self) -> bool:
        """Whether no threshold need be named: a tuned model's own are what is taken then."""
        return self.ask.tuned is not None and not self.ask.own

    @property
    def single(self) -> dict[str, float]:
        """Thresholds of single parts; of a tuned model every part of the object has its own."""
        return _limits(self) if self.ask.tuned else dict(self.ask.own)


def calls(call: Call) -> list[tuple[str, str]]:
    """What gives the same answer elsewhere: (name, text)."""
    return [("curl", _curl(call)), ("Python", _python(call)), ("Command line", _command(call))]


def _curl(call: Call) -> str:
    ask, path = call.ask, quote(call.path)
    place = quote(f"{ask.model}={call.known.place}")
    first = "" if call.server else f"partlab serve {place}   # once, elsewhere\n"
    asked: dict[str, Any] = {"model": ask.model}
    asked |= {"object": ask.object} if ask.object else {}
    asked |= {"unite": False} if ask.apart else {}
    if not ask.own:
        asked |= {} if call.unsaid else {"threshold": f"{ask.threshold:g}"}
        query = urlencode(asked).replace("False", "false")
        where = quote(f"{call.url}/v1/segment?{query}")
        kind = "Content-Type: application/octet-stream"
        return f"{first}curl --data-binary @{path} -H '{kind}' \\\n    {where}"
    told = json.dumps({**asked, "threshold": [_limits(call)]}, ensure_ascii=False)
    start = quote(f'{told[:-1]}, "image": "%s"}}')
    return (
        f'{first}printf {start} "$(base64 -w0 {path})" |\n'
        f"    curl --data-binary @- -H 'Content-Type: application/json' {call.url}/v1/segment"
    )


def _limits(call: Call) -> dict[str, float]:
    """The threshold of every part that may be found: a server's own default is another."""
    ask, parts = call.ask, call.known.parts
    labels = parts.labels_of(ask.object) if ask.object else range(len(parts))
    limits = ask.thresholds().of(parts.names)
    return {parts.names[at]: round(float(limits[at]), 6) for at in labels}


def _python(call: Call) -> str:
    ask, remote = call.ask, call.known.served
    source = f"connect({call.url!r}, model={ask.model!r})" if remote else repr(call.known.place)
    lines = ["from segmenter import PredictionSettings, Predictor, Thresholds"]
    lines += ["from segmenter.remote import connect"] if remote else []
    wanted = f"Thresholds(default={ask.thresholds().default:g}, parts={call.single!r})"
    limits = "" if call.unsaid else f", thresholds={wanted}"
    return "\n".join(
        [
            *lines,
            "",
            f"settings = PredictionSettings(unite={not ask.apart})",
            f"predictor = Predictor.load({source}, settings)",
            f"found = predictor({call.path!r}, {ask.object!r}{limits})",
            "for mask in found.masks:",
            "    print(mask.name, mask.score, mask.area)",
        ]
    )


def _command(call: Call) -> str:
    ask, known = call.ask, call.known
    steps = [f"echo {quote(_line(call))} > one.csv"]
    limits = "" if call.unsaid else f" --threshold {ask.threshold:g}"
    if ask.own:
        every = {"default": ask.thresholds().default, "parts": call.single}
        told = json.dumps(every, ensure_ascii=False)
        steps.append(f"echo {quote(told)} > thresholds.json")
        limits = " --thresholds thresholds.json"
    model = f"--server {call.url} --model {quote(ask.model)}"
    origin = model if known.served else f"--segmenter {quote(known.place)}"
    plain = "" if ask.object else " --no-category-filter"
    steps.append(f"partlab pseudolabel one.csv {origin} \\\n   {limits}{plain} --out pseudo")
    return "\n".join(steps)


def _line(call: Call) -> str:
    """A list of one picture, as `partlab pseudolabel` reads it."""
    held = StringIO()
    csv.writer(held).writerow([call.path, *([call.ask.object] if call.ask.object else [])])
    return held.getvalue().strip()
