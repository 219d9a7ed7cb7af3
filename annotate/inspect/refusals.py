"""How often who refuses images: a report that refusing is not an easy way out (Q-04, Q-05)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func

from annotate.data import effort
from annotate.inspect.discards import DiscardCase, find_cases
from annotate.work import Answer, Work, select_answers
from partlab.counts import counted

PUBLISHED = {name: effort.PUBLISHED[name] for name in ("discarded", "kept")}
PUBLISHED["rate"] = effort.PUBLISHED["discard_rate"]
"""What the authors of PartImageNet++ report: a reference, never counted here (Q-04, Q-05)."""

MANY_RESTORED = 0.2  # of the settled cases: refusing is then no longer a matter of quality
FEW_CASES = 5  # below this nothing is said of anybody


@dataclass(frozen=True, slots=True)
class Refusals:
    """How often one annotator refused images of one object category (or a sum of such).

    `looked_at` counts images with an answer, over all rounds. `restored_share` is of the
    settled cases, None where there are none.
    """

    object: str
    annotator: str
    looked_at: int
    refused: int
    waiting: int
    final: int
    restored: int
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Share of the images looked at that were refused."""
        return self.refused / self.looked_at if self.looked_at else 0.0

    @property
    def restored_share(self) -> float | None:
        """Share of the settled refusals that inspectors turned down."""
        settled = self.final + self.restored
        return self.restored / settled if settled else None


def refusals(work: Work, object: str | None = None) -> list[Refusals]:
    """Refusals of each object category and annotator."""
    cases: dict[tuple[str, str], list[DiscardCase]] = {}
    for case in find_cases(work, object):
        cases.setdefault((case.object, case.annotator), []).append(case)
    looked_at = _looked_at(work, object)
    keys = sorted({*cases, *looked_at})
    return [_count(*key, looked_at.get(key, 0), cases.get(key, [])) for key in keys]


def _looked_at(work: Work, object: str | None) -> dict[tuple[str, str], int]:
    query = select_answers(Answer.object, Answer.annotator, func.count())
    query = query.where(Answer.kind != "broken")
    query = query.filter_by(object=object) if object else query
    with work.read() as session:
        rows = session.execute(query.group_by(Answer.object, Answer.annotator))
        return {(owner, who): count for owner, who, count in rows}


def _count(object: str, annotator: str, looked_at: int, cases: Sequence[DiscardCase]) -> Refusals:
    states = Counter(case.state for case in cases)
    reasons = Counter(case.reason or "not stated" for case in cases)
    return Refusals(
        object,
        annotator,
        looked_at,
        len(cases),
        states["waiting"],
        states["final"],
        states["restored"],
        dict(reasons.most_common()),
    )


def total(rows: Iterable[Refusals], object: str = "all", annotator: str = "all") -> Refusals:
    """The sum of some rows."""
    found = list(rows)
    reasons: Counter[str] = Counter()
    for row in found:
        reasons.update(row.reasons)

    def count(name: str) -> int:
        return sum(getattr(row, name) for row in found)

    return Refusals(
        object,
        annotator,
        count("looked_at"),
        count("refused"),
        count("waiting"),
        count("final"),
        count("restored"),
        dict(reasons.most_common()),
    )


def worries(rows: Sequence[Refusals]) -> list[str]:
    """Signs that hard images are being refused, as sentences; none where all is well."""
    found = []
    for annotator in sorted({row.annotator for row in rows}):
        one = total((r for r in rows if r.annotator == annotator), annotator=annotator)
        share, settled = one.restored_share, one.final + one.restored
        if share is not None and settled >= FEW_CASES and share > MANY_RESTORED:
            found.append(
                f"inspectors restored {share:.0%} of the {settled} settled refusals of {annotator}"
            )
    for row in rows:
        if row.refused >= FEW_CASES and row.rate > PUBLISHED["rate"]:
            found.append(
                f"{row.annotator} refused {row.rate:.0%} of {counted(row.looked_at, 'image')} of "
                f"{row.object}, which is many"
            )
    return found
