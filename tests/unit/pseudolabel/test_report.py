"""B4.8: what the report counts, what it points out, and the page itself."""

import json
import re
from html.parser import HTMLParser

import pytest

from partlab.errors import DatasetError
from pseudolabel.report import Bounds, make_report, write_page
from pseudolabel.report.build import _examples
from pseudolabel.report.page import findings, number_of, percent, times

BODY, HEAD, EAR, WHEEL, WINDOW = range(5)
BIG, SMALL = (0, 0, 40, 30), (0, 0, 20, 15)  # 1/2 and 1/8 of a 40 x 60 image
LOOSE = Bounds(min_images=2)


def facts_of(report, name):
    return next(facts for facts in report.objects if facts.name == name)


def test_scores_stand_beside_the_share_of_right_pixels(make_store, make_dataset, tmp_path):
    """One mask lies on the part, of one a half does, and one part was not drawn at all."""
    truth = make_dataset(
        [("cat/a.png", "cat", [("cat:body", (0, 0, 20, 20)), ("cat:head", (0, 0, 10, 20))])]
    )
    found = [(BODY, (0, 0, 20, 20), 0.95), (HEAD, (0, 0, 20, 20), 0.85), (EAR, SMALL, 0.25)]
    store = make_store([("cat/a.png", "cat", found)])
    report = make_report(store, truth=truth)
    tenths = report.truth.reliability
    assert [at for at, masks in enumerate(tenths.masks) if masks] == [2, 8, 9]
    assert [tenths.added[at] for at in (2, 8, 9)] == pytest.approx([0, 0.5, 1])
    assert tenths.error == pytest.approx((0.25 + 0.35 + 0.05) / 3)
    page = write_page(report, tmp_path / "page.html").read_text()
    dots = re.findall(r'<circle class="tenth" cx="([\d.]+)" cy="([\d.]+)"', page)
    assert [(float(x), float(y)) for x, y in dots] == [(110, 255), (254, 135), (278, 15)]
    assert 'points="110.0,255.0 254.0,135.0 278.0,15.0' in page
    assert "partlab segmenter tune" in page


def part_of(report, name):
    owner = name.partition(":")[0]
    return next(part for part in facts_of(report, owner).parts if part.name == name)


def test_counts_of_each_object_category(make_store):
    store = make_store(
        [
            ("cat/a.png", "cat", [(BODY, BIG, 0.92), (HEAD, SMALL, 0.52)]),
            ("cat/b.png", "cat", []),
            ("cat/c.png", "cat", "truncated file"),
            ("car/d.png", "car", [(WHEEL, SMALL, 0.71)]),
        ]
    )
    report = make_report(store)
    cat = facts_of(report, "cat")
    assert (cat.images, cat.labelled, cat.blank, cat.unreadable, cat.masks) == (3, 1, 1, 1, 2)
    assert cat.blank_share == 0.5  # of the readable
    assert cat.masks_per_image == 1.0
    assert [i for i, n in enumerate(cat.histogram) if n] == [10, 18]
    assert [facts.name for facts in report.objects] == ["cat", "car"]
    body = part_of(report, "cat:body")
    assert (body.images, body.share, body.median_area) == (1, 0.5, 0.5)
    assert body.median_score == pytest.approx(0.92)
    assert body.human_share is None
    assert report.unreadable == (("cat/c.png", "truncated file"),)
    result = json.loads(json.dumps(report.result()))
    assert result["blank_share"] == 1 / 3
    assert result["objects"][0]["parts"][1]["name"] == "cat:head"


def test_parts_people_drew_more_often_are_missing(make_store, make_dataset):
    rows = [(f"cat/{n}.png", "cat", [(BODY, BIG, 0.9)]) for n in range(12)]
    people = [
        (f"{n}.png", "cat", [("cat:body", BIG), *([("cat:head", SMALL)] if n % 2 else [])])
        for n in range(12)
    ]
    report = make_report(make_store(rows, pictures=False), human=make_dataset(people))
    head = part_of(report, "cat:head")
    assert (head.share, head.human_share, head.missing) == (0.0, 0.5, True)
    assert not part_of(report, "cat:body").missing
    assert not part_of(report, "cat:ear").missing  # people drew none either
    assert ("cat", "“head” was found in 0.0 % of the images; people drew it in 50.0 %") in list(
        findings(report)
    )


