"""What holds for every template: escaped, without inline script or style, translatable, safe to post."""

import re
from pathlib import Path
from typing import Any

import pytest

from iotda_admin.core.templatetags.core_tags import BADGES

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
CODE = [
    path
    for room in ("iotda_admin", "devices", "policies")
    for path in (ROOT / room).rglob("*.py")
    if "simulator" not in path.parts
]
UNESCAPED = r"\|\s*safe\b|autoescape off|mark_safe|SafeString\("
INLINE = r"\son\w+=|\sstyle=|hx-on|<style|<script>|javascript:"
# Names, not words: the same in every language.
NAMES = {"IoTDA", "IoTDA Admin", "OP-", "Shift", "UTC", "400", "403", "404", "413"}
# The last resort must not depend on anything, translations included.
PLAIN = {"500.html"}

ICONS = set(
    re.findall(
        r'symbol id="i-(.*?)"', (ROOT / "templates/parts/icons.html").read_text()
    )
)


def ids(paths: Any) -> list[Any]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", [*TEMPLATES, *CODE], ids=ids([*TEMPLATES, *CODE]))
def test_nothing_turns_escaping_off(path: Any) -> None:
    assert re.findall(UNESCAPED, path.read_text()) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=ids(TEMPLATES))
def test_there_is_no_inline_script_or_style(path: Any) -> None:
    assert re.findall(INLINE, path.read_text()) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=ids(TEMPLATES))
def test_each_icon_exists(path: Any) -> None:
    assert set(re.findall(r'{% icon "(.*?)"', path.read_text())) <= ICONS


def test_each_badge_has_its_icon() -> None:
    assert {icon for icon, _label in BADGES.values()} <= ICONS


@pytest.mark.parametrize("path", TEMPLATES, ids=ids(TEMPLATES))
def test_each_form_that_posts_carries_its_token(path: Any) -> None:
    forms = re.findall(r'<form[^>]*method="post".*?</form>', path.read_text(), re.S)
    assert [form[:80] for form in forms if "csrf_token" not in form] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=ids(TEMPLATES))
def test_no_line_is_longer_than_120_characters(path: Any) -> None:
    lines = path.read_text().splitlines()
    assert [n for n, line in enumerate(lines, 1) if len(line) > 120] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=ids(TEMPLATES))
def test_no_template_is_longer_than_100_lines(path: Any) -> None:
    assert len(path.read_text().splitlines()) <= 100


def untranslated(text: str) -> list[str]:
    text = re.sub(r"{% comment %}.*?{% endcomment %}|{#.*?#}", "", text, flags=re.S)
    text = re.sub(r"{% blocktranslate.*?{% endblocktranslate %}", "", text, flags=re.S)
    text = re.sub(r"{% block body_class %}.*?{% endblock %}", "", text)
    text = re.sub(r"{%.*?%}|{{.*?}}", "", text, flags=re.S)
    attributes = re.findall(
        r'(?:aria-label|placeholder|title|alt|data-msg-\w+)="([^"]*)"', text
    )
    words = re.sub(r"<!doctype.*?>|<[^>]*>", "\n", text, flags=re.S).splitlines()
    said = [
        re.sub(r"&\w+;|[^\w\s-]", "", word).strip() for word in [*attributes, *words]
    ]
    return [
        word for word in said if re.search(r"[A-Za-z]{2}", word) and word not in NAMES
    ]


@pytest.mark.parametrize("path", TEMPLATES, ids=ids(TEMPLATES))
def test_every_word_can_be_translated(path: Any) -> None:
    if path.name not in PLAIN:
        assert untranslated(path.read_text()) == []


def test_it_would_notice_a_word_that_cannot_be_translated() -> None:
    assert untranslated('<p>Freeze {{ device }}</p><a title="Go">x</a>') == [
        "Go",
        "Freeze",
    ]
