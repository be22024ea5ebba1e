"""Reads what SearchDevices calls SQL."""

import re
from dataclasses import dataclass, field

from .clock import read_precise
from .errors import Refusal, invalid

LENGTH, CONDITIONS, ROWS, OFFSET = 400, 5, 50, 500

LIKED = frozenset({"device_name", "node_id", "tag_key", "tag_value"})
ORDERED = frozenset({"create_time", "marker"})
NOT_LISTED = frozenset({"tag_key", "tag_value"})  # no "in" for these
NAMES = frozenset(
    ("app_id", "device_id", "gateway_id", "product_id", "device_name", "node_id", "status", "node_type")
)
FIELDS = NAMES | ORDERED | NOT_LISTED | {"sw_version", "fw_version", "group_id"}
ANSWERED = (FIELDS - NOT_LISTED - {"group_id", "create_time"}) | frozenset(
    ("app_name", "device_sdk_version", "product_name", "groups", "tags", "modules")
)
_TOKEN = re.compile(r"""\s*(?:('[^']*'|"[^"]*")|([A-Za-z_]\w*)|([0-9]+)|(!=|[=<>(),*]))""", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9_\u4e00-\u9fff-]{4,}%")


@dataclass(frozen=True)
class Condition:
    name: str
    operator: str
    values: tuple[str, ...]


@dataclass
class Select:
    fields: tuple[str, ...] = ()  # empty: all
    count: bool = False
    either: list[list[Condition]] = field(default_factory=list)  # AND within, OR between
    order: str | None = None
    offset: int = 0
    rows: int = 10


def read_sql(sql: str) -> Select:
    if len(sql) > LENGTH:
        raise invalid(f"sql must have at most {LENGTH} characters.")
    return _Reader(_tokens(sql.strip())).select()


def _tokens(sql: str) -> list[str]:
    tokens, at = [], 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None:
            raise _wrong(sql[at : at + 20])
        tokens.append(match.group().strip())
        at = match.end()
    return tokens


def _wrong(near: str) -> Refusal:
    return invalid(f"sql cannot be read near {near!r}.")


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def select(self) -> Select:
        found = Select()
        self._need("select")
        self._what(found)
        self._need("from")
        self._need("device")
        if self._take("where"):
            found.either = self._either()
        if self._take("order"):
            self._need("by")
            self._need("marker")
            found.order = "asc" if self._take("asc") else "desc" if self._take("desc") else "asc"
        if self._take("limit"):
            found.offset, found.rows = self._limit()
        if self.at < len(self.tokens):
            raise _wrong(self.tokens[self.at])
        return found

    def _next(self) -> str:
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        self.at += 1
        return token

    def _take(self, *words: str) -> bool:
        """All of these words, in this order, or none."""
        ahead = self.tokens[self.at : self.at + len(words)]
        if [token.lower() for token in ahead] != list(words):
            return False
        self.at += len(words)
        return True

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise _wrong(self._next())

    def _what(self, found: Select) -> None:
        if self._take("*"):
            return
        if self._take("count", "(", "*", ")") or self._take("count", "(", "1", ")"):
            found.count = True
            return
        names = [self._next()]
        while self._take(","):
            names.append(self._next())
        for name in names:
            if name not in ANSWERED:
                raise _wrong(name)
        found.fields = tuple(names)

    def _either(self) -> list[list[Condition]]:
        either = [[self._condition()]]
        while True:
            if self._take("and"):
                either[-1].append(self._condition())
            elif self._take("or"):
                either.append([self._condition()])
            else:
                break
        if sum(map(len, either)) > CONDITIONS:
            raise invalid(f"sql must have at most {CONDITIONS} conditions.")
        return either

    def _condition(self) -> Condition:
        name = self._next()
        if name not in FIELDS:
            raise _wrong(name)
        operator = "not in" if self._take("not", "in") else self._next().lower()
        allowed = {
            "=": FIELDS,
            "!=": FIELDS,
            "<": ORDERED,
            ">": ORDERED,
            "like": LIKED,
            "in": FIELDS - NOT_LISTED,
            "not in": FIELDS - NOT_LISTED,
        }
        if name not in allowed.get(operator, ()):
            raise invalid(f"sql cannot use {operator} on {name}.")
        values = self._list() if operator.endswith("in") else (self._value(),)
        _check(name, operator, values)
        return Condition(name, operator, values)

    def _list(self) -> tuple[str, ...]:
        self._need("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(")")
        return tuple(values)

    def _value(self) -> str:
        token = self._next()
        if len(token) > 2 and token[0] in "'\"":
            return token[1:-1]
        if token.isdigit():
            return token
        raise _wrong(token)  # also for '' and null: neither can be compared with

    def _limit(self) -> tuple[int, int]:
        first = self._number()
        offset, rows = (first, self._number()) if self._take(",") else (0, first)
        if offset > OFFSET or not 1 <= rows <= ROWS:
            raise invalid(f"sql must ask for at most {ROWS} rows, at an offset of at most {OFFSET}.")
        return offset, rows

    def _number(self) -> int:
        token = self._next()
        if not token.isdigit():
            raise _wrong(token)
        return int(token)


def _check(name: str, operator: str, values: tuple[str, ...]) -> None:
    if operator == "like" and not _PREFIX.fullmatch(values[0]):
        raise invalid("sql must use like with at least four characters and one % at the end.")
    for value in values:
        if name == "marker" and not re.fullmatch(r"[0-9a-fA-F]{24}", value):
            raise Refusal(400, "IOTDA.000018", "Invalid input. marker must be 24 hexadecimal digits.")
        if name == "create_time" and read_precise(value) is None:
            raise Refusal(
                400, "IOTDA.000009", "Invalid input. create_time must look like 2015-12-12T12:12:12.000Z."
            )
