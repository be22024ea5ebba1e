"""What `.env` may hold, and that no message quotes it."""

import os
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from iotda_admin.core.dotenv import read_dotenv


@pytest.fixture
def dotenv(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("SAMPLE=value", "value"),
        ("SAMPLE=value   # console: Overview", "value"),
        ("SAMPLE=value\t# comment", "value"),
        ("  export SAMPLE = value  ", "value"),
        ("SAMPLE=pass#word", "pass#word"),
        ('SAMPLE="a # b"  # comment', "a # b"),
        (r'SAMPLE="a \" b \\"', r'a " b \ '.strip()),
        (r"SAMPLE='a \ # b'", r"a \ # b"),
        ("SAMPLE=Mon-Fri 08:00-18:00 # hours", "Mon-Fri 08:00-18:00"),
        ("SAMPLE=https://a/?b=c&D=e", "https://a/?b=c&D=e"),
        ("SAMPLE=don't", "don't"),
        ("SAMPLE=", ""),
        ("SAMPLE=  # comment", ""),
        ('SAMPLE=""', ""),
        ("\ufeffSAMPLE=value\r", "value"),
        ("# SAMPLE=other\n\nSAMPLE=值", "值"),
    ],
)
def test_a_line_sets_its_value(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch, line: str, value: str
) -> None:
    dotenv.write_text(f"{line}\n", "utf-8")
    # Set and deleted, so that monkeypatch removes it afterwards.
    monkeypatch.setenv("SAMPLE", "")
    monkeypatch.delenv("SAMPLE")
    read_dotenv(dotenv)
    assert os.environ["SAMPLE"] == value


def test_the_environment_overrides_the_file(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPLE", "environment")
    dotenv.write_text("SAMPLE=file\n")
    read_dotenv(dotenv)
    assert os.environ["SAMPLE"] == "environment"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\nA=1  IOTDA_SK=canary", ".env, line 2: put each setting on a line"),
        ("canary", ".env, line 1: must be NAME=value"),
        ('A="canary', ".env, line 1: must be NAME=value"),
        ('A="canary" B=2', ".env, line 1: must be NAME=value"),
        ("A-B=canary", ".env, line 1: must be NAME=value"),
    ],
)
def test_a_wrong_line_is_named_and_not_printed(
    dotenv: Path, text: str, sentence: str
) -> None:
    dotenv.write_text(text)
    with pytest.raises(ImproperlyConfigured) as error:
        read_dotenv(dotenv)
    assert str(error.value).startswith(sentence)
    assert "canary" not in str(error.value)


def test_a_file_that_is_not_text_is_named(dotenv: Path) -> None:
    dotenv.write_bytes(b"A=\xff")
    with pytest.raises(ImproperlyConfigured, match=r"\.env: cannot read it"):
        read_dotenv(dotenv)


def test_a_missing_file_sets_nothing(dotenv: Path) -> None:
    before = dict(os.environ)
    read_dotenv(dotenv)
    assert dict(os.environ) == before
