"""Made-up messages of the tests: enough of a pattern to learn, and texts that nobody should choke on."""

import json
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

OPENINGS = ["hello,", "hi team", "good morning", "dear sirs", "please", "i am cross:", "", "urgent!!"]
PRIVATE = {
    "PC/deletion": [
        "delete all the data you hold about me",
        "erase my records from your servers",
        "forget me entirely",
    ],
    "PC/access": ["send me a copy of what you know about me", "which data of mine do you store", "show me my file"],
}
OTHER = [
    "where is the parcel that i ordered",
    "the refund has not come to my account",
    "delete the item from my cart",
    "the screen protector is scratched",
    "how do i change the delivery address",
    "the app crashes when i open it",
]
ENDINGS = [
    "thanks",
    "it is the third time i ask",
    "my number is 48151",
    "regards, kim",
    "",
    "asap",
    "for order 2342 of may",
]


def labelled_messages(rows: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts and labels, about as many of NOT_PC as of both subtypes; none twice."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    while len(texts) < rows:
        label = ["NOT_PC", "PC/deletion", "NOT_PC", "PC/access"][len(texts) % 4]
        core = rng.choice(PRIVATE.get(label, OTHER))
        filler = " ".join(rng.choice(["oak", "elm", "fir", "ash", "yew", "bay", "box", "fig", "haw", "ivy"], 3))
        texts.append(f"{rng.choice(OPENINGS)} {core} {filler} {rng.choice(ENDINGS)}".strip())
        labels.append(label)
        if texts[-1] in texts[:-1]:
            texts.pop()
            labels.pop()
    return texts, labels


def write_labelled(path: Path, rows: int = 240, seed: int = 0) -> Path:
    """As JSONL with text and intent."""
    lines = [{"text": text, "intent": label} for text, label in zip(*labelled_messages(rows, seed), strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def long_messages(rows: int) -> list[str]:
    """Of ten to twenty sentences that are not of PC; every other one has a request in the middle."""
    rng = np.random.default_rng(rows)
    texts = []
    for row in range(rows):
        before, after = ([f"{part.capitalize()}." for part in rng.choice(OTHER, rng.integers(5, 10))] for _ in "ab")
        request = (
            ["Please delete all the data you hold about me, erase my records from your servers and forget me entirely."]
            if row % 2 == 0
            else []
        )
        texts.append(" ".join([*before, *request, *after]))
    return texts


SECRET = "my name is Quentin Ypsilanti"  # what must not be found in a log, an error or a table
HOSTILE = [
    "\x00\x01\x02\x7f\u200b" + SECRET,
    "🎉" * 500 + SECRET,
    "محذوف " * 30 + SECRET,
    SECRET + " a" * 50_000,
    "x" * 100_000 + SECRET,
    SECRET + "\n\r\t\u2028'; DROP TABLE pcc_inference_output; --",
    "\ufeff\u202e" + SECRET + "\u0301" * 300,
    "{partition} %s {0} " + SECRET,
]
NOT_VISIBLE = ["", " ", "\n\t ", "\u200b\u200d", "\x00\x1b", "\u2028\u00a0\u3000", "\ufeff"]

any_text = st.one_of(
    st.text(max_size=300),
    st.text(st.characters(categories=("Cc", "Cf", "Zs", "Zl", "Zp", "So", "Mn", "Co", "Cn")), max_size=200),
    st.sampled_from([*HOSTILE, *NOT_VISIBLE]),
    st.builds(lambda part, times: part * times, st.text(min_size=1, max_size=5), st.integers(1_000, 20_000)),
)
