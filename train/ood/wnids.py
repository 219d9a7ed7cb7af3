"""ImageNet's classes by wnid, whatever a model calls them."""

from collections import Counter
from collections.abc import Sequence


def classes_by_wnid(classes: Sequence[str]) -> dict[str, str]:
    """wnid -> the model's class: those called by wnid, or by a name that only one wnid has.

    Names are the first ones of ImageNet's descriptions (`tench` of `tench, Tinca tinca`), or
    whole descriptions, in any letters. `crane` is two classes, so it is none.
    """
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    wnids = info.label_names()
    known = set(wnids)
    direct = {name: name for name in classes if name in known or _is_wnid(name)}
    if direct:
        return direct
    wholes = [info.label_name_to_description(wnid, detailed=False) for wnid in wnids]
    firsts = [whole.split(",")[0] for whole in wholes]
    by_name: dict[str, str] = {}
    for names in (firsts, wholes):
        many = Counter(map(_folded, names))
        pairs = zip(map(_folded, names), wnids, strict=True)
        by_name |= {name: wnid for name, wnid in pairs if many[name] == 1}
    return {by_name[_folded(name)]: name for name in classes if _folded(name) in by_name}


def _is_wnid(name: str) -> bool:
    return len(name) == 9 and name[0] == "n" and name[1:].isdigit()


def _folded(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())
