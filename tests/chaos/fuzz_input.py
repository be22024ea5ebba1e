"""One random request, the same for the same seed and number."""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote_from_bytes, urlsplit

from tests.chaos.fuzz_site import PARAMETER, Form, Site

# Must never appear in a page unescaped.
MARK = "qzfuzz\"'<qzfuzz>"
NASTY = [
    "", " ", "\t", "\0", "a\0b", "\ud800", "x\udfffy", "\u202egnp.exe", "\u200b", "\ufeff", "\u2028", "\x85",
    "\x1b[31mred", "a\r\nSet-Cookie: x=1", "\r\n\r\n<script>alert(1)</script>", "\x7f", "\U0001f600", "é",
    "0", "-0", "-1", "1", "2", "+1", "1.5", "1e5", "1e999", "nan", "Infinity", "0x10", "1_000", "٣", "１２",
    "²",
    "2147483648", "9223372036854775807", "9223372036854775808",
    "9" * 19, "9" * 30, "9" * 5000, "-" + "9" * 30,
    "0001-01-01", "0001-01-01T00:00", "9999-12-31T23:59:59+00:00", "9999-12-31T23:59", "10000-01-01",
    "2026-02-30",
    "0000-00-00", "2026-11-22T10:00+99:99", "2026-11-22", "2026-03-29T02:30", "1969-12-31", "T", "24:00",
    "8999-12-31",
    "%00", "%2F..%2F", "%", "%zz", "../../../etc/passwd", "..", ".", "/", "\\", "-", "--", "_", "*", "?",
    "#", "&", ";", "=",
    "' OR 1=1 --", "'; DROP TABLE audit_event; --", "\" UNION SELECT 1 --", "%' --", "_%", "\\'", "a'b\"c",
    "=1+1", "+SUM(A1)", "@x", "-2+3", "{{ 7 }}", "{% debug %}", "${x}", "%s%n%(x)s", "{0.__class__}",
    "javascript:alert(1)", "//evil.example/", "https://evil.example/x", "/\\evil.example", "///evil.example",
    "http://[", "http://127.0.0.1:99999/", "data:text/html,x", "/devices/\r\nX: y", "http:evil.example",
    "None", "null", "true", "[]", "{}", "[1]", '{"a":1}', "__proto__", "constructor", "undefined", "on",
    "a" * 128,
    "a" * 129, "a" * 300, "a" * 2100, "оnline", "ＦＲＯＺＥＮ", "İ", "ß", "ﬃ",
    "UTC", "Europe/Berlin", "../UTC", "/etc/localtime", "Asia", "localtime", "posix/UTC", "UTC\0",
    "Z" * 400, "Etc/GMT+12",
    "me", "nobody", "all", "solved", "denied", "unknown", "failed", "OP-1", "op-2",
    "OP-" + "9" * 25, "OP-²", "1,2,3", "1,,x",
    "IOTDA.015204", "device.freeze", "bind", "kind:app", "kind:" + MARK, "add:" + MARK, "add:", "remove:x",
    ":", "find",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "</textarea>" + MARK, "<!--" + MARK, "]]>" + MARK,
    MARK, MARK, MARK, MARK + "\0", "x" + MARK, "\ud800" + MARK, MARK * 20,
]  # fmt: skip
PLACES = [
    "//evil.example/", "https://evil.example/x", "/\\evil.example", "///evil.example", "/\t/evil.example",
    "http:evil.example", "javascript:alert(1)", "/devices/", "//127.0.0.1@evil.example", "\\\\evil.example",
]  # fmt: skip
METHODS = (
    ["GET"] * 9
    + ["POST"] * 9
    + ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"]
)
TYPES = [
    "application/x-www-form-urlencoded", "application/json", "text/plain", "", "multipart/form-data", "x",
    "multipart/form-data; boundary=", "multipart/form-data; boundary=\xff", "application/xml",
    "text/html; charset=utf-16",
    "application/x-www-form-urlencoded; charset=utf-7", "application/x-www-form-urlencoded; charset=no-such",
    "application/x-www-form-urlencoded; charset=", "multipart/form-data; boundary=" + "b" * 300,
]  # fmt: skip
SWITCHES = ["HX-Request", "HX-Boosted", "HX-History-Restore-Request"]
SPOKEN = [
    "HX-Target", "HX-Trigger", "HX-Trigger-Name", "HX-Prompt", "HX-Current-URL", "X-Request-Id", "Host",
    "Accept",
    "Accept-Language", "Accept-Encoding", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
    "Cookie", "Referer",
    "Origin", "If-Modified-Since", "If-None-Match", "If-Match", "Range", "Authorization",
    "X-Http-Method-Override",
    "Transfer-Encoding", "Content-Encoding", "User-Agent", "X-Csrftoken", "Expect", "Date", "Content-Length",
]  # fmt: skip
UPLOADS = [
    b"",
    b"\xff\xfe",
    b"\xff\xfea",
    b"\xef\xbb\xbfid\r\n",
    b'"never closed',
    b"\0" * 50,
    b"id," * 20_000,
    b"PK\x03\x04zip",
]
BOUNDARY = "b0undary"
LARGE = 1_000_000


