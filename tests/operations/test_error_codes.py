"""Every documented error code has a meaning and a next step."""

from typing import Any

import pytest

from iotda_admin.operations.error_codes import CODES, OWN, UNKNOWN_CODE, explain_code

# The platform's error code pages, as far as they could be read.
WRITTEN_DOWN = """
    IOTDA.000002 IOTDA.000004 IOTDA.000006 IOTDA.000008 IOTDA.000009 IOTDA.000010 IOTDA.000011 IOTDA.000012
    IOTDA.000013 IOTDA.000014 IOTDA.000017 IOTDA.000018 IOTDA.000020 IOTDA.000021 IOTDA.000022 IOTDA.000029
    IOTDA.001000 IOTDA.001001 IOTDA.001002 IOTDA.001005 IOTDA.001006 IOTDA.001007
    IOTDA.004002 IOTDA.004003 IOTDA.004004
    IOTDA.014000 IOTDA.014016 IOTDA.014024 IOTDA.014031 IOTDA.014038 IOTDA.014039 IOTDA.014040
    IOTDA.014111 IOTDA.014112 IOTDA.014114 IOTDA.014115
    IOTDA.014219 IOTDA.014600 IOTDA.014602 IOTDA.014603
    IOTDA.015204 IOTDA.021101 IOTDA.021102 IOTDA.021105
    APIGW.0101 APIGW.0103 APIGW.0104 APIGW.0105 APIGW.0106 APIGW.0201 APIGW.0301 APIGW.0302 APIGW.0303
    APIGW.0308
"""
CAN_HELP = {
    "IOTDA.000020",
    "IOTDA.014016",
    "IOTDA.014111",
    "IOTDA.021101",
    "IOTDA.021102",
    "APIGW.0201",
    "APIGW.0308",
}


@pytest.mark.parametrize("code", WRITTEN_DOWN.split())
def test_a_code_has_a_meaning_a_next_step_and_whether_a_retry_helps(code: Any) -> None:
    known = explain_code(code)
    assert known is not UNKNOWN_CODE
    assert str(known.meaning).endswith(".")
    assert str(known.next_step).endswith(".")
    assert known.retryable == (code in CAN_HELP)
    assert not (known.retryable and known.hopeless)


def test_no_other_code_is_listed() -> None:
    assert set(CODES) - OWN == set(WRITTEN_DOWN.split())


@pytest.mark.parametrize(
    "code", ["IOTDA.014204", "IOTDA.000030", "IOTDA.015205", "something", "apigw.0308"]
)
def test_an_undocumented_code_is_unknown(code: str) -> None:
    for status in (None, 400, 403, 404, 409):
        assert explain_code(code, status) is UNKNOWN_CODE


def test_the_codes_of_a_dedicated_gateway_mean_the_same() -> None:
    assert explain_code("APIG.0308") is CODES["APIGW.0308"]


def test_the_pages_show_no_backticks() -> None:
    said = [*CODES.values(), UNKNOWN_CODE]
    assert [help for help in said if "`" in f"{help.meaning}{help.next_step}"] == []
