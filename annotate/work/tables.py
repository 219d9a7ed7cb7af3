"""The tables of a work: what is known of each image, round, answer and verdict.

Every row can be made again from the journal and the raw exports; only `Work.record` writes.
"""

from typing import Any, ClassVar

from sqlalchemy import JSON, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

PICTURE, HONEYPOT = "picture", "honeypot"
"""Roles of a task."""


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
    """Base of all tables; rows are dataclasses and stay usable after their session."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: JSON, list[Any]: JSON}


class About(Base):
    """Which work this database belongs to, and the version of its vocabulary."""

    __tablename__ = "about"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Image(Base):
    """One picture of the work; width and height are the data set's, in pixels.

    `rank` is its place in the seeded order of its object category (D-02); `shown` is the
    [width, height] of the picture in Label Studio. A honeypot has its known masks in `truth`:
    {version: of the vocabulary, parts: [ids that are known], masks: [{part, object, rle}]}. It
    is drawn like the others, and otherwise is no image of the work.
    """

    __tablename__ = "images"
    id: Mapped[int] = mapped_column(primary_key=True)
    object: Mapped[str] = mapped_column(index=True)
    file_name: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    shown: Mapped[list[Any]]
    rank: Mapped[int]
    sha256: Mapped[str | None] = mapped_column(default=None)
    ours: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    truth: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)


class Batch(Base):
    """One object category in one round: the unit of handing out and of inspection (M-08, Q-02)."""

    __tablename__ = "batches"
    object: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    assignee: Mapped[str]
    vocabulary_version: Mapped[int]
    start_from: Mapped[str | None] = mapped_column(default=None)
    project_id: Mapped[int | None] = mapped_column(default=None)
    config_hash: Mapped[str | None] = mapped_column(default=None)
    cursor: Mapped[str | None] = mapped_column(default=None)
    manifest_hash: Mapped[str | None] = mapped_column(default=None)
    seed: Mapped[int | None] = mapped_column(default=None)
    plan: Mapped[str | None] = mapped_column(default=None)


class Task(Base):
    """One image handed out in one round; ids are Label Studio's, None until they are known.

    `role` is "picture", or "honeypot" of an image whose masks are known: it is drawn and pulled
    like the others, and otherwise no picture of the work. `pushed` is the suggestion it holds,
    `seen` when it was last changed before it was pulled.
    """

    __tablename__ = "tasks"
    __table_args__ = (Index("tasks_by_id", "project_id", "task_id"),)
    object: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(default=PICTURE)
    project_id: Mapped[int | None] = mapped_column(default=None)
    task_id: Mapped[int | None] = mapped_column(default=None)
    pushed: Mapped[str | None] = mapped_column(default=None)
    seen: Mapped[str | None] = mapped_column(default=None)


class Answer(Base):
    """What the assignee made of one image in one round.

    `kind` is "masks", "discard", "broken" (problems say why; it counts as not done) or
    "restored" (a discard that inspectors turned down; it is to be drawn). `masks` holds
    {part, object, rle, origin, model} for each part of each object instance, `minutes` the
    time spent, `raw` the export the answer came from.
    """

    __tablename__ = "answers"
    object: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int]
    annotation_id: Mapped[int]
    updated_at: Mapped[str]
    annotator: Mapped[str]
    kind: Mapped[str]
    minutes: Mapped[float | None] = mapped_column(default=None)
    reason: Mapped[str | None] = mapped_column(default=None)
    masks: Mapped[list[Any]] = mapped_column(default_factory=list)
    problems: Mapped[list[Any]] = mapped_column(default_factory=list)
    raw: Mapped[str | None] = mapped_column(default=None)


class Draw(Base):
    """An image drawn for inspection, in the order it is to be looked at (Q-01)."""

    __tablename__ = "draws"
    object: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]


class Verdict(Base):
    """An inspector's word on one drawn image; the last one counts, all are in the events."""

    __tablename__ = "verdicts"
    object: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(primary_key=True)
    inspector: Mapped[str]
    passed: Mapped[bool]
    at: Mapped[str]
    reason: Mapped[str | None] = mapped_column(default=None)
    note: Mapped[str | None] = mapped_column(default=None)


class DiscardReview(Base):
    """One inspector's word on one discarded image, as it was refused then (M-07, Q-04)."""

    __tablename__ = "discard_reviews"
    object: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(primary_key=True)
    inspector: Mapped[str] = mapped_column(primary_key=True)
    refusal: Mapped[str] = mapped_column(primary_key=True)
    uphold: Mapped[bool]
    at: Mapped[str]
    note: Mapped[str | None] = mapped_column(default=None)


class CategoryId(Base):
    """The number of a part category in every exported file; given once, never used again."""

    __tablename__ = "category_ids"
    object: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(unique=True)


class Flag(Base):
    """A breach of the rules seen at an ingest; nothing flagged is taken silently.

    `settled` when what it is about was deleted or put back in Label Studio, or counts after all.
    """

    __tablename__ = "flags"
    object: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True)
    annotation_id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    message: Mapped[str]
    at: Mapped[str]
    settled: Mapped[bool] = mapped_column(default=False)


class Event(Base):
    """One line of the history: append-only, with the hash of the category before and after."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str]
    who: Mapped[str]
    what: Mapped[str]
    object: Mapped[str] = mapped_column(index=True)
    round: Mapped[int]
    data: Mapped[dict[str, Any]]
    before: Mapped[str]
    after: Mapped[str]
