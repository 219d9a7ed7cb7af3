"""Settings of a training as an object: no run is started here."""

import pytest

from partlab.config import Config
from partlab.errors import ConfigError
from segmenter import ModelConfig, SegmenterConfig, TrainConfig, train_segmenter
from segmenter.train import training_config

OWN = SegmenterConfig(model=ModelConfig(channels=32), train=TrainConfig(epochs=3, lr=0.01))


def test_a_config_lies_under_the_file_and_the_overrides(tmp_path) -> None:
    (tmp_path / "own.toml").write_text("[train]\nepochs = 5\n")
    assert training_config("torchvision", OWN, None, []) == OWN
    found = training_config("torchvision", OWN, str(tmp_path / "own.toml"), ["train.lr=0.02"])
    assert (found.model.channels, found.train.epochs, found.train.lr) == (32, 5, 0.02)


def test_a_recipe_beside_a_config_and_another_kind_of_config_are_refused(
    make_dataset, tmp_path
) -> None:
    place, run = make_dataset([("cat/a.png", "cat", [])]).path.parent.parent, str(tmp_path / "run")
    with pytest.raises(ConfigError, match="a recipe and a config were given"):
        train_segmenter(str(place), run, recipe="small", config=OWN)

    class Foreign(Config):
        """Of no backend."""

    with pytest.raises(ConfigError, match="'torchvision' takes a SegmenterConfig"):
        train_segmenter(str(place), run, config=Foreign())
    assert not (tmp_path / "run").exists()
