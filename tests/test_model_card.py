"""The model card: what comes from data or a file name is text in it, and no markup."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from beam_pcc.reporting.model_card import code, text
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


def test_names_with_underscores_and_dots_stay_as_they_are() -> None:
    assert text("v20261101_020000") == "v20261101_020000"
    assert text("scikit-learn 1.7.2") == "scikit-learn 1.7.2"


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "[x](javascript:alert(1))"])
def test_the_card_of_a_hostile_subtype_and_file_name(tmp_path: Path, hostile: str) -> None:
    import pyarrow.parquet as pq

    data = tmp_path / f"{hostile.replace('/', '%')}`<b>.parquet"
    synthetic.write(data, 400, DATE, with_intent=True)
    table = pq.read_table(data)
    intents = [f"PC/{hostile}" if label.startswith("PC") else label for label in table["intent"].to_pylist()]
    pq.write_table(table.set_column(table.column_names.index("intent"), "intent", [intents]), data)

    made = train(str(data), str(tmp_path / "models"))

    card = (tmp_path / "models" / made.version / "model_card.md").read_text()
    outside = "".join(part for number, part in enumerate(card.split("`")) if number % 2 == 0)
    assert "<" not in outside
    assert "[x](" not in outside
    assert text(f"PC/{hostile}") in card
    assert json.loads((tmp_path / "models" / made.version / "metadata.json").read_text())["classes"]
