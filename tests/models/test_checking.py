"""The first load runs in a separate process with limits; any failure of it is a one-line error."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beam_pcc.errors import ModelError
from beam_pcc.models import artifact, checking, folding
from tests.models import hostile
from tests.models.test_artifact import KINDS, VECTORS, fit

WHERE = "models/v20261120_060000/model.joblib"


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_passed", {})


def check(data: bytes, **options: Any) -> checking.Checked:
    asked = {"file_format": "joblib", "where": WHERE, "sha256": artifact.digest(data), **options}
    return checking.check(data, **asked)


def error_of(data: bytes, **options: Any) -> str:
    with pytest.raises(ModelError) as refused:
        check(data, **options)
    message = str(refused.value)
    assert message.startswith(f"{WHERE} ")
    assert message.isprintable()
    return message


@pytest.fixture(scope="module")
def sound() -> bytes:
    return hostile.as_joblib(fit(KINDS["logistic"]()))


def child(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """What the process does instead."""
    monkeypatch.setattr(checking, "_START", f"import os, sys, time, json, signal; sys.stdin.buffer.read(); {code}")


def test_valid_model_returns_classes_and_exact_scores(sound: bytes) -> None:
    checked = check(sound, vectors=VECTORS[:5])

    model = artifact.load(sound, file_format="joblib", where=WHERE)
    assert checked.classes == ("NOT_PC", "PC")
    assert checked.probabilities is not None
    expected = folding.fold(model).predict_proba(VECTORS[:5])
    np.testing.assert_allclose(checked.probabilities, expected, rtol=0, atol=1e-12)


def test_refusal_has_message_of_the_loader(tmp_path: Path) -> None:
    assert "asks for os.system, which is not an allowed model type" in error_of(hostile.os_system(tmp_path / "canary"))
    assert not (tmp_path / "canary").exists()


def test_classes_are_compared(sound: bytes) -> None:
    assert "but its metadata says PC, NOT_PC" in error_of(sound, classes=["PC", "NOT_PC"])


def test_checked_digest_is_not_checked_again(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    check(sound)
    child(monkeypatch, "os._exit(3)")
    assert check(sound).classes == ("NOT_PC", "PC")
    assert "ended with status 3" in error_of(sound, vectors=VECTORS[:1])


def test_crash_is_one_line(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "os.kill(os.getpid(), signal.SIGSEGV)")
    assert "the process that tried died of SIGSEGV; do not use it" in error_of(sound)


def test_process_killed_for_memory_is_one_line(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "os.kill(os.getpid(), signal.SIGKILL)")
    assert "was killed, perhaps for want of memory" in error_of(sound)


def test_memory_is_limited(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "MEMORY_BYTES", 64 * 2**20)  # less than the libraries take
    assert "memory" in error_of(sound) or "cannot be loaded" in error_of(sound)


def test_cpu_time_is_limited(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "CPU_SECONDS", 1)
    monkeypatch.setattr(
        checking,
        "_START",
        checking._START.replace("checking.answer", "checking._load_and_score = _spin; checking.answer"),
    )
    monkeypatch.setattr(checking, "_START", "def _spin(*_):\n    while True: pass\nexec(" + repr(checking._START) + ")")
    assert "takes more than 1 s of CPU time" in error_of(sound)


def test_wall_time_is_limited(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "WALL_SECONDS", 0.5)
    child(monkeypatch, "time.sleep(60)")
    assert "is not loaded within 0 s" in error_of(sound)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"refused": 7, "a": 1}',
        '{"classes": "PC", "sha256": "0"}',
        '{"classes": [1, 2], "sha256": null}',
        "[" * 100_000,
    ],
)
def test_malformed_answer_is_refused(answer: str, sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, f"os.write(1, {answer[:60_000].encode()!r}); os._exit(0)")
    with pytest.raises(ModelError) as refused:
        check(sound)
    assert str(refused.value).isprintable()


def test_answer_for_another_file_is_refused(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = json.dumps({"classes": ["NOT_PC", "PC"], "sha256": "0" * 64, "probabilities": []})
    child(monkeypatch, f"os.write(1, {answer.encode()!r}); os._exit(0)")
    assert "gave no sound answer" in error_of(sound)


def test_endless_answer_is_cut_off(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "[os.write(1, b'a' * 65536) for _ in iter(int, 1)]")
    with pytest.raises(ModelError):
        check(sound)


def test_process_gets_no_credentials(sound: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "canary")
    child(monkeypatch, f"open({str(tmp_path / 'seen')!r}, 'w').write(repr(dict(os.environ)))")
    with pytest.raises(ModelError):
        check(sound)
    assert "canary" not in (tmp_path / "seen").read_text()


def test_process_may_write_no_file(sound: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    target = tmp_path / "written"
    replaced = checking._START.replace(
        "checking.answer",
        f"checking._load_and_score = lambda *_: open({str(target)!r}, 'w').write('x' * 100_000); checking.answer",
    )
    monkeypatch.setattr(checking, "_START", replaced)
    error_of(sound)
    assert not target.exists() or target.stat().st_size == 0


def children() -> set[str]:
    """Processes that this one has started and not yet waited for; other tests' servers may be among them."""
    ps = subprocess.run(
        ["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    return {line.split()[0] for line in ps.stdout.splitlines() if line.split()[1] != "ps"}


def test_no_process_is_left_behind(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "WALL_SECONDS", 0.5)
    child(monkeypatch, "time.sleep(60)")
    before = children()
    error_of(sound)
    assert children() == before
