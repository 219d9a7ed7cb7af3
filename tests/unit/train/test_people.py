"""Human alignment and shape bias: published figures, and what is said of bad input."""

from pathlib import Path

import pytest
import torch

from partlab.errors import ConfigError, DatasetError, NotFoundError
from train.people.alignment import align, consistency, normal, read_set, read_sets
from train.people.categories import CATEGORIES, choose
from train.people.stimuli import shape_bias, stimuli

RAW = Path(__file__).parents[4] / "shared/data/model-vs-human/raw-data"
HEAD = "subj,Session,trial,rt,object_response,category,condition,imagename\n"


def _trials(file: Path, *rows: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return file


@pytest.mark.skipif(not RAW.is_dir(), reason="needs ../shared/data/model-vs-human/raw-data")
def test_people_against_people_are_the_golden_figures() -> None:
    found = align(read_sets(RAW))
    assert found.told == "17 of 17 sets present"
    assert found.accuracy_difference == pytest.approx(0.0066, abs=5e-5)
    assert found.observed_consistency == pytest.approx(0.8085, abs=5e-5)
    assert found.error_consistency == pytest.approx(0.4312, abs=5e-5)
    assert found.accuracy == pytest.approx(0.7228, abs=5e-5)
    assert found.excluded_trials == 26240


def test_consistency_is_what_it_is_by_hand() -> None:
    assert consistency([True, True, False, False], [True, False, False, False]) == (
        pytest.approx((0.0625, 0.75, 0.5))
    )
    assert consistency([True], [True])[2] == 1


def test_conditions_have_one_spelling() -> None:
    assert normal("0.00") == normal("0") == "0"
    assert normal("True") == "true"


def test_missing_sets_no_answers_and_excluded_trials_are_counted(tmp_path: Path) -> None:
    rows = ["1,1,1,.5,na,dog,0,0001_rot_s01_0_dog_20_n1_1.png"]
    rows += ["1,1,2,.5,na,dog,90,0002_rot_s01_90_dog_20_n1_2.png"]
    for subject in "12":
        file = tmp_path / "rotation" / f"{subject}.csv"
        _trials(file, *[subject + row[1:] for row in rows])
    found = align(read_sets(tmp_path))
    assert found.told == "1 of 17 sets present"
    assert (found.excluded_trials, found.no_answer, found.accuracy) == (2, 2, 0)


def test_bad_trials_are_told(tmp_path: Path) -> None:
    row = "1,1,1,.5,dog,dog,90,0002_rot_s01_90_dog_20_n1_2.png"
    with pytest.raises(DatasetError, match="twice"):
        read_set("rotation", [_trials(tmp_path / "a.csv", row, row)])
    (tmp_path / "b.csv").write_text("subj,answer\n1,dog\n")
    with pytest.raises(DatasetError, match="no column object_response, category"):
        read_set("rotation", [tmp_path / "b.csv"])
    with pytest.raises(NotFoundError, match="none of the 17 sets"):
        read_sets(tmp_path)


def test_categories_are_207_classes_and_answers_are_means_of_probabilities() -> None:
    assert sum(len(each) for each in CATEGORIES.values()) == 207
    logits = torch.zeros(2, 1000)
    logits[0, 499], logits[1, 268] = 9, 12
    logits[1, 766] = 9  # one oven outweighs the mean of 109 dogs
    assert choose(logits) == ["knife", "oven"]
    with pytest.raises(ConfigError, match="14 classes"):
        choose(torch.zeros(1, 14))


def test_shape_bias_leaves_out_pictures_of_one_category() -> None:
    shown = [(Path(f"{name}.jpg"), "cat") for name in ("cat1-dog2", "cat2-car1", "cat3-cat1")]
    found = shape_bias([*shown, shown[0]], ["cat", "car", "cat", "oven"])
    assert (found.shape, found.texture, found.other, found.same) == (1, 1, 1, 1)
    assert found.bias == 0.5


def test_a_folder_with_no_stimuli_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no stimuli"):
        stimuli(tmp_path)
