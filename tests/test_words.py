"""One word for one thing: words that are never right here, and names defined once."""

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("iotda_admin", "devices", "policies")
VIEW = "views of two apps, each called through its module, named as its URL"
# Names that several modules define on purpose, and why.
DELIBERATE = {
    "Command": "Django finds a management command by this name",
    "failures": VIEW,
    "freshness": "the view refreshes what the template tag draws",
    "reopen": "the view of the change of the same name",
    "run_job": "the same step of either engine of the workers",
}


def modules_of_names(*, simulator: bool) -> dict[str, set[str]]:
    """Return where each public name of a program is defined, at the top level.

    The simulator is a program of its own, with IoTDA's words for the same things.
    """
    found = defaultdict(set)
    for room in PRODUCT:
        for path in (ROOT / room).rglob("*.py"):
            if "migrations" in path.parts or ("simulator" in path.parts) != simulator:
                continue
            for node in ast.parse(path.read_text()).body:
                if isinstance(
                    node, ast.FunctionDef | ast.ClassDef
                ) and not node.name.startswith("_"):
                    found[node.name].add(str(path.relative_to(ROOT)))
    return found


def defined_twice(*, simulator: bool) -> dict[str, list[str]]:
    names = modules_of_names(simulator=simulator)
    return {name: sorted(paths) for name, paths in names.items() if len(paths) > 1}


def test_no_public_name_is_defined_in_two_modules() -> None:
    twice = defined_twice(simulator=False)
    assert {name: twice[name] for name in twice if name not in DELIBERATE} == {}
    assert DELIBERATE.keys() - twice.keys() == set(), "remove these from DELIBERATE"


def test_no_public_name_is_defined_in_two_modules_of_the_simulator() -> None:
    assert defined_twice(simulator=True) == {}


# Words that are never right here: riddles, old-fashioned English, and private words for
# something that has a name. With what to write instead.
FORBIDDEN = {
    "somebody|somebodys": "a user, another user, another process",
    "whoever|whomever": "anyone who, a user who",
    "anew": "again",
    "shall": "must, will, or the present tense",
    "there(of|in|by|upon|with)|where(in|of|upon)|hitherto|hereby": "say it directly",
    "tell(s|ing)? of|told of": "names, describes",
    "(which|what) one (asks|may|sees)|one asks": "a subject that acts",
    "that (is|are) none": "which is not one",
    "stands(?! for)|stand (in|here|there)": "is, is in, is there",
    "(is|are|be|was|were) left alone": "is not changed, is skipped",
    "for ever": "permanently, forever",
    "(is|are) no (matter|reason|news|wonder)": "does not …",
    "deeds?": "operation",
    "askers?": "actor",
    "(the|one|at|same) doors?": "services, the entry point",
    "nudges?|nudged|nudging": "notify, wake",
    "judge?ments?|judges?|judged|verdicts?": "error policy, classify",
    "hand(s|ed|ing)? (it |them )?back": "requeue, return",
    "handfuls?": "chunk",
    "crews?": "worker pool",
    "fates?": "outcome",
    "what (was|is|has been) (told|asked)": "audit event; what is requested",
    "look(s|ed|ing)? after": "is assigned to",
    "letter for letter": "exactly",
    "makes? twice once": "idempotency key",
    "strange(ly|r)?": "unknown, another",
    "(nobody|no one) (knew|learns|looks|reads)": "unknown, not read",
    "as asked|as it was asked": "as requested",
    "asked for for": "requested",
}
CHECKED = [
    path
    for pattern in (
        *(f"{room}/**/*.py" for room in PRODUCT),
        "templates/**/*.html",
        "static/**/*.js",
        "static/**/*.css",
        "tests/**/*.py",
        "*.py",
        "*.md",
        "docs/*.md",
        "bin/*",
        ".ci/run",
        "requirements/*.in",
    )
    for path in sorted(ROOT.glob(pattern))
    # Migrations are frozen history, and this file names the words.
    if path.is_file() and "migrations" not in path.parts and path != Path(__file__)
]


def forbidden_words(text: str) -> list[str]:
    # The words of a name are separated by underscores.
    text = re.sub(r"(?<=[A-Za-z])_(?=[A-Za-z])", " ", text)
    return [
        f"line {number}: {found[0]!r}: say {instead}"
        for number, line in enumerate(text.splitlines(), 1)
        for word, instead in FORBIDDEN.items()
        for found in re.finditer(rf"(?i)\b(?:{word})\b", line)
    ]


@pytest.mark.parametrize(
    "path", CHECKED, ids=[str(path.relative_to(ROOT)) for path in CHECKED]
)
def test_no_forbidden_word_is_used(path: Any) -> None:
    assert forbidden_words(path.read_text()) == []


def test_forbidden_words_are_found_in_sentences_and_names() -> None:
    assert len(forbidden_words("Somebody else\ndef ask_at_the_door(): ...")) == 2
    assert forbidden_words("An outdoor device") == []
