"""/openapi.json: a sound document, and what we answer is what it says."""

import jsonschema
import pytest
from api_kit import Port, picture, text
from openapi_spec_validator import validate

ONE = text(picture(200))


@pytest.mark.parametrize("token", [None, "correct-horse-battery"])
def test_the_document_is_valid(token):
    document = Port(token=token).http.get("/openapi.json").json()
    validate(document)
    assert ("security" in document["paths"]["/v1/classify"]["post"]) is (token is not None)


def schema(name):
    document = Port().http.get("/openapi.json").json()
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


QUESTIONS = [
    {"image": ONE},
    {"images": [ONE] * 6, "deadline_s": 3},
    {"scenes": [{"images": [ONE]}] * 2, "series": True},
    {"scenes": [{"images": [ONE]}], "series": "yes"},
    {"scenes": [{"images": [ONE]}, {"name": "a", "images": [ONE, ONE]}]},
    {"scenes": [{"images": [ONE]}] * 65},
    {"images": "text"},
    {"image": ONE, "images": [ONE]},
    {"image": ONE, "deadline_s": 0},
    {"image": ONE, "deadline_s": 500},
    {"image": ONE, "colour": "red"},
    {"scenes": [{"images": [ONE], "name": 5}]},
    {},
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_it_allows_is_answered_and_what_it_forbids_is_refused(question):
    allowed = jsonschema.Draft202012Validator(schema("Question")).is_valid(question)
    assert (Port().post(json=question).status_code == 200) is allowed


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ({"image": ONE}, "Answer"),
        ({"scenes": [{"images": [ONE]}, {"images": []}]}, "Batch"),
        ({"scenes": [{"images": [ONE]}, {"images": []}], "series": True}, "Batch"),
        ({"image": "aGk="}, "NoAnswer"),
        ({}, "NoAnswer"),
    ],
)
def test_answers_are_as_described(question, name):
    jsonschema.Draft202012Validator(schema(name)).validate(Port().post(json=question).json())


def test_every_status_it_names_is_described_with_a_body():
    replies = Port().http.get("/openapi.json").json()["paths"]["/v1/classify"]["post"]["responses"]
    assert set(replies) >= {"200", "400", "401", "403", "413", "415", "422", "429", "503"}
    assert all(reply["content"] for reply in replies.values())
