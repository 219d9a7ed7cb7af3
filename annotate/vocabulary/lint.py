"""What the rules of choosing parts say about a vocabulary (V-04 to V-08)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from annotate.vocabulary.model import ObjectParts, Part, Vocabulary
from annotate.vocabulary.names import LONGEST, fault_of, folded, name_key
from partlab.counts import counted

ERROR, WARNING, NOTE = "error", "warning", "note"
FEWEST, MOST = 3, 8  # V-06


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing lint looks for; an error has to be put right before anybody draws."""

    name: str
    severity: str
    meaning: str
    hint: str

    def at(self, object: str, what: str) -> "Problem":
        """This rule broken by an object."""
        return Problem(self.name, object, what)


@dataclass(frozen=True, slots=True)
class Problem:
    """One object that breaks a rule; `rule` is a key of RULES."""

    rule: str
    object: str
    message: str

    @property
    def severity(self) -> str:
        """error, warning or note."""
        return RULES[self.rule].severity


def _rules(*rows: tuple[str, str, str, str]) -> dict[str, Rule]:
    return {row[0]: Rule(*row) for row in rows}


RULES = _rules(
    ("no_parts", ERROR, "an object has no part (V-01)", "add its parts, or the object as its own"),
    (
        "same_name",
        ERROR,
        "two parts of one object differ only in case, spaces or hyphens",
        "rename one, or make them one with partlab vocabulary merge",
    ),
    (
        "reused_id",
        ERROR,
        "a part has the id of one that is gone: old masks would change their meaning",
        "give it an id of its own",
    ),
    (
        "swapped_inclusion",
        ERROR,
        "a part is declared inside one that is drawn smaller (M-04)",
        "write inner: outer",
    ),
    (
        "whole_beside_parts",
        WARNING,
        "the object stands among its own parts (V-01)",
        "remove it: together the parts are the whole object (V-05)",
    ),
    (
        "plural_twins",
        WARNING,
        "two parts of one object differ only in number",
        "keep one: several masks may have the same part",
    ),
    (
        "few_parts",
        WARNING,
        f"an object has fewer than {FEWEST} parts (V-06)",
        "split one by function or shape: partlab vocabulary split … --into A,B (V-07)",
    ),
    (
        "many_parts",
        WARNING,
        f"an object has more than {MOST} parts (V-06)",
        "merge or remove the least important",
    ),
    (
        "overlap",
        WARNING,
        "two parts share most of their pixels (V-08): keep only the larger",
        "partlab vocabulary remove the smaller, or declare that it lies in the larger: "
        "partlab vocabulary include",
    ),
    (
        "cover",
        WARNING,
        "the parts together are not the whole object (V-05)",
        "add the part that is missing, or let one part take what the others leave",
    ),
    (
        "never_drawn",
        WARNING,
        "nobody has drawn this part",
        "remove it if it cannot be seen in pictures",
    ),
    (
        "not_in_vocabulary",
        WARNING,
        "the data has a part, or an object, that the vocabulary does not know",
        "add it, or read the data of another version",
    ),
    (
        "spelling",
        WARNING,
        "one thing has several names in different objects",
        "choose one: partlab vocabulary rename",
    ),
    (
        "untidy_name",
        WARNING,
        "a name would be misread in labels, lists or files",
        "rename it",
    ),
    (
        "no_evidence",
        WARNING,
        "a part says where it comes from, but gives no evidence (V-01)",
        "write it under `evidence:`, or make the source manual",
    ),
    (
        "whole_object",
        NOTE,
        "objects that are their own only part (V-04)",
        "leave them out where parts are what counts",
    ),
)


@dataclass(frozen=True)
class LintReport:
    """What lint found in a vocabulary of `objects` objects and `parts` parts.

    `measured` is how many images the measured rules saw, None without data; `unmeasured` says
    which rules could not be measured, and why.
    """

    problems: tuple[Problem, ...]
    objects: int
    parts: int
    measured: int | None = None
    unmeasured: tuple[str, ...] = ()

    def count(self, severity: str) -> int:
        """How many problems are of this severity."""
        return sum(problem.severity == severity for problem in self.problems)

    @property
    def by_rule(self) -> dict[str, list[Problem]]:
        """Problems by rule: errors first, then the most frequent."""
        grouped: defaultdict[str, list[Problem]] = defaultdict(list)
        for problem in self.problems:
            grouped[problem.rule].append(problem)
        ranks = [ERROR, WARNING, NOTE]
        order = sorted(grouped, key=lambda r: (ranks.index(RULES[r].severity), -len(grouped[r]), r))
        return {rule: grouped[rule] for rule in order}

    def as_json(self, limit: int | None = None) -> dict[str, Any]:
        """Counts, and the first `limit` problems of each rule (None: all)."""
        return {
            "objects": self.objects,
            "parts": self.parts,
            "images": self.measured,
            "unmeasured": self.unmeasured,
            "errors": self.count(ERROR),
            "warnings": self.count(WARNING),
            "notes": self.count(NOTE),
            "rules": {
                rule: {
                    "severity": RULES[rule].severity,
                    "meaning": RULES[rule].meaning,
                    "hint": RULES[rule].hint,
                    "count": len(found),
                    "problems": [
                        {"object": one.object, "message": one.message} for one in found[:limit]
                    ],
                }
                for rule, found in self.by_rule.items()
            },
        }


