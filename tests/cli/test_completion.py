"""The script of `completion` in a real bash: what Tab offers."""

import shlex
import subprocess
from pathlib import Path

import pytest

from beam_pcc.cli import main as cli
from beam_pcc.cli.completion import SHELLS

pytest.importorskip("shtab", reason="the extra completion is not installed")


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", "bash"]) == 0
    return capsys.readouterr().out


def offered(script: str, folder: Path, line: str) -> set[str]:
    """What bash offers for the last word of a line when Tab is pressed."""
    words = line.split(" ")
    program = "\n".join(
        [
            script,
            f"COMP_WORDS=({' '.join(map(shlex.quote, words))})",
            f"COMP_CWORD={len(words) - 1}",
            f"COMP_LINE={shlex.quote(line)}",
            "COMP_POINT=${#COMP_LINE}",
            "name=$(complete -p beam-pcc | sed 's/.*-F \\([^ ]*\\).*/\\1/')",
            '$name beam-pcc "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"',
            "printf '%s\\n' \"${COMPREPLY[@]}\"",
        ]
    )
    ended = subprocess.run(["bash", "--norc"], input=program, capture_output=True, text=True, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return {word.strip() for word in ended.stdout.splitlines() if word.strip()}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("beam-pcc ba", {"backfill"}),
        (
            "beam-pcc models ",
            {"list", "verify", "promote", "rollback", "shadow", "history", "compare", "evaluate", "sign"},
        ),
        ("beam-pcc models list --out", {"--output"}),
        ("beam-pcc tables query --output m", {"markdown"}),
        ("beam-pcc run --encoder_backend o", {"onnx", "openvino"}),
        ("beam-pcc run --max_d", {"--max_drop_rate"}),
        ("beam-pcc run --config ru", {"run.toml"}),
    ],
)
def test_bash_offers(script: str, tmp_path: Path, line: str, words: set[str]) -> None:
    (tmp_path / "run.toml").write_text("")

    assert words <= offered(script, tmp_path, line)
    assert all(word.startswith(line.split(" ")[-1]) for word in offered(script, tmp_path, line))


@pytest.mark.parametrize("shell", SHELLS)
def test_script_of_each_shell_names_the_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    assert "backfill" in capsys.readouterr().out
