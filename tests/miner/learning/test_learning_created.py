"""Where a miner's cascade remembers, and what its learner learns for."""

import json

from miner.learning.create import remembering, serving
from miner.settings import Data, Learning, Settings
from models.description import Description
from models.weights import DEFAULT, EMBEDDED_LICENCE

TWO = Description("two", ({"kind": "classifier"}, {"kind": "regions"}))


def test_the_first_classifier_is_told_where_to_remember(tmp_path):
    settings = Settings(data=Data(path=tmp_path))
    found = remembering(TWO, settings)
    assert found.tiers == ({"kind": "classifier", "memory": str(tmp_path / "memory")}, {"kind": "regions"})
    assert remembering(TWO, Settings(learning=Learning(memory=False))) == TWO
    plain = Description("plain", ({"kind": "trivial"},))
    assert remembering(plain, settings) == plain


def test_what_serves_is_the_folder_of_the_classifier(tmp_path):
    assert serving(TWO, {"classifier": "v1"}).folder == DEFAULT
    own = Description("own", ({"kind": "classifier", "path": str(tmp_path)},))
    assert serving(own, {"classifier": "v2"}).version == "v2"
    hub = Description("hub", ({"kind": "classifier", "path": "owner/name"},))
    assert serving(hub, {}) is None
    assert serving(Description("plain", ({"kind": "trivial"},)), {}) is None


def test_what_is_trained_comes_under_the_licence_of_what_it_was_trained_from(tmp_path):
    assert serving(TWO, {}).licence == EMBEDDED_LICENCE
    own = Description("own", ({"kind": "classifier", "path": str(tmp_path)},))
    assert serving(own, {}).licence == ""
    (tmp_path / "manifest.json").write_text(json.dumps({"facts": {"licence": "Apache-2.0"}}))
    assert serving(own, {}).licence == "Apache-2.0"
    (tmp_path / "manifest.json").write_text("{")
    assert serving(own, {}).licence == "", "what cannot be read states nothing"
