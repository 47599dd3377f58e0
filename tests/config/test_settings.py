"""The settings of a run: valid values, and the errors of invalid ones."""

import argparse
import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.config.partitions import parse_partition
from beam_pcc.config.settings import RunConfig, add_partition_argument, add_run_arguments
from beam_pcc.errors import ConfigurationError

DAY = dt.date(2026, 11, 20)
NEEDED = ["--source", "sample://10", "--warehouse", "w.duckdb", "--models", "models"]


def flags(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_partition_argument(parser)
    add_run_arguments(parser)
    return parser.parse_args([*NEEDED, *arguments])


def read(*arguments: str, environment: Mapping[str, str] | None = None, **more: Any) -> RunConfig:
    return RunConfig.from_flags(flags(*arguments), environment=environment or {}, **more)


def valid(**changed: Any) -> RunConfig:
    return RunConfig.of(DAY, **{"source": "s", "warehouse": "w", "models": "m"} | changed)


@given(st.dates())
def test_partition_is_parsed_in_both_forms(day: dt.date) -> None:
    basic = f"{day.year:04}{day.month:02}{day.day:02}"
    assert parse_partition(basic) == parse_partition(day.isoformat()) == day


def test_today_and_yesterday_are_consecutive_days() -> None:
    first = dt.date(2026, 3, 1)
    assert parse_partition("today", first) == first
    assert parse_partition("yesterday", first) == dt.date(2026, 2, 28)


def test_today_is_a_day_in_utc() -> None:
    before = dt.datetime.now(dt.timezone.utc).date()
    day = parse_partition("today")
    assert before <= day <= dt.datetime.now(dt.timezone.utc).date()


NO_DATES = [
    "",
    "tomorrow",
    "20261320",
    "20260229",
    "00000101",
    "2026-1120",
    "202611-20",
    "2026-11-20T00",
    "261120",
    "20261120\n",
    "٢٠٢٦١١٢٠",
]


@pytest.mark.parametrize("text", NO_DATES)
def test_invalid_day_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not a date: use YYYYMMDD, today or yesterday$") as refusal:
        parse_partition(text)
    assert repr(text) in str(refusal.value)


@given(
    st.text(max_size=12).filter(lambda t: t not in ("today", "yesterday") and sum(c in "0123456789" for c in t) != 8)
)
def test_any_text_without_eight_digits_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a date"):
        parse_partition(text)


def test_multiline_partition_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse_partition("2026\n1120")
    assert "\n" not in str(refusal.value)


def test_missing_flags_have_the_declared_defaults() -> None:
    assert read("--partition", "20261120") == RunConfig.of(
        DAY, source="sample://10", warehouse="w.duckdb", models="models"
    )


def test_every_flag_reaches_its_setting() -> None:
    given_flags = {
        "staging": "s",
        "model_version": "v20261120_020000",
        "model_sha256": "a" * 64,
        "max_drop_rate": 0.2,
        "max_psi": 0.3,
        "review_band": 0.05,
        "batch_rows": 10,
        "lock_timeout": 5.0,
    }
    arguments = [word for name, value in given_flags.items() for word in (f"--{name}", str(value))]

    config = read("--partition", "20261120", "--dry_run", "--replace_with_empty", *arguments)

    needed = {"source": "sample://10", "warehouse": "w.duckdb", "models": "models"}
    assert config == RunConfig.of(DAY, **needed, dry_run=True, replace_with_empty=True, **given_flags)


def test_force_latest_reaches_its_setting() -> None:
    assert read("--partition", "20261120", "--force_latest").model.force_latest


def test_partition_is_read_from_environment() -> None:
    assert read(environment={"PARTITION_DATE": "2026-11-20"}).partition == DAY


def test_partition_flag_wins_over_environment() -> None:
    assert read("--partition", "20261120", environment={"PARTITION_DATE": "20250101"}).partition == DAY


def test_backfill_day_wins_over_environment() -> None:
    assert read(environment={"PARTITION_DATE": "20250101"}, partition=DAY).partition == DAY


def test_invalid_partition_in_environment_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'soon' is not a date"):
        read(environment={"PARTITION_DATE": "soon"})


@pytest.mark.parametrize("environment", [{}, {"PARTITION_DATE": ""}])
def test_run_without_partition_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"^--partition is missing: say YYYYMMDD, today or yesterday$"):
        read(environment=environment)


@pytest.mark.parametrize(
    ("text", "dry"),
    [("true", True), ("1", True), (" YES ", True), ("on", True), ("", False), ("0", False), ("False", False)],
)
def test_dry_run_is_read_from_environment(text: str, dry: bool) -> None:
    assert read("--partition", "20261120", environment={"DRY_RUN": text}).publish.dry_run is dry


