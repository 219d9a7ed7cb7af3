"""Honeypots compared: what people drew in pictures whose masks are known, and who becomes worse.

`annotate.studio.acts.mixing` puts them among the others; once pulled, `score_honeypots` compares
the answers with the known masks, and `drift` tells whether somebody has become worse. Both are
pure functions of data sets.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from annotate.inspect.agreement import compare
from partlab.errors import ConfigError
from partlab.schema import Dataset, Image

BAR = 0.7
"""Least mean overlap (IoU) with the known masks for an answer to pass."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One annotator's answer to one honeypot."""

    file_name: str
    annotator: str
    overlap: float  # mean IoU over the masks of either; one without a counterpart counts 0
    passed: bool
    at: str | None = None  # ISO time of the answer, where it is known


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether answers have become worse, in the order given."""

    first: float  # mean of the baseline answers
    last: float  # mean of as many last answers
    slope: float  # change of overlap per answer (Theil and Sen's median of slopes)
    alarm: int | None  # number of the answer (from 1) at which a lasting fall was certain


@dataclass(frozen=True, slots=True)
class Record:
    """One annotator's honeypots."""

    annotator: str
    answers: tuple[Answer, ...]  # by time where times are known, else by file name
    passed: int
    overlap: float
    per_part: Mapping[str, float]  # object:part -> mean overlap
    drift: Drift


def score_honeypots(
    truth: Dataset,
    answers: Dataset,
    *,
    annotators: Mapping[str, str] | None = None,
    when: Mapping[str, str] | None = None,
    bar: float = BAR,
) -> list[Record]:
    """Compare the answers to honeypots with their known masks, annotator by annotator.

    `answers` may hold other images too; honeypots without an answer do not count. Who drew an
    image is its masks' provenance (`human:<who>`), unless `annotators` says it by file name,
    which is also how an answer without any mask is known. `when` gives ISO times by file name.

    Raises:
        ConfigError: the bar is not between 0 and 1.
        DatasetError: none of the honeypots is among the answers, or a size differs.
    """
    if not 0 <= bar <= 1:
        raise ConfigError(f"the bar {bar} is not between 0 and 1")
    known = {image.file_name for image in truth.images}
    groups: defaultdict[str, list[Image]] = defaultdict(list)
    for image in answers.images:
        who = (annotators or {}).get(image.file_name) or _drawn_by(answers, image)
        if image.file_name in known and who is not None:
            groups[who].append(image)
    if not groups:
        compare(truth, answers)  # says what is wrong: no image in common
    return [
        _record(truth, answers.subset(i.id for i in images), who, when or {}, bar)
        for who, images in sorted(groups.items())
    ]


def _drawn_by(answers: Dataset, image: Image) -> str | None:
    who = {a.provenance.partition(":")[2] for a in answers.annotations_of(image)}
    return who.pop() if len(who) == 1 else None


def _record(
    truth: Dataset, answers: Dataset, who: str, when: Mapping[str, str], bar: float
) -> Record:
    agreement = compare(truth, answers)
    scored = [
        Answer(name, who, overlap, overlap >= bar, when.get(name))
        for name, overlap in agreement.per_image.items()
    ]
    scored.sort(key=lambda answer: (answer.at or "", answer.file_name))
    return Record(
        who,
        tuple(scored),
        sum(answer.passed for answer in scored),
        mean(answer.overlap for answer in scored),
        {part.name: part.overlap for part in agreement.per_part},
        drift([answer.overlap for answer in scored]),
    )


def drift(overlaps: Sequence[float], *, baseline: int = 5) -> Drift:
    """Whether overlaps in the order of time fall for good.

    The alarm is a one-sided CUSUM chart: falls of more than half a standard deviation below
    the first `baseline` answers add up, and five standard deviations of them are an alarm. The
    deviation is at least 0.05, so that a few equal answers do not make one nervous.
    """
    if not overlaps:
        return Drift(0.0, 0.0, 0.0, None)
    start, end = overlaps[:baseline], overlaps[-baseline:]
    centre, spread = mean(start), max(stdev(start) if len(start) > 1 else 0.0, 0.05)
    fallen, alarm = 0.0, None
    for number, value in enumerate(overlaps[baseline:], baseline + 1):
        fallen = max(fallen + (centre - value) / spread - 0.5, 0.0)
        if fallen > 5:
            alarm = number
            break
    pairs = [
        (later - earlier) / (j - i)
        for i, earlier in enumerate(overlaps)
        for j, later in enumerate(overlaps[i + 1 :], i + 1)
    ]
    return Drift(centre, mean(end), median(pairs) if pairs else 0.0, alarm)