@dataclass
class Input:
    who: str
    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    type: str = ""
    body: bytes = b""
    csrf: bool = False
    # Its origin: a route, a form or a link.
    route: str = ""

    def __str__(self) -> str:
        query = f"?{self.query[:300]}" if self.query else ""
        said = f"{self.who} {self.method} {self.path[:200]}{query}"
        if self.headers:
            said += f" headers {str(self.headers)[:300]}"
        return said + (
            f" {self.type} {self.body[:300]!r}" if self.body or self.type else ""
        )


class Dice:
    """Make the requests of one seed."""

    def __init__(
        self, site: Site, people: Sequence[str], ids: dict[str, list[str]]
    ) -> None:
        self.site, self.people, self.ids = site, people, ids
        self.every_id = [id for some in ids.values() for id in some]
        self.names = site.names
        self.kinds = [self.route] * 5 + [self.form] * 4 + [self.link]
        # Django's admin has as many addresses as the rest together.
        self.own_routes = [
            route for route in site.routes if not route.startswith("/admin")
        ]
        self.their_routes = [
            route for route in site.routes if route.startswith("/admin")
        ]
        self.form_kinds, self.link_kinds = sorted(site.forms), sorted(site.links)

    def narrow(self, addresses: tuple[str, ...], names: list[str]) -> None:
        """Use only these addresses and parameter names."""
        self.own_routes = self.their_routes = [
            r for r in self.own_routes if r.startswith(addresses)
        ]
        self.names, self.kinds = names, [self.route]

    def input(self, seed: int, number: int) -> Input:
        self.random = random.Random(f"{seed} {number}")
        made = self.among(self.kinds)()
        made.who = (
            "root"
            if made.path.startswith("/admin") and self.once_in(3)
            else self.among(self.people)
        )
        if self.once_in(3):
            self.headers(made)
        made.csrf = self.once_in(25)
        return made

    def among[T](self, some: Sequence[T]) -> T:
        return self.random.choice(some)

    def once_in(self, times: int) -> bool:
        return self.random.randrange(times) == 0

    # --- Where to
    def route(self) -> Input:
        route = self.among(self.their_routes if self.once_in(4) else self.own_routes)
        made = Input(
            "", self.among(METHODS), PARAMETER.sub(self.argument, route), route=route
        )
        # Characters that the regular expressions of Django's admin escape.
        made.path = made.path.replace("\\", "")
        if self.once_in(2):
            made.query = self.query(self.pairs())
        if made.method not in ("GET", "HEAD") or self.once_in(10):
            self.fill(made, self.pairs())
        return made

    def argument(self, match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not self.once_in(4):
            return self.among(self.ids.get(name) or self.every_id)
        if self.once_in(3):
            return self.among(
                [
                    "0",
                    "1",
                    "7" * 18,
                    "9" * 19,
                    "9" * 5000,
                    "-",
                    "_",
                    "a" * 128,
                    "__proto__",
                    "1__",
                ]
            )
        return quoted(self.nasty(small=True))

    def link(self) -> Input:
        parts = urlsplit(self.known_link())
        pairs = self.mutated(parse_qsl(parts.query, keep_blank_values=True))
        return Input(
            "",
            self.among(METHODS[:10]),
            parts.path,
            self.query(pairs),
            route=f"link {parts.path}",
        )

    def known_link(self) -> str:
        return self.among(self.site.links[self.among(self.link_kinds)])

    def form(self) -> Input:
        form: Form = self.among(self.site.forms[self.among(self.form_kinds)])
        parts = urlsplit(self.among(form.actions))
        pairs = [*form.fields, *(choice for choice in form.choices if self.once_in(3))]
        pairs = self.mutated([(name, self.kept(name, value)) for name, value in pairs])
        made = Input(
            "", form.method, parts.path, parts.query, route=f"form {parts.path}"
        )
        if form.method == "GET":
            made.query = self.query(pairs)
        else:
            self.fill(made, pairs)
        return made

    # --- What with
    def pairs(self) -> list[tuple[str, str]]:
        if self.once_in(400):
            name = self.among(self.names)
            return [
                (name, self.value(name) if self.once_in(2) else str(n))
                for n in range(self.among([1500, 20_000]))
            ]
        names = [
            self.among(self.names) for _n in range(self.among([0, 1, 1, 2, 3, 6, 15]))
        ]
        return [(name, self.value(name)) for name in names]

    def mutated(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        for _n in range(self.among([0, 1, 1, 1, 2, 4])):
            at = self.random.randrange(len(pairs) + 1)
            choice = self.random.randrange(5)
            if choice == 0 and pairs:
                pairs.pop(at - 1)
            elif choice == 1:
                name = self.among(self.names)
                pairs.insert(at, (name, self.value(name)))
            elif pairs:
                name = pairs[at - 1][0]
                pairs[at - 1 : at] = [(name, self.value(name))] * (
                    2 if choice == 2 else 1
                )
        return pairs

    def kept(self, name: str, value: str) -> str:
        """Fill in a form, so that it passes validation."""
        if name in ("reason", "typed", "note"):
            return value or "because"
        if name == "key":
            return f"{self.random.getrandbits(128):032x}"
        return value or (self.value(name) if self.once_in(2) else "")

    def value(self, name: str) -> str:
        if name == "next" and self.once_in(2):
            return self.among(PLACES)
        known = self.site.values.get(name)
        if known and self.once_in(2):
            return self.among(known)
        if self.once_in(4):
            return "\n".join(
                self.among(self.every_id) for _n in range(self.among([1, 1, 1, 2, 30]))
            )
        return self.nasty()

    def nasty(self, small: bool = False) -> str:
        value = self.among(NASTY)
        if self.once_in(3):
            value += self.among([MARK, self.among(NASTY), self.among(self.every_id)])
        if self.once_in(2000) and not small:
            value = (value or "x") * (LARGE // max(1, len(value)))
        return value

    def query(self, pairs: list[tuple[str, str]]) -> str:
        if self.once_in(60):
            return self.among(
                [
                    "&&==&",
                    "%ff%fe=%80",
                    "a=%zz&=1",
                    "after",
                    "?after=1",
                    "a[]=1&a[b]=2",
                    "%00=%00",
                ]
            )
        return encoded(pairs)[:60_000]

    def fill(self, made: Input, pairs: list[tuple[str, str]]) -> None:
        ways = (self.plain,) * 6 + (self.parts,) * 4
        self.among([*ways, self.json, self.garbage])(made, pairs)

    def plain(self, made: Input, pairs: list[tuple[str, str]]) -> None:
        made.type, made.body = TYPES[0], encoded(pairs).encode()

    def parts(self, made: Input, pairs: list[tuple[str, str]]) -> None:
        made.type = f"multipart/form-data; boundary={BOUNDARY}"
        lines = b"".join(part(name, raw(value)) for name, value in pairs)
        for _n in range(self.among([0, 0, 1, 1, 2, 7])):
            name = self.among(["upload", "upload", self.among(self.names)])
            lines += part(
                name,
                self.upload(),
                self.among(["ids.csv", "", "\0", "../x", MARK, "a" * 300, "x.xlsx"]),
            )
        made.body = lines + f"--{BOUNDARY}--\r\n".encode()
        if self.once_in(12):
            made.body = made.body[: self.random.randrange(len(made.body))]

    def upload(self) -> bytes:
        if self.once_in(3):
            return self.among(UPLOADS)
        encoding = self.among(["utf-8", "utf-8-sig", "utf-16", "latin-1"])
        lines = [
            self.among([self.nasty(small=True), *[self.among(self.every_id)] * 3])
            for _n in range(9)
        ]
        text = self.among(["\n", "\r\n", ",", ";", "\t"]).join(
            ["device_id", *lines] if self.once_in(2) else lines
        )
        return text.encode(encoding, "replace")

    def json(self, made: Input, pairs: list[tuple[str, str]]) -> None:
        made.type, made.body = TYPES[1], json.dumps(dict(pairs)).encode()

    def garbage(self, made: Input, pairs: list[tuple[str, str]]) -> None:
        made.type, made.body = (
            self.among(TYPES),
            self.random.randbytes(self.among([0, 1, 30, 3000])),
        )

    def headers(self, made: Input) -> None:
        for name in SWITCHES:
            if self.once_in(3):
                made.headers[name] = self.among(
                    ["true", "true", "true", "false", self.nasty(small=True)]
                )
        for name in self.random.sample(SPOKEN, self.among([0, 1, 1, 2, 5])):
            made.headers[name] = self.spoken(name)
        if made.headers.get("HX-Current-URL") and self.once_in(2):
            made.headers["HX-Current-URL-URI-AutoEncoded"] = "true"

    def spoken(self, name: str) -> str:
        if name == "Cookie":
            cookies = [
                *self.site.cookies,
                "iotda_admin_session",
                "iotda_admin_csrf",
                "messages",
                "django_language",
                "x",
            ]
            return "; ".join(
                f"{self.among(cookies)}={self.nasty(small=True)}"
                for _n in range(self.among([1, 3]))
            )
        if name == "Host" and not self.once_in(20):
            return self.among(["127.0.0.1", "localhost:8000", "127.0.0.1:99999"])
        if name in ("Transfer-Encoding", "Content-Length") and not self.once_in(10):
            return ""
        if name in ("HX-Current-URL", "Referer") and self.once_in(2):
            return "http://127.0.0.1" + self.known_link()
        return self.nasty(small=True)


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def quoted(text: str) -> str:
    return quote_from_bytes(raw(text), safe="")


def encoded(pairs: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in pairs)


def part(name: str, value: bytes, file: str | None = None) -> bytes:
    said = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
    if file is not None:
        escaped = file.replace('"', "%22")
        said += f'; filename="{escaped}"\r\nContent-Type: text/csv'
    return said.encode() + b"\r\n\r\n" + value + b"\r\n"
