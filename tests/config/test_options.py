"""The declaration of a setting determines its flag, file, environment, help and documentation."""

import argparse
from pathlib import Path

import pytest

from beam_pcc.config import reference
from beam_pcc.config.options import options_of
from beam_pcc.config.settings import GROUPS, RunConfig, add_partition_argument, add_run_arguments, environment_variables
from beam_pcc.errors import ConfigurationError

CONTRACTS = Path(__file__).parents[2] / "docs/contracts.md"
NEEDED = 'source = "sample://10"\nwarehouse = "w.duckdb"\nmodels = "m"\npartition = "20261120"\n'
OPTIONS = [one for group in GROUPS for one in options_of(group)]


def read(path: Path, *arguments: str, environment: dict[str, str] | None = None) -> RunConfig:
    parser = argparse.ArgumentParser()
    add_partition_argument(parser)
    add_run_arguments(parser)
    flags = parser.parse_args(["--config", str(path), *arguments])
    return RunConfig.from_flags(flags, environment=environment or {})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(NEEDED)
    return path


def add(file: Path, text: str) -> Path:
    file.write_text(file.read_text() + text)
    return file


def test_no_name_is_declared_twice() -> None:
    names = [one.flag for one in OPTIONS]
    assert len(names) == len(set(names))


def test_file_accepts_every_setting(file: Path) -> None:
    config = read(add(file, "max_drop_rate = 1\nbatch_rows = 5\ndry_run = true\nencoder_threads = 3\n"))
    needed = {"source": "sample://10", "warehouse": "w.duckdb", "models": "m"}
    assert config == RunConfig.of(
        "20261120", **needed, max_drop_rate=1.0, batch_rows=5, dry_run=True, encoder_threads=3
    )


def test_file_accepts_a_toml_date(file: Path) -> None:
    file.write_text(file.read_text().replace('"20261120"', "2026-11-20"))
    assert f"{read(file).partition:%Y%m%d}" == "20261120"


def test_flag_wins_over_environment_over_file(file: Path) -> None:
    add(file, 'output_table = "p.d.file"\nmonitoring_table = "p.d.file"\nquarantine_table = "p.d.file"\n')
    environment = {"BQ_OUTPUT_TABLE": "p.d.environment", "BQ_MONITORING_TABLE": "p.d.environment"}
    publish = read(file, "--output_table", "p.d.flag", environment=environment).publish
    assert (publish.output_table, publish.monitoring_table, publish.quarantine_table) == (
        "p.d.flag",
        "p.d.environment",
        "p.d.file",
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("max_drop_rat = 1.0\n", "unknown setting max_drop_rat: did you mean max_drop_rate?"),
        ('max_drop_rate = "much"\n', "max_drop_rate must be a number"),
        ("batch_rows = 1.5\n", "batch_rows must be a whole number"),
        ("batch_rows = true\n", "batch_rows must be a whole number"),
        ("dry_run = 1\n", "dry_run must be true or false"),
        ("staging = 1\n", "staging must be a text"),
        ("model_certificates = [1]\n", "model_certificates must be a list of texts"),
        ("[limits]\nmax_psi = 1.0\n", "[limits]: write name = value for each setting, no tables"),
        ("staging = \n", "is not TOML"),
    ],
)
def test_invalid_value_in_file_is_refused_by_name(file: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(add(file, text))
    assert str(refused.value).startswith(f"--config {file}")
    assert error in str(refused.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_unreadable_config_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.toml"
    if content:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"^--config {path} "):
        read(path)


def test_file_values_are_checked_like_flags(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^--max_psi must be between"):
        read(add(file, "max_psi = -1.0\n"))


def test_unknown_name_from_python_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown setting max_psy: did you mean max_psi"):
        RunConfig.of("20261120", source="s", warehouse="w", models="m", max_psy=1.0)


def test_value_outside_choices_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--read_method fast is none of direct, export, arrow"):
        RunConfig.of("20261120", source="s", warehouse="w", models="m", read_method="fast")


def test_help_names_each_default(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    shown = " ".join(parser.format_help().split())
    assert not [one.flag for one in OPTIONS if one.default_text and f"(default: {one.default_text})" not in shown]


def test_contracts_contain_the_current_tables() -> None:
    text = CONTRACTS.read_text()
    assert reference.with_tables(text) == text, "run make reference"


def test_each_variable_is_documented_once() -> None:
    assert len(environment_variables()) == 5 + len([one for one in OPTIONS if one.environment])
