"""Reasons in words from the command line."""

from __future__ import annotations

import json

import pytest

from models.scenes import render
from models.vlm.say import main


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("street")
    files = [folder / f"{seed}.jpg" for seed in range(2)]
    for seed, file in enumerate(files):
        render(seed, True).save(file)
    return [str(file) for file in files]


def test_a_scene_is_told_in_words_with_what_it_took(pictures, capsys):
    said = []
    for steps in ("", "pvc 0.5 merge=true,nvfp4,purekv 0.5,specvlm 1 draft=lookup"):
        assert main([*pictures, "--device", "cpu", "--json", "--steps", steps]) == 0
        said.append(json.loads(capsys.readouterr().out))
    plain, spared = said
    assert 0 < plain["prediction"] < 1 and plain["reason"].split(":")[0] in ("yes", "no")
    assert spared["took"]["kept_tokens"] == 16 and spared["version"] != plain["version"]
    assert main([*pictures, "--device", "cpu"]) == 0
    assert "first word" in capsys.readouterr().out


def test_what_cannot_be_is_said_in_a_sentence(pictures, tmp_path, capsys):
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    for asked, said in (
        ([str(tmp_path / "no.jpg")], "no.jpg is no picture that can be read"),
        ([*pictures, "--steps", "sharpen 2"], "no method is called 'sharpen'"),
        ([str(tmp_path / "none.jpg")], "No such file"),
    ):
        assert main([*asked, "--device", "cpu"]) == 2
        assert said in capsys.readouterr().err
