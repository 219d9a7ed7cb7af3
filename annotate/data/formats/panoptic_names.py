"""Classes and parts of the Panoptic Parts data sets, by the numbers in their files.

As in the released specifications, cpp_datasetspec.yaml and ppp_datasetspec.yaml. PASCAL's files
also number the parts of one kind in a picture (the engines of a plane are 6 to 15).
"""

from collections.abc import Mapping

Names = Mapping[int, tuple[str, tuple[str, ...]]]
"""Number of a class -> its name, and the part of each number from 1; several may be one part."""

_HUMAN = ("torso", "head", "arms", "legs")
_VEHICLE = ("windows", "wheels", "lights", "license plate", "chassis")
CITYSCAPES: Names = {
    24: ("person", _HUMAN),
    25: ("rider", _HUMAN),
    26: ("car", _VEHICLE),
    27: ("truck", _VEHICLE),
    28: ("bus", _VEHICLE),
}

_SIDES = "frontside leftside rightside backside roofside"
_CAR = f"{_SIDES} leftmirror rightmirror fliplate bliplate door*10 wheel*10 headlight*10 window*20"
_PET = "head leye reye lear rear nose torso neck lfleg lfpa rfleg rfpa lbleg lbpa rbleg rbpa tail"
_LEGS = "lfuleg lflleg rfuleg rflleg lbuleg lblleg rbuleg rblleg tail"
_HORNED = f"head leye reye lear rear muzzle lhorn rhorn torso neck {_LEGS}"
_PASCAL = {
    1: ("aeroplane", "body stern lwing rwing tail engine*10 wheel*10"),
    2: ("bicycle", "fwheel bwheel saddle handlebar chainwheel headlight"),
    3: ("bird", "head leye reye beak torso neck lwing rwing lleg lfoot rleg rfoot tail"),
    5: ("bottle", "cap body"),
    6: ("bus", _CAR),
    7: ("car", _CAR),
    8: ("cat", _PET),
    10: ("cow", _HORNED),
    12: ("dog", f"{_PET} muzzle"),
    13: (
        "horse",
        f"head leye reye lear rear muzzle lfho rfho lbho rbho torso neck {_LEGS}",
    ),
    14: ("motorbike", "fwheel bwheel handlebar saddle headlight*10"),
    15: (
        "person",
        "head leye reye lear rear lebrow rebrow nose mouth hair torso neck llarm luarm lhand rlarm "
        "ruarm rhand llleg luleg lfoot rlleg ruleg rfoot",
    ),
    16: ("pottedplant", "pot plant"),
    17: ("sheep", _HORNED),
    19: (
        "train",
        "head hfrontside hleftside hrightside hbackside hroofside headlight*10 coach*10 "
        "cfrontside*10 cleftside*10 crightside*10 cbackside*10 croofside*10",
    ),
    20: ("tvmonitor", "screen frame"),
}


def _numbered(words: str) -> tuple[str, ...]:
    """`engine*10` is ten numbers of one part."""
    pairs = (word.partition("*") for word in words.split())
    return tuple(name for name, _, times in pairs for _ in range(int(times or 1)))


PASCAL: Names = {number: (owner, _numbered(words)) for number, (owner, words) in _PASCAL.items()}
