"""VIA 3's project files, spelled as VIA 2 spells them so that one reader draws both.

    {"project": {…}, "attribute": {"1": {"aname": "part", "options": {"0": "head"}, …}},
     "file": {"1": {"fname": "a.jpg", "type": 2, "src": "a.jpg", …}},
     "view": {"1": {"fid_list": ["1"]}},
     "metadata": {"1_abc": {"vid": "1", "z": [], "xy": [7, x, y, …], "av": {"1": "0"}}}}

`xy` begins with the kind of shape; its numbers are pixels of the picture. What has a time (`z`)
belongs to a video.
"""

from collections.abc import Mapping
from typing import Any

from partlab.schema import Raw

VIA_3 = frozenset({"project", "file", "view", "metadata", "attribute"})
"""What its projects hold."""

_IMAGE = 2
_KINDS = {
    1: "point",
    2: "rect",
    3: "circle",
    4: "ellipse",
    5: "line",
    6: "polyline",
    7: "polygon",
    8: "extreme rectangle",
    9: "extreme circle",
}


def is_via_3(loaded: Any) -> bool:
    """Whether a JSON file's content is a project of VIA 3."""
    return isinstance(loaded, dict) and VIA_3 - {"attribute"} <= loaded.keys()


def spelled_as_2(loaded: Raw) -> list[tuple[str, list[Any]]]:
    """(picture, regions) of each image file, with VIA 2's shape and region attributes."""
    options = {key: _options(one) for key, one in _items(loaded.get("attribute"))}
    files = {key: one for key, one in _items(loaded["file"]) if one.get("type") == _IMAGE}
    found: dict[str, list[Any]] = {key: [] for key in files}
    views = {
        key: [str(f) for f in one.get("fid_list") or ()] for key, one in _items(loaded["view"])
    }
    for _, one in _items(loaded["metadata"]):
        shown = views.get(str(one.get("vid")), [])
        xy = one.get("xy")
        if len(shown) == 1 and shown[0] in found and xy and not one.get("z"):
            region = {"shape_attributes": _shape(xy), "region_attributes": _said(one, options)}
            found[shown[0]].append(region)
    return [(_name(one), found[key]) for key, one in files.items()]


def _items(value: Any) -> list[tuple[str, Raw]]:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return [(str(key), one) for key, one in pairs if isinstance(one, dict)]


def _name(file: Raw) -> str:
    """A picture that lies inside the file, or on the web, is looked for by its name."""
    source = str(file.get("src") or "")
    inside = source.startswith(("data:", "blob:")) or "://" in source
    return str(file.get("fname") or source) if inside or not source else source


def _options(attribute: Raw) -> tuple[str, Mapping[str, Any]]:
    """The name of an attribute, and its choices by their numbers."""
    options = attribute.get("options")
    return str(attribute.get("aname", "")), options if isinstance(options, dict) else {}


def _said(one: Raw, attributes: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Raw:
    """Name of each attribute -> what was chosen; of ticked boxes an object of names."""
    said: Raw = {}
    for key, value in (one.get("av") or {}).items():
        name, options = attributes.get(str(key), (str(key), {}))
        chosen = (
            [str(options.get(v, v)) for v in str(value).split(",")] if options else [str(value)]
        )
        said[name] = chosen[0] if len(chosen) == 1 else dict.fromkeys(chosen, True)
    return said


def _shape(xy: list[Any]) -> Raw:
    kind, numbers = _KINDS.get(xy[0], str(xy[0])), xy[1:]
    if kind in ("polygon", "polyline"):
        return {"name": kind, "all_points_x": numbers[::2], "all_points_y": numbers[1::2]}
    if kind == "extreme rectangle":
        left, top = min(numbers[::2]), min(numbers[1::2])
        right, bottom = max(numbers[::2]), max(numbers[1::2])
        numbers, kind = [left, top, right - left, bottom - top], "rect"
    keys = {
        "rect": ("x", "y", "width", "height"),
        "circle": ("cx", "cy", "r"),
        "ellipse": ("cx", "cy", "rx", "ry"),
    }
    return {"name": kind, **dict(zip(keys.get(kind, ()), numbers, strict=False))}
