"""The look at checkov's report fails where it should."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.policy.checkov_report import main, problems


def check(folder: str, **more: Any) -> dict[str, Any]:
    found = {"check_id": "CKV_AWS_1", "check_name": "Be good", "file_path": f"/{folder}/main.tf"}
    return {**found, "file_line_range": [3, 9], "resource": "aws_x.y", "check_result": {}, **more}


def report(**results: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {f"{name}_checks": [] for name in ("passed", "failed", "skipped")}
    return {"results": {**empty, "parsing_errors": [], **results}}


def skipped(reason: str | None) -> list[dict[str, Any]]:
    return [check("aws-b", check_result={"result": "SKIPPED", "suppress_comment": reason})]


def test_a_report_in_which_nothing_failed_has_no_problems() -> None:
    good = report(passed_checks=[check("aws-a")], skipped_checks=skipped("it costs a dollar"))
    assert list(problems(good, ["aws-a", "aws-b"])) == []


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        ({"failed_checks": [check("aws-a")]}, "terraform-modules/aws-a/main.tf:3 aws_x.y: CKV_AWS_1 Be good"),
        ({"parsing_errors": ["/aws-a/main.tf"]}, "/aws-a/main.tf: checkov cannot read it"),
        ({"skipped_checks": skipped(None)}, "CKV_AWS_1 is skipped without a reason"),
        ({"skipped_checks": skipped("no need")}, "CKV_AWS_1 is skipped without a reason"),
        ({}, "aws-a: checkov checked nothing in it"),
    ],
)
def test_each_problem_is_told(results: dict[str, Any], problem: str) -> None:
    found = list(problems(report(**results), ["aws-a"]))
    assert any(problem in each for each in found)


def test_the_program_fails_on_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report(failed_checks=[check("aws-eks")])))
    assert main(str(path)) == 1
    assert "CKV_AWS_1" in capsys.readouterr().out
