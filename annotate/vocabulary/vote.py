"""Volunteers decide which parts matter for recognising an object (V-01 rule 2, V-10).

A part that is not listed comes in when more than `share` of the volunteers who took part in
its object say yes. A listed part goes out when more than `share` of the votes on it say no;
one from Wikidata, the higher authority, only when more than `share` of all the object's
volunteers say no, so that silence never removes it.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from annotate.vocabulary.edit import UNSIGNED, Editor, new_id, used_ids
from annotate.vocabulary.model import Change, ObjectParts, Part, Vocabulary
from annotate.vocabulary.names import LONGEST, fault_of, folded, name_key, tidy
from annotate.vocabulary.proposals import part_name
from partlab.errors import ConfigError, NotFoundError, SchemaError
from partlab.inclusions import without
from partlab.parts import join_name
from partlab.tables import read_text, rows_of

Tie = Literal["keep", "drop", "ask"]
Decision = Literal["listed", "added", "removed", "not added", "tie", "no quorum"]
_WORDS = {
    **dict.fromkeys(("yes", "y", "1", "true", "+", "x"), True),
    **dict.fromkeys(("no", "n", "0", "false", "-"), False),
}
_TIE_OF_LISTED: dict[Tie, Decision] = {"keep": "listed", "drop": "removed", "ask": "tie"}
_TIE_OF_SUGGESTED: dict[Tie, Decision] = {"keep": "added", "drop": "not added", "ask": "tie"}
_VOTED = re.compile(r"\d+ of \d+ volunteers")
_COLUMNS = ("voter", "object", "part", "vote")


@dataclass(frozen=True, slots=True)
class Ballot:
    """One volunteer's word on one part; a yes on a part not listed suggests it.

    Without a part it says only that the volunteer took part in the object.
    """

    voter: str
    object: str
    part: str
    yes: bool


@dataclass(frozen=True, slots=True)
class VoteRule:
    """`quorum` counts volunteers an object; `share` is what a side must exceed.

    At exactly `share`, `tie` decides: "keep" has the part in, "drop" has it out (never a part
    from Wikidata), "ask" changes nothing and says so.
    """

    quorum: int = 3
    share: float = 0.5
    tie: Tie = "ask"

    def __post_init__(self) -> None:
        if self.quorum < 1 or not 0.5 <= self.share < 1:
            raise ConfigError(
                f"a quorum of {self.quorum} and a share of {self.share} cannot decide a vote",
                hint="the quorum is 1 or more, the share from 0.5 to under 1",
            )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one part: `yes` and `no` votes of the object's `voters` volunteers."""

    object: str
    part: str
    yes: int
    no: int
    voters: int
    decision: Decision
    spellings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """The vocabulary after the vote, each part's outcome, and sentences about the ballots."""

    vocabulary: Vocabulary
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = field(default=())


def read_ballots(path: str | Path) -> tuple[list[Ballot], list[str]]:
    """Ballots of a CSV with the columns voter, object, part, vote; and what is wrong in it.

    Lines that cannot be understood are left out and told, one sentence each.

    Raises:
        NotFoundError: no such file.
        SchemaError: not a CSV with these columns.
    """
    path = Path(path)
    if not path.exists():
        raise NotFoundError(f"no ballots {path}")
    table = rows_of(read_text(path))
    heads = [str(name).strip().lower() for name in table.fieldnames or ()]
    if missing := [name for name in _COLUMNS if name not in heads]:
        raise SchemaError(
            f"{path} has no column {' and no column '.join(missing)}",
            hint="its first line must be voter,object,part,vote",
        )
    table.fieldnames = heads
    ballots: list[Ballot] = []
    faults: list[str] = []
    for row in _rows(table, path, faults):
        found = _ballot(row)
        if isinstance(found, Ballot):
            ballots.append(found)
        else:
            faults.append(f"{path} line {table.line_num}: {found}; not counted")
    return ballots, faults


def _rows(table: "csv.DictReader[str]", path: Path, faults: list[str]) -> Iterator[dict[str, Any]]:
    while True:
        try:
            yield next(table)
        except StopIteration:
            return
        except csv.Error as error:
            faults.append(f"{path} line {table.line_num}: {error}; not counted")


