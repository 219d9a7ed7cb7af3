"""Images whose masks are known, in both databases: drawn like all others, otherwise unseen."""

from farm import answer, hand_out, pull
from sqlalchemy import func, select, text

from annotate.work import Image, Work, final_discards, open_images, unsettled_discards

TRUTH = {"version": 1, "parts": ["head"], "masks": []}


def test_honeypots_in_both_databases(work: Work) -> None:
    row = {"id": 90, "object": "ram", "file_name": "x.jpg", "width": 64, "height": 48}
    more = {"shown": [64, 48], "rank": 12, "sha256": None, "ours": {}, "truth": TRUTH}
    work.record("images", who="lead", data={"images": [{**row, **more}]})
    with work.read() as session:
        known = text("truth IS NOT NULL")  # not the JSON null
        assert session.scalar(select(func.count()).select_from(Image).where(known)) == 1
    assert work.image(90).truth == TRUTH
    assert work.image(1).truth is None
    assert work.honeypots() == work.honeypots("ram") == {90}
    assert work.honeypots("schöner Hammer") == frozenset()
    assert len(work.images("ram")) == 12
    assert [i.id for i in work.images("ram", with_honeypots=True)] == [*range(1, 13), 90]
    assert len(work.images()) == 15


def test_they_are_answered_but_their_discards_are_nobodys(work: Work) -> None:
    row = {"id": 90, "object": "ram", "file_name": "x.jpg", "width": 64, "height": 48}
    more = {"shown": [64, 48], "rank": 12, "truth": TRUTH}
    work.record("images", who="lead", data={"images": [{**row, **more}]})
    hand_out(work)
    work.record("extended", who="lead", object="ram", data={"images": [90]})
    with work.read() as session:
        assert 90 in open_images(session, work.batch("ram"))
    pull(work, [answer(work, 90, "discard"), answer(work, 3, "discard")])
    assert [a.image_id for a in work.answers("ram", 1)] == [3]
    assert [a.image_id for a in work.answers("ram", 1, with_honeypots=True)] == [3, 90]
    with work.read() as session:
        assert 90 not in open_images(session, work.batch("ram"))
        assert unsettled_discards(session, work.batch("ram")) == [3]
        assert final_discards(session, "ram") == set()
    for who in ("ina@x.org", "ben@x.org"):
        data = {"image_id": 3, "uphold": True}
        work.record("discard-review", who=who, object="ram", data=data)
    with work.read() as session:
        assert final_discards(session, "ram") == {3}
        assert final_discards(session, "schöner Hammer") == set()
