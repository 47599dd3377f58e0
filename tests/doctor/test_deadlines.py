"""Checks run beside each other until a deadline; none stops another."""

import threading

from beam_pcc.doctor.deadlines import Finding, NotNeededError, run_checks
from beam_pcc.errors import RunError


def test_each_end_of_a_check_is_a_finding() -> None:
    def skipped() -> str:
        raise NotNeededError("not used")

    def failed() -> str:
        raise RunError("it is down; start it")

    def broken() -> str:
        raise ZeroDivisionError

    findings = run_checks({"a": lambda: "there", "b": skipped, "c": failed, "d": broken}, 10.0)

    assert findings[:3] == [
        Finding("a", "ok", "there"),
        Finding("b", "skipped", "not used"),
        Finding("c", "failed", "it is down; start it"),
    ]
    assert (findings[3].status, "ZeroDivisionError" in findings[3].message) == ("failed", True)


def test_check_without_an_answer_has_failed() -> None:
    released = threading.Event()
    findings = run_checks({"hangs": lambda: str(released.wait(60)), "answers": lambda: "there"}, 0.2)
    released.set()

    assert [finding.status for finding in findings] == ["failed", "ok"]
    assert findings[0].message.startswith("no answer within 0.2 s")


def test_checks_run_beside_each_other() -> None:
    both = threading.Barrier(2, timeout=30)

    assert all(one.status == "ok" for one in run_checks({n: lambda: str(both.wait()) for n in ("a", "b")}, 30.0))