def test_dry_run_flag_wins_over_environment() -> None:
    assert read("--partition", "20261120", "--dry_run", environment={"DRY_RUN": "false"}).publish.dry_run


def test_invalid_dry_run_in_environment_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^DRY_RUN is 'maybe': use true or false$"):
        read("--partition", "20261120", environment={"DRY_RUN": "maybe"})


@pytest.mark.parametrize("name", ["source", "warehouse", "models"])
@pytest.mark.parametrize("value", ["", None])
def test_missing_required_flag_is_named(name: str, value: str | None) -> None:
    with pytest.raises(ConfigurationError, match=f"^--{name} is missing: "):
        valid(**{name: value})


@pytest.mark.parametrize(
    ("text", "own_names"),
    [
        ("", {}),
        ("case_id=id", {"case_id": "id"}),
        (" CASE_ID = Id , embedding_vector=Vec (584)", {"case_id": "Id", "embedding_vector": "Vec (584)"}),
        ("case_id=timestamp,timestamp=case_id", {"case_id": "timestamp", "timestamp": "case_id"}),
        ("timestamp=a=b", {"timestamp": "a=b"}),
    ],
)
def test_columns_are_mapped_by_name(text: str, own_names: dict[str, str]) -> None:
    assert valid(columns=text).source.own_names == own_names
    assert read("--columns", text, partition=DAY).source.own_names == own_names


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("id", "must be pairs such as case_id=id,embedding_vector=vec"),
        ("case_id=", "must be pairs such as"),
        ("=id", "must be pairs such as"),
        ("case_id=id,", "must be pairs such as"),
        ("case_id=a\nb", "must be pairs such as"),
        ("id=case_id", r".* maps id, which is none of case_id, embedding_vector, timestamp"),
        ("case_id=a,Case_ID=b", r".* maps case_id twice: leave one out"),
        ("case_id=a,timestamp=A", r".* makes two columns of a: name one for each"),
        ("case_id=timestamp", r".* makes two columns of timestamp: name one for each"),
    ],
)
def test_columns_that_cannot_be_meant_are_refused(text: str, error: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^--columns {error}"):
        valid(columns=text)


@pytest.mark.parametrize(("columns", "text_column"), [("case_id=Body", "body"), ("timestamp=body", "BODY")])
def test_column_of_messages_is_not_mapped(columns: str, text_column: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--columns maps \w+ to the column of --text_column: name another$"):
        valid(columns=columns, text_column=text_column)


@pytest.mark.parametrize("name", ["case_id", "Embedding_Vector", "TIMESTAMP"])
def test_column_of_messages_has_its_own_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match="has another meaning: name the column of messages"):
        valid(text_column=name)


def test_model_version_and_force_latest_are_exclusive() -> None:
    with pytest.raises(ConfigurationError, match=r"^--model_version and --force_latest exclude each other"):
        valid(model_version="v20261120_020000", force_latest=True)


@pytest.mark.parametrize("digest", ["", "a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n"])
def test_malformed_digest_is_refused(digest: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--model_sha256 must be 64 hexadecimal digits$"):
        valid(model_sha256=digest)


def test_digest_may_be_upper_case() -> None:
    assert valid(model_sha256="AB" * 32).model.sha256 == "AB" * 32


NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "value", "limits"),
    [
        ("max_drop_rate", -0.01, "between 0 and 1$"),
        ("max_drop_rate", 1.01, "between 0 and 1$"),
        ("max_drop_rate", NAN, "between 0 and 1$"),
        ("review_band", 0.51, r"between 0 and 0\.5$"),
        ("review_band", NAN, r"between 0 and 0\.5$"),
        ("max_psi", -1.0, "between 0 and "),
        ("max_psi", float("inf"), "between 0 and "),
        ("batch_rows", 0, "between 1 and 100000$"),
        ("batch_rows", 100_001, "between 1 and 100000$"),
        ("lock_timeout", -1.0, "not be negative$"),
        ("lock_timeout", NAN, "not be negative$"),
        ("retry_timeout", -1.0, "not be negative$"),
    ],
)
def test_number_out_of_range_names_the_range(name: str, value: float, limits: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^--{name} must .*{limits}"):
        valid(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_drop_rate", 0.0), ("max_drop_rate", 1.0), ("review_band", 0.5), ("batch_rows", 1), ("lock_timeout", 0.0)],
)
def test_ends_of_a_range_are_accepted(name: str, value: float) -> None:
    config = valid(**{name: value})
    group = config.source if name == "batch_rows" else config.limits
    assert getattr(group, name) == value
