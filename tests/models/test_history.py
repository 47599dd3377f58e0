"""The log of promotions is a chain: a line that was changed, added or removed shows."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from beam_pcc.cli import main as cli
from beam_pcc.errors import ModelError
from beam_pcc.models import history, pointer
from beam_pcc.models.history import Chain
from beam_pcc.models.registry import Registry
from beam_pcc.storage import open_store

VERSIONS = [f"v2026112{day}_020000" for day in range(5)]
Lines = list[bytes]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A registry whose log has five lines."""
    for version in VERSIONS:
        change(tmp_path, version)
    return tmp_path


def change(models: Path, version: str) -> None:
    """As a promotion does after its checks."""
    store = open_store(str(models))
    pointer.replace(store, pointer.read(store), version, None, "promote")


def lines(models: Path) -> Lines:
    return (models / "promotions.jsonl").read_bytes().splitlines()


def write(models: Path, changed: Lines) -> None:
    (models / "promotions.jsonl").write_bytes(b"".join(line + b"\n" for line in changed))


def verify(models: Path, earlier: bytes = b"") -> Chain:
    return Registry(str(models)).verify_history(earlier)


def broken(models: Path) -> str:
    """The error of a chain that is not whole; it is of one line and of exit code 2."""
    with pytest.raises(ModelError, match="the chain is broken at line ") as error:
        verify(models)
    return str(error.value).partition("the chain is broken at ")[2]


def without_chain(line: bytes) -> bytes:
    """The line as an earlier release wrote it."""
    entry = json.loads(line)
    del entry["previous"]
    return json.dumps(entry).encode()


def test_each_line_has_the_digest_of_the_one_before(models: Path) -> None:
    entries = [json.loads(line) for line in lines(models)]
    assert [entry["previous"] for entry in entries] == [
        None,
        *(sha256(line).hexdigest() for line in lines(models)[:-1]),
    ]
    assert verify(models) == Chain(5, 0, sha256(lines(models)[-1]).hexdigest())


def _edited(line: bytes) -> bytes:
    return line.replace(b'"promote"', b'"rollback"')


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda log: [_edited(log[0]), *log[1:]], "line 2: it does not follow line 1: that one was changed"),
        (lambda log: [*log[:2], _edited(log[2]), *log[3:]], "line 4: it does not follow line 3: that one was changed"),
        (lambda log: [*log[:4], _edited(log[4])], "line 5: it differs from the entry in current.json"),
        (lambda log: log[1:], "line 1: it continues a log whose last line has the SHA-256 "),
        (lambda log: [log[0], *log[2:]], "line 2: it does not follow line 1: that one was changed"),
        (lambda log: log[:3], "line 4: it is missing"),
        (lambda _: [], "line 1: it is missing"),
        (lambda log: [*log[:2], log[1], *log[2:]], "line 3: it does not follow line 2: that one was changed"),
        (lambda log: [log[1], log[0], *log[2:]], "line 1: it continues a log"),
        (lambda log: [*log[:3], without_chain(log[3]), log[4]], "line 4: it has no SHA-256 of the line before"),
        (lambda log: [*log, without_chain(log[4])], "line 6: it has no SHA-256 of the line before"),
        (lambda log: [*log[:2], b"no json", *log[3:]], "line 3: it is no entry"),
        (lambda log: [*log[:2], b"", *log[2:]], "line 3: it is no entry"),
    ],
)
def test_first_broken_line_is_named(models: Path, edit: Callable[[Lines], Lines], expected: str) -> None:
    write(models, edit(lines(models)))
    assert broken(models).startswith(expected)


def test_removed_log_is_broken(models: Path) -> None:
    (models / "promotions.jsonl").unlink()
    assert broken(models).startswith("line 1: it is missing")


def test_a_log_that_never_was_is_whole(tmp_path: Path) -> None:
    assert verify(tmp_path) == Chain(0, 0, None)


def test_lines_of_an_earlier_release_are_counted(models: Path) -> None:
    (models / "current.json").write_text(json.dumps({"version": VERSIONS[-1]}))
    write(models, [without_chain(line) for line in lines(models)])
    change(models, VERSIONS[0])

    assert verify(models)[:2] == (6, 5)
    write(models, [*lines(models)[:4], _edited(lines(models)[4]), lines(models)[5]])
    assert broken(models).startswith("line 6: it does not follow line 5")


def test_missing_last_line_is_pending(models: Path) -> None:
    log = lines(models)
    write(models, log[:-1])

    assert verify(models).pending
    assert lines(models) == log[:-1]  # nothing is written
    Registry(str(models)).history()
    assert lines(models) == log
    assert not verify(models).pending