def test_small_samples_and_small_gaps_are_not_pointed_out(make_store, make_dataset):
    people = [(f"{n}.png", "cat", [("cat:head", SMALL)]) for n in range(12)]
    few = [(f"cat/{n}.png", "cat", []) for n in range(9)]
    human = make_dataset(people)
    assert not part_of(
        make_report(make_store(few, pictures=False), human=human), "cat:head"
    ).missing
    near = [(f"cat/{n}.png", "cat", [(HEAD, SMALL, 0.9)] if n < 11 else []) for n in range(12)]
    close = make_report(make_store(near, pictures=False), human=human)
    assert not part_of(close, "cat:head").missing  # 8 points
    # 20 points short, but of 10 images only: within twice the sampling error
    half = [(f"{n}.png", "cat", [("cat:head", SMALL)] if n % 2 else []) for n in range(40)]
    half = [(n, o, parts or [("cat:body", BIG)]) for n, o, parts in half]
    noisy = [(f"cat/{n}.png", "cat", [(HEAD, SMALL, 0.9)] if n < 3 else []) for n in range(10)]
    report = make_report(make_store(noisy, pictures=False), human=make_dataset(half, folder="half"))
    head = part_of(report, "cat:head")
    assert head.human_share - head.share == pytest.approx(0.2)
    assert not head.missing


def test_area_drift_compares_united_instances_per_image(make_store, make_dataset):
    people = [
        (f"{n}.png", "car", [("car:wheel", (0, 0, 10, 12)), ("car:wheel", (30, 0, 10, 12))])
        for n in range(3)
    ]  # 2 x 5 %
    human = make_dataset(people)
    same = make_store(
        [(f"{n}.png", "car", [(WHEEL, (0, 0, 20, 12), 0.9)]) for n in range(3)], pictures=False
    )
    wheel = part_of(make_report(same, human=human, bounds=LOOSE), "car:wheel")
    assert (wheel.median_area, wheel.human_median_area) == pytest.approx((0.1, 0.1))
    assert wheel.area_ratio == pytest.approx(1.0)
    assert not wheel.drifted
    larger = make_store(
        [(f"{n}.png", "car", [(WHEEL, (0, 0, 20, 20), 0.9)]) for n in range(3)],
        pictures=False,
        folder="large",
    )
    wheel = part_of(make_report(larger, human=human, bounds=LOOSE), "car:wheel")
    assert wheel.drifted
    assert wheel.area_ratio == pytest.approx(400 / 240)
    apart = make_store(
        [(f"{n}.png", "car", [(WHEEL, (0, 0, 9, 9), 0.9), (WHEEL, (30, 0, 9, 9), 0.4)])
         for n in range(3)],
        pictures=False, folder="apart", config={"unite": False},
    )  # fmt: skip
    wheel = part_of(make_report(apart, human=human, bounds=LOOSE), "car:wheel")
    assert (wheel.images, wheel.share) == (3, 1.0)
    assert wheel.median_area == pytest.approx(162 / 2400)


def test_mostly_blank_categories_are_pointed_out(make_store):
    rows = [(f"cat/{n}.png", "cat", [] if n < 4 else [(BODY, BIG, 0.9)]) for n in range(12)]
    report = make_report(make_store(rows, pictures=False))
    assert list(findings(report)) == [("cat", "no part was found in 33.3 % of its images")]
    assert not list(findings(make_report(report.store, bounds=Bounds(blank=0.4))))


def test_best_median_and_worst_do_not_overlap():
    ranked = [(score / 10, score) for score in range(10)]
    chosen = _examples(ranked, 2)
    assert (chosen.best, chosen.median, chosen.worst) == ((9, 8), (5, 4), (1, 0))
    for count in range(8):
        each = _examples(ranked[:count], 4)
        shown = [*each.best, *each.median, *each.worst]
        assert len(shown) == len(set(shown)) <= count
        assert bool(each.best) == (count > 0)