def _ballot(row: dict[str, Any]) -> Ballot | str:
    values = {name: tidy(row[name] or "") for name in _COLUMNS}
    silent = not values["part"] and not values["vote"]
    needed = ("voter", "object") if silent else _COLUMNS
    if missing := [name for name in needed if not values[name]]:
        return f"no {missing[0]}"
    if silent:
        return Ballot(values["voter"], values["object"], "", False)
    yes = _WORDS.get(values["vote"].casefold())
    if yes is None:
        return f"the vote {values['vote']!r} is neither yes nor no"
    return Ballot(values["voter"], values["object"], values["part"], yes)


def vote(
    vocabulary: Vocabulary,
    ballots: Iterable[Ballot],
    rule: VoteRule = VoteRule(),
    by: Editor = UNSIGNED,
) -> Result:
    """Count the ballots and apply what they decide, as the vocabulary's next version.

    Each voter has one vote on each part; the last one counts.
    """
    notes: list[str] = []
    known = {folded(one.name): one for one in vocabulary.objects}
    per_object: dict[str, list[Ballot]] = {}
    for ballot in ballots:
        per_object.setdefault(folded(ballot.object), []).append(ballot)
    objects: list[ObjectParts] = []
    outcomes: list[Outcome] = []
    changes: list[Change] = []
    for key, cast in per_object.items():
        if key not in known:
            notes.append(_unknown(cast, known))
            continue
        told = _tally(known[key], cast, rule, notes)
        outcomes += told
        new, made = _applied(vocabulary, known[key], told, rule, by)
        objects.append(new)
        changes += made
    return Result(vocabulary.replaced(objects, *changes), tuple(outcomes), tuple(notes))


def _unknown(cast: Sequence[Ballot], known: dict[str, ObjectParts]) -> str:
    name = cast[0].object
    near = [known[key].name for key in get_close_matches(folded(name), known, n=3)]
    meant = f"; did you mean {', '.join(near)}?" if near else ""
    count = "1 vote" if len(cast) == 1 else f"{len(cast)} votes"
    return f"no object category {name!r}{meant or ';'} {count} not counted"


def _tally(
    parts: ObjectParts, cast: Sequence[Ballot], rule: VoteRule, notes: list[str]
) -> list[Outcome]:
    """An outcome for each listed part, in their order, then for each suggested one."""
    listed = _spellings_of(parts)
    votes: dict[Part | str, dict[str, bool]] = {part: {} for part in parts.parts}
    spelled: dict[Part | str, Counter[str]] = {}
    for ballot in cast:
        if not ballot.part:
            continue
        about = _meant(ballot.part, listed)
        if isinstance(about, str) and (fault := _fault(about, ballot.part, parts.name)):
            what = f"{parts.name}: {ballot.part[:LONGEST]!r} cannot be a part: {fault}"
            notes.append(f"{what}; the vote of {ballot.voter} is not counted")
            continue
        voter = ballot.voter.casefold()
        if (again := votes.setdefault(about, {}).get(voter)) is not None:
            changed = "" if again == ballot.yes else ", changing it"
            part = join_name(parts.name, ballot.part)
            notes.append(f"{ballot.voter} voted twice on {part}{changed}")
        votes[about][voter] = ballot.yes
        name = part_name(ballot.part) if isinstance(about, str) else ballot.part
        spelled.setdefault(about, Counter())[name] += 1
    voters = len({ballot.voter.casefold() for ballot in cast})
    return [
        _outcome(parts.name, about, cast_on, voters, spelled.get(about, Counter()), rule)
        for about, cast_on in votes.items()
    ]


_SPELLINGS: tuple[Callable[[str], str], ...] = (
    folded,
    lambda name: folded(part_name(name)),
    lambda name: name_key(part_name(name)),
)
"""Ways to spell a part; exact names go before those without signs, and these before plurals."""


def _meant(name: str, listed: dict[str, Part]) -> Part | str:
    """The listed part that a ballot is about, else the key of what it suggests."""
    found = (listed.get(spelling(name)) for spelling in _SPELLINGS)
    return next(filter(None, found), None) or name_key(part_name(name))


