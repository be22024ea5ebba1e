"""One request to the API, read; and the answer to it."""

import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from .errors import invalid, unreadable
from .journal import Entry


@dataclass(slots=True)
class Call:
    method: str
    raw_path: str
    raw_query: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, str]
    path: dict[str, str]
    entry: Entry
    now: float = 0.0
    document: Any = field(default=None)  # the body as JSON; None when it is none

    def read[Model: BaseModel](self, model: type[Model]) -> Model:
        if self.document is None:
            raise unreadable("A JSON document is expected.")
        try:
            return model.model_validate(self.document)
        except ValidationError as exc:
            problem = exc.errors(
                include_url=False, include_context=False, include_input=False
            )[0]
            where = ".".join(str(part) for part in problem["loc"]) or "body"
            raise invalid(f"{where}: {problem['msg']}") from None


@dataclass(slots=True)
class Answer:
    status: int
    content: Any = None
    headers: list[tuple[str, str]] = field(default_factory=list)

    def body(self) -> bytes:
        if self.content is None:
            return b""
        if isinstance(self.content, bytes):
            return self.content
        return json.dumps(
            self.content, ensure_ascii=False, separators=(",", ":")
        ).encode()

    def media_type(self) -> str:
        return dict(self.headers).get("Content-Type", "application/json")