def test_truth_ranks_images_and_gives_the_sweep(make_store, make_dataset):
    rows = [
        ("cat/good.png", "cat", [(HEAD, SMALL, 0.3)]),
        ("cat/bad.png", "cat", [(HEAD, (30, 20, 20, 15), 0.9)]),
        ("cat/other.png", "cat", [(HEAD, SMALL, 0.6)]),
    ]
    truth = [(name, "cat", [("cat:head", SMALL)]) for name, _, _ in rows[:2]]
    report = make_report(make_store(rows), truth=make_dataset(truth))
    assert report.truth.images == 2
    assert report.quality == {0: 1.0, 1: 0.0}
    assert report.examples["cat"].best == (0,)
    assert report.examples["cat"].worst == (1,)
    assert report.truth.sweep[0].recall == 0.5
    assert not report.truth.exact
    assert "truth" in report.ranked_by


class Links(HTMLParser):
    """Everything the page would fetch, and everything that would run."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts = 0
        self.images: list[dict[str, str]] = []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.scripts += tag == "script" or any(name.startswith("on") for name in found)
        if tag == "img":
            self.images.append(found)
        for name in ("src", "srcset", "data", "poster") + (("href",) if tag == "link" else ()):
            if name in found:
                self.fetched.append(found[name])


def test_the_page_is_self_contained_and_holds_pictures(make_store, make_dataset, tmp_path):
    rows = [
        ("cat/a.png", "cat", [(BODY, BIG, 0.9), (HEAD, SMALL, 0.5)]),
        ("cat/<b>&ü.png", "cat", [(BODY, BIG, 0.7)]),
        ("cat/c.png", "cat", "not a <picture>"),
        ("car/gone.png", "car", [(WHEEL, SMALL, 0.7)]),
        ("car/blank.png", "car", []),
    ]
    store = make_store(rows)
    (tmp_path / "photos" / "car" / "gone.png").unlink()
    people = make_dataset([("x.png", "cat", [("cat:body", BIG)])])
    truth = make_dataset(
        [(row[0], row[1], [("cat:body", BIG)]) for row in rows[:2]], folder="truth"
    )
    report = make_report(store, human=people, truth=truth)
    page = write_page(report, tmp_path / "deep" / "r.html").read_text(encoding="utf-8")
    links = Links()
    links.feed(page)
    assert links.scripts == 0
    assert all(src.startswith("data:image/") for src in links.fetched)
    assert len(links.images) == 2
    assert all(image["alt"] for image in links.images)
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"https?://", page)
    assert "<b>&ü.png" not in page
    assert "&lt;b&gt;&amp;ü.png" in page
    assert "not a &lt;picture&gt;" in page
    assert 'name="viewport"' in page
    assert page.count("<svg") == page.count("</svg>") > 5
    assert write_page(report, tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_missing_pictures_leave_a_gap(make_store, tmp_path):
    store = make_store([("car/gone.png", "car", [(WHEEL, SMALL, 0.7)])], pictures=False)
    page = write_page(make_report(store), tmp_path / "r.html").read_text(encoding="utf-8")
    assert "picture not found or damaged" in page


def test_many_categories_get_pictures_for_the_worst_only(make_store, tmp_path):
    names = tuple(f"o{n}:p" for n in range(5))
    rows = [(f"{n}.png", f"o{n}", [(n, BIG, 0.9)]) for n in range(5)]
    rows += [("x.png", "o3", [])]
    report = make_report(make_store(rows, names=names), bounds=Bounds(categories=2))
    page = write_page(report, tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2
    assert "3 object categories below have no pictures" in page


@pytest.mark.parametrize("rows", [[], [("a.png", None, [])], [("a.png", "dog", [])]])
def test_odd_stores_still_get_a_page(make_store, tmp_path, rows):
    page = write_page(make_report(make_store(rows)), tmp_path / "r.html").read_text()
    assert "Object categories" in page
    assert ("knows no part" in page) == bool(rows)


def test_a_damaged_shard_is_a_clear_error(make_store, tmp_path):
    store = make_store([("a.png", "cat", [(BODY, BIG, 0.9)])])
    (tmp_path / "pseudo" / "shards" / "part-00000.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DatasetError, match=r"part-00000\.parquet"):
        make_report(store)


def test_numbers_are_written_for_people():
    assert percent(0.1234) == "12.3 %"
    assert percent(None) == times(None) == number_of(None) == "–"
    assert number_of(12345) == "12,345"
    assert number_of(0.456) == "0.46"
    assert times(1.5) == "1.50 ×"