def lint(vocabulary: Vocabulary) -> LintReport:
    """Check everything that can be seen without pictures."""
    gone = _gone_ids(vocabulary)
    problems: list[Problem] = []
    for parts in vocabulary.objects:
        problems += _counts(parts)
        problems += _names(parts)
        problems += _records(parts, gone.get(parts.name, set()))
    problems += _spellings(vocabulary.objects)
    unmeasured = ("overlap and cover need drawn parts: --data DATASET",)
    total = sum(len(one.parts) for one in vocabulary.objects)
    return LintReport(tuple(problems), len(vocabulary.objects), total, None, unmeasured)


def _counts(parts: ObjectParts) -> Iterator[Problem]:
    listed = ", ".join(parts.names)
    if not parts.parts:
        yield RULES["no_parts"].at(parts.name, "no parts")
    elif parts.whole_object:
        yield RULES["whole_object"].at(parts.name, f"its one part is {listed!r}")
    elif len(parts.parts) < FEWEST:
        count = counted(len(parts.parts), "part")
        yield RULES["few_parts"].at(parts.name, f"{count}: {listed}")
    elif len(parts.parts) > MOST:
        yield RULES["many_parts"].at(parts.name, f"{len(parts.parts)} parts: {listed}")
    for part in parts.parts if len(parts.parts) > 1 else ():
        if part.source == "whole-object" or folded(part.name) == folded(parts.name):
            yield RULES["whole_beside_parts"].at(parts.name, f"{part.name!r} is the object itself")


def _names(parts: ObjectParts) -> Iterator[Problem]:
    for key, rule in ((folded, "same_name"), (name_key, "plural_twins")):
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for name in parts.names:
            groups[key(name)].append(name)
        for twins in groups.values():
            if len({folded(name) for name in twins} if key is name_key else twins) > 1:
                yield RULES[rule].at(parts.name, " and ".join(map(repr, twins)))
    for name in (parts.name, *parts.names):
        if fault := fault_of(name):
            yield RULES["untidy_name"].at(parts.name, f"{name[:LONGEST]!r}: {fault}")


def _records(parts: ObjectParts, gone: set[str]) -> Iterator[Problem]:
    for part in parts.parts:
        if part.id in gone:
            yield RULES["reused_id"].at(parts.name, f"{part.name!r} has the id {part.id!r}")
        if part.source in ("wikidata", "wordnet", "volunteers") and not part.evidence:
            what = f"{part.name!r} is from {part.source}, without evidence"
            yield RULES["no_evidence"].at(parts.name, what)


def _gone_ids(vocabulary: Vocabulary) -> dict[str, set[str]]:
    """Ids that recorded changes took out of each object."""
    gone: defaultdict[str, set[str]] = defaultdict(set)
    for change in vocabulary.changes:
        gone[change.object] |= set(change.before) - set(change.after)
    for one in vocabulary.objects:
        gone[one.name] |= {id for part in one.parts for id in part.origin}
    return gone


def _spellings(objects: Sequence[ObjectParts]) -> Iterator[Problem]:
    """Names that are rarer spellings of what other objects call differently."""
    used: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name in _all_names(objects):
        used[name_key(name)][name] += 1
    best = {key: names.most_common(1)[0][0] for key, names in used.items()}
    for parts in objects:
        keys = Counter(name_key(name) for name in parts.names)
        for name in parts.names:
            usual = best[name_key(name)]
            if name != usual and keys[name_key(name)] == 1:
                count = used[name_key(name)][usual]
                where = "another object" if count == 1 else f"{count} objects"
                yield RULES["spelling"].at(parts.name, f"{name!r} is {usual!r} in {where}")


def _all_names(objects: Iterable[ObjectParts]) -> Iterator[str]:
    for one in objects:
        yield from one.names


def usual_part(parts: ObjectParts, name: str) -> Part | None:
    """The part that data calls `name`: by name, else by id, as data of an older version has it."""
    return next(
        (part for part in parts.parts if part.name == name),
        next((part for part in parts.parts if part.id == name), None),
    )
