"""Names, hashes and replies of the legacy wire. Vectors were taken from the SDK's own 10.5.0 Synapse."""

from __future__ import annotations

import pytest
from wire_kit import EMPTY, read

from miner.wire import synapse
from miner.wire.synapse import Rejected


def test_hash_of_no_fields_is_the_constant_that_dendrites_sign():
    assert synapse.EMPTY_HASH == "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a" == EMPTY
    assert synapse.body_hash({"image": "abc"}, ()) == EMPTY


@pytest.mark.parametrize(
    ("body", "fields", "expected"),
    [
        (
            {"image": "aGVsbG8="},
            ["image"],
            "068460509847d45ef60b914f6242deae3e97b38c643de101b0c226df647822d3",
        ),
        ({}, ["image"], "42012470e20e90036b3098da71e1056ce0e561031bc41fa47faa1d1269f93a2e"),
        (
            {"image": "é"},
            ["image", "prediction"],
            "5207830746fdbb4e10a9b8d9d8c87afafed355f0e04fda9874ce58804c65cd55",
        ),
        (
            {"testnet_label": 1, "timeout": 9},
            ["testnet_label", "timeout", "image"],
            "d28ffc48d13a2e83a9e4763599ad7ae3289bfb60ebdf28db48505f59abddb16a",
        ),
    ],
)
def test_body_hash_is_the_sdks(body, fields, expected):
    assert synapse.body_hash(body, fields) == expected


@pytest.mark.parametrize("body", [{"image": "\ud800"}, {"prediction": 10**400}])
def test_what_no_sdk_can_have_hashed_has_no_hash(body):
    with pytest.raises(Rejected, match="body"):
        synapse.body_hash(body, ["image", "prediction"])


def test_signed_text():
    assert synapse.signed_text("17", "5Dendrite", "5Axon", "uuid", "hash") == b"17.5Dendrite.5Axon.uuid.hash"


def test_answer_reads_like_a_stock_axons():
    answer = read(synapse.answer(0.25, 9.0, 1, 0.01))
    assert answer.status == 200
    assert answer.json == {
        "name": "ImageSynapse",
        "timeout": 9.0,
        "testnet_label": 1,
        "prediction": 0.25,
    }
    assert answer.headers["bt_header_axon_status_code"] == "200"
    assert answer.headers["bt_header_axon_status_message"] == "Success"
    assert answer.headers["computed_body_hash"] == EMPTY
    assert float(answer.headers["bt_header_axon_process_time"]) == 0.01
    assert not [name for name in answer.headers if "signature" in name]


@pytest.mark.parametrize("timeout", [None, "9", [], True, -1, 1e300, float("nan"), float("inf"), 10**400])
def test_whatever_timeout_the_body_has_the_answer_is_json(timeout):
    answer = read(synapse.answer(0.5, synapse.timeout({"timeout": timeout}), -1, 0.0))
    assert answer.json["timeout"] == 12.0
    assert b"NaN" not in answer.body


@pytest.mark.parametrize(
    ("label", "read"), [(0, 0), (1, 1), (-1, -1), (2, -1), (True, -1), ("1", -1), (None, -1)]
)
def test_testnet_label_is_zero_one_or_nothing(label, read):
    assert synapse.testnet_label({"testnet_label": label}) == read


@pytest.mark.parametrize("reason", sorted(synapse.REASONS))
def test_every_reason_has_a_reply(reason):
    answer = read(synapse.refusal(reason))
    assert answer.status == synapse.REASONS[reason][0] == Rejected(reason).status
    assert answer.headers["bt_header_axon_status_code"] == str(answer.status)
    assert answer.json == {"message": Rejected(reason).text}
    assert ("retry-after" in answer.headers) == (answer.status in (429, 503))
    assert ("allow" in answer.headers) == (answer.status == 405)
