"""What a machine that lacks what the emulators need is told."""

import pytest

from tests.emulators import environment, fake_gcs


@pytest.mark.parametrize(
    ("module", "ask", "lacks"),
    [(environment, "python", "Python 3.13"), (fake_gcs, "binary", "Go")],
    ids=["Python 3.13", "Go"],
)
@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_left_out_is_one_line_and_in_ci_a_failure(
    monkeypatch: pytest.MonkeyPatch, module: object, ask: str, lacks: str, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(module, "make", lambda: None)
    monkeypatch.setenv("CI", ci)

    with pytest.raises(outcome) as ended:
        getattr(module, ask)()

    assert str(ended.value).startswith(f"{lacks} is not found, so the tests ")
    assert "\n" not in str(ended.value)
