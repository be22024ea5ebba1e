"""The routes of the resolver, and the forms and links of pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

from django.urls import URLPattern, URLResolver, get_resolver

from tests.cloud import ROOT

# The name of a parameter of a route.
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)")
SOURCES = ("iotda_admin", "devices", "policies")
# Parameters that views read, and fields of forms.
ASKED_FOR = re.compile(
    r"(?:GET|POST|data|query|params)(?:\.get(?:list)?\(|\[)\"(\w+)\""
)
FIELD = re.compile(r"^    (\w+) = (?:forms\.)?[A-Z]\w+\(", re.MULTILINE)
COOKIE = re.compile(r"COOKIES(?:\.get\(|\[)\"(\w+)\"|COOKIE\w* = \"(\w+)\"")
# Many pages differ only in an id.
AN_ID = re.compile(r"(?<=/)[\w-]*\d[\w-]*(?=/)")
KEPT = 40
TOKEN = "csrfmiddlewaretoken"


@dataclass
class Form:
    method: str
    actions: list[str]
    fields: list[tuple[str, str]] = field(default_factory=list)
    # The other choices.
    choices: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Site:
    routes: list[str]
    # By purpose, so that a form of every page is not sent more often than the rest.
    forms: dict[str, list[Form]] = field(default_factory=dict)
    links: dict[str, list[str]] = field(default_factory=dict)
    # The values of each field or parameter on the pages.
    values: dict[str, list[str]] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return sorted(self.values)

    def learn(self, path: str, html: str) -> None:
        reader = Reader(path)
        reader.feed(html)
        for form in reader.forms.values():
            if form.actions:
                alike = self.forms.setdefault(kind_of(form.actions[0]), [])
                alike[KEPT:] = [] if len(alike) > KEPT else [form]
            for name, value in form.fields + form.choices:
                self.keep(name, value)
        for link in reader.links:
            for name, value in parse_qsl(urlsplit(link).query, keep_blank_values=True):
                self.keep(name, value)
            alike_links = self.links.setdefault(kind_of(link), [])
            if link not in alike_links and len(alike_links) < KEPT:
                alike_links.append(link)

    def keep(self, name: str, value: str) -> None:
        known = self.values.setdefault(name, [])
        if value and value not in known and len(known) < KEPT:
            known.append(value)


class Reader(HTMLParser):
    """The forms of a page with their values, and its links to our pages."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path, self.links = path, dict[str, None]()
        self.forms: dict[str, Form] = {}
        self.current = self.select = ""

    def handle_starttag(
        self, tag: str, attributes: list[tuple[str, str | None]]
    ) -> None:
        has = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.current = has.get("id") or f"form {len(self.forms)}"
            form = self.forms.setdefault(self.current, Form("get", []))
            form.method = has.get("method", "get").upper()
            form.actions.append(self.absolute(has.get("action", "")))
        elif tag == "select":
            self.select = has.get("name", "")
        elif tag == "option":
            self.add(
                {"name": self.select, "value": has.get("value", "")}, "selected" in has
            )
        elif tag in ("input", "button", "textarea"):
            self.add(
                has,
                has.get("type") not in ("checkbox", "radio", "submit")
                and tag != "button",
            )
            if action := has.get("formaction"):
                self.form(has).actions.append(self.absolute(action))
        elif tag == "a" or "hx-get" in has:
            link = self.absolute(has.get("href") or has.get("hx-get", ""))
            if link.startswith("/"):
                self.links[link] = None

    def handle_endtag(self, tag: str) -> None:
        self.current = "" if tag == "form" else self.current

    def add(self, has: dict[str, str], filled: bool) -> None:
        name = has.get("name", "")
        if name and name != TOKEN:
            form = self.form(has)
            (form.fields if filled else form.choices).append(
                (name, has.get("value", ""))
            )

    def form(self, has: dict[str, str]) -> Form:
        return self.forms.setdefault(
            has.get("form") or self.current or "none", Form("get", [])
        )

    def absolute(self, link: str) -> str:
        link = link.partition("#")[0]
        return (
            self.path.partition("?")[0] + link
            if link[:1] in ("", "?")
            else urljoin(self.path, link)
        )


def kind_of(link: str) -> str:
    return AN_ID.sub("_", link.partition("?")[0])


def routes(resolver: URLResolver | None = None, prefix: str = "/") -> Iterator[str]:
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + str(entry.pattern).removeprefix("^").removesuffix("$")
        if isinstance(entry, URLPattern):
            yield route
        else:
            yield from routes(entry, route)


def site() -> Site:
    found = Site(list(dict.fromkeys(routes())))
    for room in SOURCES:
        for file in sorted((ROOT / room).rglob("*.py")):
            text = file.read_text()
            for name in sorted({*ASKED_FOR.findall(text), *FIELD.findall(text)}):
                found.values.setdefault(name, [])
            found.cookies += sorted(one or two for one, two in COOKIE.findall(text))
    return found
