"""The vendor's OpenAPI descriptions of IoTDA and IAM, as validators of each call.

They are data files of the package huaweicloud-mcp-server; nothing of it is imported.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import distribution
from typing import Any

import fastjsonschema

Json = dict[str, Any]
METHODS = ("get", "post", "put", "delete")

MAYBE_TEXT = {"type": ["string", "null"]}
# What the description of 2025-07-30 lacks or has wrong.
AMENDED: dict[str, Json] = {
    # The vendor's SDK 3.1.219 has it.
    "QueryDeviceBase": {"modules": {"type": "array"}},
    # Its values are lists on the page of CreateBatchTask, and nothing but objects here.
    "CreateBatchTask": {"targets_filter": {"type": "object"}},
    "Task": {"targets_filter": {"type": "object"}},
    # IAM: Keystone's null where there is no other page.
    "Links": {"next": MAYBE_TEXT, "previous": MAYBE_TEXT},
}
# Parameters of a call that are described too narrowly.
AMENDED_PARAMETERS: dict[tuple[str, str], Json] = {
    # The vendor's SDK 3.1.219 knows moduleUpgrade, too.
    ("ListBatchTasks", "task_type"): {"type": "string"},
    # A person may type any ID; it is IoTDA that refuses it.
    ("ShowDevicePolicy", "policy_id"): {"type": "string"},
}


class Difference(Exception):
    """What was sent differs from the description; the text names the value."""


class Schemas:
    """The schemas of one service.

    A description calls hardly a property required and forbids none, so a misspelt
    name would pass. Here an object has no properties but those that are described.
    """

    def __init__(self, service: str) -> None:
        package = distribution("huaweicloud-mcp-server")
        name = f"mcp_server_{service}/config/{service}.json"
        (path,) = [file for file in package.files or () if str(file).endswith(name)]
        self.document: Json = json.loads(path.read_text(encoding="utf-8"))
        self.components = self.document["components"]
        for name, properties in AMENDED.items():
            if name in self.components["schemas"]:
                self.components["schemas"][name]["properties"] |= properties
        _tidy(self.components)

    def compile(self, schema: Json) -> Callable[[object], object]:
        """Return a function that raises if a value does not match the schema."""
        # With the schemas it refers to only: the compiler walks all that it gets.
        needed: Json = {}
        todo = _references(schema)
        while todo:
            name = todo.pop()
            if name not in needed:
                needed[name] = self.components["schemas"][name]
                todo |= _references(needed[name])
        whole = schema | {"components": {"schemas": needed}}
        return fastjsonschema.compile(whole, use_default=False, use_formats=False)


def _references(node: object) -> set[str]:
    """Return the names of the schemas that a schema refers to."""
    names = re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(node))
    return set(names)


def _tidy(node: object) -> None:
    """Forbid undescribed properties in each schema of an object below a node."""
    if isinstance(node, dict):
        if node.get("type") == "object" and node.get("properties"):
            node.setdefault("additionalProperties", False)
        if isinstance(pattern := node.get("pattern"), str):
            # fastjsonschema takes each bare $ for the end, also in a set of characters.
            node["pattern"] = re.sub(r"(?<!\\)\$(?=[^|)])", r"\\$", pattern)
        for child in node.values():
            _tidy(child)
    elif isinstance(node, list):
        for child in node:
            _tidy(child)


def _check(validate: Callable[[object], object], value: object) -> None:
    try:
        validate(value)
    except fastjsonschema.JsonSchemaValueException as exc:
        raise Difference(f"{exc.message}, not {exc.value!r:.200}") from None


@dataclass(frozen=True)
class Operation:
    """A call: its method and URL, and how to check its requests and answers."""

    name: str
    schemas: Schemas

    @cached_property
    def _path(self) -> Json:
        path: Json = self.schemas.document["paths"][f"/{self.name}"]
        return path

    @property
    def method(self) -> str:
        (method,) = self._path.keys() & set(METHODS)
        return method.upper()

    @property
    def url(self) -> str:
        """Return the path, with the names of its parameters in braces."""
        return str(self._path["x-url"]).removeprefix("{endpoint}")

    @property
    def statuses(self) -> set[int]:
        return {int(status) for status in self._description["responses"]}

    @cached_property
    def _description(self) -> Json:
        description: Json = self._path[self.method.lower()]
        return description

    @cached_property
    def _answers(self) -> dict[int, Callable[[object], object]]:
        return {
            int(status): self.schemas.compile(_schema(response))
            for status, response in self._description["responses"].items()
            if "content" in response and status != "204"
        }

    def check_answer(self, status: int, content: object) -> None:
        """Check an answer that is no error. Raises Difference."""
        if status not in self.statuses:
            raise Difference(f"the status {status} is not described")
        if status in self._answers:
            _check(self._answers[status], content)
        elif content is not None:
            raise Difference(f"a body is not described for the status {status}")

    def check_request(self, parameters: Mapping[str, str], body: object) -> None:
        """Check what a client sent, in the path, the query and the body."""
        numbers = {
            one["name"]: _value(parameters[one["name"]], one["schema"]["type"])
            for one in self._parameters
            if one["name"] in parameters
        }
        _check(self._parameters_schema, {**parameters, **numbers})
        if body is None:
            if self._description.get("requestBody", {}).get("required"):
                raise Difference("the body is required")
        elif "requestBody" not in self._description:
            raise Difference("a body is not described")
        else:
            _check(self._body_schema, body)

    @cached_property
    def _parameters(self) -> list[Json]:
        return [
            one
            | {
                "schema": AMENDED_PARAMETERS.get(
                    (self.name, one["name"]), one["schema"]
                )
            }
            for one in self._description.get("parameters", [])
            if one["in"] in ("path", "query")
        ]

    @cached_property
    def _parameters_schema(self) -> Callable[[object], object]:
        schema = {
            "type": "object",
            "properties": {one["name"]: one["schema"] for one in self._parameters},
            "required": [
                one["name"] for one in self._parameters if one.get("required")
            ],
            "additionalProperties": False,
        }
        return self.schemas.compile({k: v for k, v in schema.items() if v != []})

    @cached_property
    def _body_schema(self) -> Callable[[object], object]:
        return self.schemas.compile(_schema(self._description["requestBody"]))


def _schema(part: Json) -> Json:
    schema: Json = part["content"]["application/json"]["schema"]
    return schema


def _value(text: str, kind: str) -> object:
    """Return the value of a parameter; the text itself if it is not of its type."""
    if kind == "integer" and text.lstrip("-").isdecimal():
        return int(text)
    return {"true": True, "false": False}.get(text, text) if kind == "boolean" else text


@cache
def schemas_of(service: str) -> Schemas:
    return Schemas(service)


@cache
def operation(service: str, name: str) -> Operation | None:
    """Return a described call of "iotda" or "iam" by its name."""
    schemas = schemas_of(service)
    known = f"/{name}" in schemas.document["paths"]
    return Operation(name, schemas) if known else None
