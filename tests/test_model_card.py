"""The model card: what comes from data or a file name is text in it, and no markup."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from beam_pcc.models.metadata import ModelMetadata
from beam_pcc.reporting.model_card import card, code, plots, text
from beam_pcc.sources import synthetic
from beam_pcc.training.train import train
from tests.end_to_end.conftest import DATE

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://example.com/x.png)",
    "https://example.com www.example.com a@example.com",
    "`code` **bold** _em_ ~~cut~~ | cell",
    "line\n# heading\n\n- item",
    "\u202egnp.exe\x1b[31m",
    "&lt;b&gt; \\<b>",
]


@given(st.text() | st.sampled_from(HOSTILE))
@example("\\" * 3 + "<b>")
def test_a_value_is_plain_text_in_markdown(value: str) -> None:
    shown = text(value)
    assert shown.isprintable() or not shown
    plain = ""
    rest = iter(shown)
    for character in rest:  # what a renderer takes for text: after a backslash, and entities
        if character == "\\":
            plain += f"\0{next(rest)}"
        else:
            plain += character
    unescaped = plain.split("\0")
    for part in [unescaped[0], *(part[1:] for part in unescaped[1:])]:
        assert not set(part) & set("`*[]<>|~@")
        assert "://" not in part


@given(st.text() | st.sampled_from(HOSTILE))
def test_a_value_cannot_leave_a_code_span(value: str) -> None:
    shown = code(value)
    assert shown.count("`") == 2
    assert shown.startswith("`")
    assert shown.endswith("`")
    assert shown.isprintable()


def test_names_with_underscores_and_dots_are_kept() -> None:
    assert text("v20261101_020000") == "v20261101_020000"
    assert text("scikit-learn 1.7.2") == "scikit-learn 1.7.2"


def test_the_card_of_hostile_subtypes_and_file_name(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    subtypes = ["<script>alert(1)</script>", "[x](javascript:alert(1))"]
    data = tmp_path / f"{'%'.join(subtypes).replace('/', '%')}`<b>.parquet"
    synthetic.write(data, 400, DATE, with_intent=True)
    table = pq.read_table(data)
    intents = [
        f"PC/{subtypes[row % 2]}" if label.startswith("PC") else label
        for row, label in enumerate(table["intent"].to_pylist())
    ]
    pq.write_table(table.set_column(table.column_names.index("intent"), "intent", [intents]), data)

    made = train(str(data), str(tmp_path / "models"))

    card = (tmp_path / "models" / made.version / "model_card.md").read_text()
    outside = "".join(part for number, part in enumerate(card.split("`")) if number % 2 == 0)
    assert "<" not in outside
    assert "[x](" not in outside
    assert all(text(f"PC/{subtype}") in card for subtype in subtypes)
    assert json.loads((tmp_path / "models" / made.version / "metadata.json").read_text())["classes"]


@given(st.text() | st.sampled_from(HOSTILE))
def test_every_value_of_the_card_is_escaped(value: str) -> None:
    rows = dict.fromkeys(("rows", "holdout", "dropped", "duplicates", "contradicting"), 1)
    about = ModelMetadata(
        version=value,
        embedding_model=value,
        sha256=value,
        trained_at=value,
        trained_on={"data": value, "labels": {value: 1}, "settings": {"min_precision": None}, **rows},
        libraries={value: value},
        metrics={value: 0.5},
        intervals={value: (0.1, 0.9)},
    )
    shown = card(about)

    assert shown.count(text(value)) >= 7
    assert shown.count(code(value)) >= 2
    rest = shown.replace(code(value), "").replace(text(value), "")
    own = card(ModelMetadata("v", embedding_model="v", **_with(about, "v")))
    assert len(rest.splitlines()) == len(own.splitlines())


def _with(about: ModelMetadata, word: str) -> dict[str, object]:
    trained_on = {**about.trained_on, "data": word, "labels": {word: 1}}
    texts = {"sha256": word, "trained_at": word, "libraries": {word: word}}
    return {**texts, "trained_on": trained_on, "metrics": {word: 0.5}, "intervals": {word: (0.1, 0.9)}}


def scored(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.random(rows) < 0.3
    truth[:2] = True, False
    return truth, np.clip(0.3 + 0.3 * truth + 0.2 * rng.standard_normal(rows), 0.001, 0.999)


def points(svg: str) -> list[tuple[float, float]]:
    (line,) = re.findall(r'<polyline class="c-line c-a" points="([^"]*)"', svg)
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]


def test_calibration_has_a_point_for_each_bin_with_rows() -> None:
    truth, probability = scored(500)
    bins = np.unique(np.minimum((probability * 10).astype(int), 9))
    assert len(points(plots(truth, probability, 0.5)["calibration.svg"])) == len(bins)


@pytest.mark.parametrize("rows", [2, 50])
def test_recall_grows_along_the_curve(rows: int) -> None:
    truth, probability = scored(rows)
    across = [x for x, _ in points(plots(truth, probability, 0.5)["precision_recall.svg"])]
    assert across == sorted(across)
    assert (across[0], across[-1]) == (52.0, 398.0)  # recall 0 and 1: the edges of the frame
