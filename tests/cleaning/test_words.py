"""The shortcuts of the cleaning find what a plain search would."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.features.cleaning import stems, words

PATTERNS = [
    r"\bdelet|\bcop(?:y|ies)\b|^\W*copy that\b|[a|b]x\b|\?",
    r"\b(?:a|b)\b|\bx|^b\|",
    r"^\W*antrag|^copy$|(?<!a )\bb",
    r"x\|b|[\]|]a",
    r"x[a|^]b|^a",
]
LIKE_PATTERNS = st.lists(
    st.sampled_from(["delet", "copy", "copies", "that", "antrag", *"abx|]^? \n-_."]), max_size=8
).map("".join)
MARKED = st.lists(
    st.sampled_from([*sorted(stems.ALL)[::9], "parcel", "İ", "ß", *" '’(\n-_.:„", "x" * 40]), max_size=12
).map("".join)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=LIKE_PATTERNS)
def test_shared_assertions_find_the_same(pattern: str, text: str) -> None:
    assert bool(words.any_of(pattern).search(text)) == bool(re.search(pattern, text))


@given(MARKED | st.text())
def test_stems_are_those_of_the_words(text: str) -> None:
    lower = text.lower()
    parts = re.sub(f"[{re.escape(stems._MARKS)}]", " ", lower).split()
    assert stems.found(lower) == {part[:6] for part in parts} & stems.ALL


def test_words_without_a_stem_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stems, "_MAX_OTHERS", 100)
    monkeypatch.setattr(stems, "_others", set())
    for number in range(1_000):
        stems.found(f"parcel{number} number{number} {'x' * 31}{number} privacy")
    assert 0 < len(stems._others) <= 100
    assert stems.found("privacy of parcel7") == {"privac"}


@given(st.text(st.sampled_from("ab1 _-.\n中ü")), st.integers(1, 9))
def test_words_are_counted_up_to_a_number(text: str, up_to: int) -> None:
    wide = len(re.findall("中", text))
    assert words.count(text, up_to) == min(
        up_to, min(up_to, len(re.findall(r"[^\W_]+", text))) + min(wide, 2 * up_to) // 2
    )


@given(st.text(st.sampled_from("aA.!? \t\nrt")))
def test_sentences_hold_all_but_the_spaces_between(line: str) -> None:
    assert "".join("".join(words.sentences(line)).split()) == "".join(line.split())


def test_sentence_does_not_end_at_an_abbreviation() -> None:
    line = "See Art. 17 and no. 5 of J. Doe.  Then go! Now? Yes"
    assert words.sentences(line) == ["See Art. 17 and no. 5 of J. Doe.", "Then go!", "Now?", "Yes"]
