from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from iotda_admin.simulator.schema import (
    NoExtraKeys,
    SchemaError,
    between,
    length,
    parse,
    pattern,
)


@dataclass
class Part:
    name: Annotated[str, pattern("[a-z]+")]


@dataclass
class Model:
    number: int
    ratio: float = 0.0
    part: Part | None = None
    parts: Annotated[list[Part], length(0, 2)] = field(default_factory=list)
    choice: Literal["a", 1] = "a"
    either: int | list[int] | None = None
    pair: tuple[str, int] = ("", 0)
    limited: Annotated[int, between(1, 5)] = 1
    table: dict[str, Any] = field(default_factory=dict)
    anything: Any = None


@dataclass
class Strict(NoExtraKeys):
    number: int = 0


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"ratio": 1}, "ratio", 1.0),
        ({"part": {"name": "x", "ignored": 1}}, "part", Part("x")),
        ({"part": None}, "part", None),
        ({"parts": [{"name": "x"}, {"name": "y"}]}, "parts", [Part("x"), Part("y")]),
        ({"choice": 1}, "choice", 1),
        ({"either": 7}, "either", 7),
        ({"either": [7]}, "either", [7]),
        ({"pair": ["x", 1]}, "pair", ("x", 1)),
        ({"limited": 5}, "limited", 5),
        ({"table": {"x": []}}, "table", {"x": []}),
        ({"anything": [None]}, "anything", [None]),
        ({"unknown": 1}, "number", 1),
    ],
)
def test_a_document_that_matches_its_schema_is_parsed(
    given: dict[str, Any], name: str, value: Any
) -> None:
    assert getattr(parse(Model, {"number": 1} | given), name) == value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"number": "1"}, "number: must be int"),
        ({"number": True}, "number: must be int"),
        ({"number": None}, "number: must be int"),
        ({"ratio": "x"}, "ratio: must be float"),
        ({"part": {}}, r"part\.name: is required"),
        ({"part": []}, "part: must be an object"),
        ({"part": {"name": "X"}}, r"part\.name: must match"),
        ({"parts": [{"name": "x"}] * 3}, "parts: must have from 0 to 2 items"),
        ({"choice": "b"}, "choice: must be a or 1"),
        ({"either": ["x"]}, "either: must be int"),
        ({"pair": ["x"]}, "pair: must be tuple"),
        ({"limited": 6}, "limited: must be from 1 to 5"),
        ({"table": []}, "table: must be dict"),
    ],
)
def test_an_error_names_the_field_and_what_it_must_be(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(SchemaError, match=f"^{message}"):
        parse(Model, {"number": 1} | given)


@pytest.mark.parametrize("document", [[], "text", None, 1])
def test_a_document_must_be_an_object(document: Any) -> None:
    with pytest.raises(SchemaError, match="body: must be an object"):
        parse(Model, document)


def test_a_required_field_must_be_given() -> None:
    with pytest.raises(SchemaError, match="number: is required"):
        parse(Model, {})


def test_a_strict_schema_refuses_unknown_keys() -> None:
    with pytest.raises(SchemaError, match="typo: is unknown"):
        parse(Strict, {"typo": 1})