def test_version_that_a_person_wrote_is_told(models: Path) -> None:
    document = json.loads((models / "current.json").read_text())
    (models / "current.json").write_text(json.dumps({**document, "version": VERSIONS[0]}))
    assert verify(models).by_hand == VERSIONS[0]

    (models / "current.json").write_text(json.dumps({"version": VERSIONS[-1]}))
    assert verify(models).by_hand is None


def test_a_log_that_was_moved_away_is_continued(models: Path) -> None:
    moved = models / "promotions-2026.jsonl"
    (models / "promotions.jsonl").rename(moved)
    change(models, VERSIONS[0])  # adds the last line of the moved log, too

    assert broken(models).startswith("line 1: it continues a log whose last line has the SHA-256 ")
    before = moved.read_bytes().splitlines(keepends=True)[:-1]
    assert verify(models, b"".join(before))[:2] == (6, 0)


def test_changed_line_of_the_earlier_log_is_named(models: Path) -> None:
    log = lines(models)
    write(models, log[3:])
    earlier = b"\n".join([log[0], _edited(log[1]), log[2]])
    with pytest.raises(ModelError, match="broken at line 3 of the earlier log: it does not follow line 2 of"):
        verify(models, earlier)


def test_line_without_its_end_is_continued_on_a_new_one(models: Path) -> None:
    path = models / "promotions.jsonl"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    change(models, VERSIONS[0])
    assert verify(models).lines == 6


def test_chain_holds_with_concurrent_writers(models: Path) -> None:
    def race(number: int) -> str | None:
        try:
            change(models, VERSIONS[number % 5])
        except ModelError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(4) as threads:
        refused = [error for error in threads.map(race, range(16)) if error]

    assert all("was changed by somebody else meanwhile" in error for error in refused)
    Registry(str(models)).history()
    assert verify(models).lines == 5 + 16 - len(refused)


def test_writer_that_died_before_the_log_keeps_the_chain(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(history, "append", lambda store, entry: die() if entry["version"] == VERSIONS[0] else None)
        with pytest.raises(KeyboardInterrupt):
            change(models, VERSIONS[0])
    assert verify(models).pending
    change(models, VERSIONS[1])
    assert verify(models)[:2] == (7, 0)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = cli.main([str(a) for a in ("models", "history", *arguments)])
    output = capsys.readouterr()
    return code, output.out + output.err


def test_verify_prints_the_chain(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = run(capsys, "--models", models, "--verify")
    assert code == 0
    assert output.splitlines() == [
        "log: whole; 5 of 5 lines are chained",
        f"  sha256 of the last line  {sha256(lines(models)[-1]).hexdigest()}",
    ]


def test_verify_of_a_broken_chain_is_an_error(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(models, [*lines(models)[:1], *lines(models)[2:]])
    code, output = run(capsys, "--models", models, "--verify")
    (line,) = output.splitlines()
    assert code == 2
    assert "promotions.jsonl: the chain is broken at line 2: " in line


def test_verify_reports_what_has_no_chain(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "current.json").write_text(json.dumps({"version": VERSIONS[0]}))
    write(models, [without_chain(line) for line in lines(models)])
    code, output = run(capsys, "--models", models, "--verify")
    assert code == 0
    assert "log: whole; 0 of 5 lines are chained" in output
    assert "5 of an earlier release are not: " in output
    assert f"no line made {VERSIONS[0]} current" in output


def test_verify_as_json_has_the_chain(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(models, lines(models)[:-1])
    code, output = run(capsys, "--models", models, "--verify", "--output", "json")
    chain = json.loads(output)["chain"]
    assert code == 0
    assert (chain["lines"], chain["unchained"], chain["pending"], chain["by_hand"]) == (4, 0, True, None)

    code, output = run(capsys, "--models", models, "--output", "json")
    assert json.loads(output)["chain"] is None


def test_earlier_log_is_read_from_a_file(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.jsonl").write_bytes(b"".join(line + b"\n" for line in lines(models)[:2]))
    write(models, lines(models)[2:])
    assert run(capsys, "--models", models, "--verify", "--earlier", tmp_path / "old.jsonl")[0] == 0
    assert run(capsys, "--models", models, "--verify", "--earlier", tmp_path / "none.jsonl")[0] == 2
    code, output = run(capsys, "--models", models, "--earlier", tmp_path / "old.jsonl")
    assert (code, "add --verify" in output) == (2, True)
