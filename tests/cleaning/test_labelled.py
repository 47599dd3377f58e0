"""The labelled requests of the training set stay as they are, whatever stands around them."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from beam_pcc.cases.schemas import NOT_PC
from beam_pcc.features import cleaning
from tests.cleaning.test_notices import NOTICES

ROWS = [
    json.loads(line)
    for path in sorted((Path(__file__).parents[2] / "data/messages").glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]
REQUESTS = [row["text"] for row in ROWS if row["intent"] != NOT_PC][::5]
OTHERS = [row["text"] for row in ROWS if row["intent"] == NOT_PC and len(row["text"]) < 200]
CLEANED = cleaning.clean(REQUESTS)
AROUND: dict[str, Callable[[str, random.Random], str]] = {
    "below another message": lambda text, rng: f"{rng.choice(OTHERS)}\n\n{text}",
    "below a signature": lambda text, rng: f"{rng.choice(OTHERS)}\n\nJ. Doe\n{text}",
    "above a notice": lambda text, rng: f"{text}\n\n{rng.choice(NOTICES)}",
    "between notices": lambda text, rng: (
        f"{rng.choice(OTHERS)}\nJ. Doe\n{rng.choice(NOTICES)}\n\n{text}\n\n{rng.choice(NOTICES)}"
    ),
    "in a form": lambda text, _: f"Name: J. Doe\nE-mail: a@b.c\nMessage: {text}\nI agree to the privacy policy: yes",
    "below fields": lambda text, _: f"Name: J. Doe\nE-mail: a@b.c\nTopic: Other\n\n{text}",
    "among placeholders": lambda text, _: f"I am [NAME], [EMAIL]. {text}\n[NAME]",
}


def spoken(text: str) -> Counter[str]:
    return Counter(re.findall(r"[^\W_]+", text.lower()))


@pytest.mark.parametrize("place", AROUND)
def test_labelled_request_stays(place: str) -> None:
    rng = random.Random(0)
    texts = cleaning.clean([AROUND[place](text, rng) for text in REQUESTS])
    lost = [
        (before, after)
        for before, after in zip(CLEANED, texts, strict=True)
        if sum((spoken(before) - spoken(after)).values()) > 6  # a line "From: ..." or a label is not the request
    ]
    assert not lost