def _spellings_of(parts: ObjectParts) -> dict[str, Part]:
    keys: dict[str, Part] = {}
    for spelling in _SPELLINGS:
        for part in parts.parts:
            keys.setdefault(spelling(part.name), part)
    return keys


def _fault(key: str, name: str, object: str) -> str | None:
    """Why a suggestion can be no part of the object."""
    return "it is the object itself" if key == name_key(object) else fault_of(part_name(name))


def _outcome(
    object: str,
    about: Part | str,
    votes: dict[str, bool],
    voters: int,
    spelled: Counter[str],
    rule: VoteRule,
) -> Outcome:
    yes, no = sum(votes.values()), len(votes) - sum(votes.values())
    spellings = [name for name, _ in spelled.most_common()]
    share = Fraction(str(rule.share))
    if isinstance(about, Part):
        name = about.name
        decision = _of_listed(about, yes, no, voters, share, rule)
    else:
        name = spellings[0]
        decision = _of_suggested(yes, voters, share, rule)
    others = tuple(other for other in spellings if other != name)
    return Outcome(object, name, yes, no, voters, decision, others)


def _of_suggested(yes: int, voters: int, share: Fraction, rule: VoteRule) -> Decision:
    if voters < rule.quorum:
        return "no quorum"
    if yes == share * voters:
        return _TIE_OF_SUGGESTED[rule.tie]
    return "added" if yes > share * voters else "not added"


def _of_listed(
    part: Part, yes: int, no: int, voters: int, share: Fraction, rule: VoteRule
) -> Decision:
    if not no:
        return "listed"
    cast = _counted(part, yes, no, voters)
    if cast < rule.quorum:
        return "no quorum"
    if no == share * cast and part.source != "wikidata":
        return _TIE_OF_LISTED[rule.tie]
    return "removed" if no > share * cast else "listed"


def _counted(part: Part, yes: int, no: int, voters: int) -> int:
    """How many votes count on a listed part: silence speaks for what Wikidata says."""
    return voters if part.source == "wikidata" else yes + no


def _applied(
    vocabulary: Vocabulary,
    old: ObjectParts,
    told: Sequence[Outcome],
    rule: VoteRule,
    by: Editor,
) -> tuple[ObjectParts, list[Change]]:
    """The object after the vote, and the changes that led there."""
    of = dict(zip(old.ids, told, strict=False))  # those of listed parts come first
    used = used_ids(vocabulary, old.name)
    added: list[Part] = []
    for outcome in told:
        if outcome.decision == "added":
            id = new_id(outcome.part, used)
            used.add(id)
            evidence = (_evidence(outcome),)
            added.append(Part(id=id, name=outcome.part, source="volunteers", evidence=evidence))
    gone = {part.id for part in old.parts if of[part.id].decision == "removed"}
    if added and old.whole_object:
        gone |= set(old.ids)
    kept = [_confirmed(part, of[part.id], rule) for part in old.parts if part.id not in gone]
    if not kept and not added:
        id = new_id(old.name, used)
        added = [Part(id=id, name=old.name, source="whole-object", evidence=("no part left",))]
        if old.whole_object:  # a vote against an object's only part cannot be followed
            return old, []
    changes = [by.change(vocabulary, "remove", old.name, [id], []) for id in old.ids if id in gone]
    changes += [by.change(vocabulary, "add", old.name, [], [p.id for p in added])] if added else []
    return _rebuilt(old, [*kept, *added], gone), changes


def _rebuilt(old: ObjectParts, parts: list[Part], gone: set[str]) -> ObjectParts:
    inclusions = without(old.inclusions, gone)
    return old.model_copy(update={"parts": tuple(parts), "inclusions": inclusions})


def _confirmed(part: Part, outcome: Outcome, rule: VoteRule) -> Part:
    """The part with what the last vote that had a quorum says for it."""
    counted = _counted(part, outcome.yes, outcome.no, outcome.voters)
    if not outcome.yes or counted < rule.quorum:
        return part
    facts = [fact for fact in part.evidence if not _VOTED.fullmatch(fact)]
    return part.model_copy(update={"evidence": (*facts, _evidence(outcome))})


def _evidence(outcome: Outcome) -> str:
    return f"{outcome.yes} of {outcome.voters} volunteers"
