"""A message is read in whatever way it was sent or stored."""

import base64
import email.header
import html
import json
import quopri
import urllib.parse
from collections.abc import Callable
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.features import cleaning
from beam_pcc.features.cleaning import transports
from tests.cleaning import phrases

PHRASES = phrases.read("transports")
TEXT = "Grüße aus Zürich – bitte löschen Sie mein Konto “endgültig” & alle Daten, die Sie über mich haben. 1 = 1 bleibt es!"


def quoted_printable(text: str) -> str:
    return quopri.encodestring(text.encode()).decode()


def mime(kind: str, *parts: tuple[str, str]) -> str:
    mail = MIMEMultipart(kind)
    for text, subtype in parts:
        mail.attach(MIMEText(text, subtype, "utf-8"))
    return mail.as_string()


def with_alternatives(text: str) -> str:
    mail = EmailMessage()
    mail.set_content(text, cte="quoted-printable")
    mail.add_alternative(f"<p>{html.escape(text)}</p>", subtype="html", cte="quoted-printable")
    return mail.as_string()


WAYS: dict[str, Callable[[str], str]] = {
    "quoted-printable": quoted_printable,
    "quoted-printable in Windows-1252": lambda text: quopri.encodestring(text.encode("cp1252")).decode("ascii"),
    "quoted-printable with CR LF": lambda text: quoted_printable(text).replace("\n", "\r\n"),
    "quoted-printable below its header": lambda text: (
        f"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n{quoted_printable(text)}"
    ),
    "base64": lambda text: base64.encodebytes(text.encode()).decode(),
    "base64 in one line": lambda text: base64.b64encode(text.encode()).decode(),
    "MIME": lambda text: mime("alternative", (text, "plain"), (f"<p>{html.escape(text)}</p>", "html")),
    "MIME with nothing but HTML": lambda text: mime("mixed", (f"<p>{html.escape(text)}</p>", "html")),
    "MIME without headers": lambda text: mime("alternative", (text, "plain")).split("\n\n", 1)[1],
    "MIME below a preamble": lambda text: (
        "This is a multi-part message in MIME format.\n" + mime("mixed", (text, "plain")).split("\n\n", 1)[1]
    ),
    "MIME in quoted-printable": with_alternatives,
    "encoded words": lambda text: email.header.Header(text, "utf-8").encode(),
    "percent signs": urllib.parse.quote,
    "percent and plus signs": urllib.parse.quote_plus,
    "a posted form": lambda text: urllib.parse.urlencode({"name": "J. Doe", "email": "j@example.org", "message": text}),
    "JSON in ASCII": lambda text: json.dumps({"body": text}),
    "a string of JSON": json.dumps,
    "entities": lambda text: html.escape(text).encode("ascii", "xmlcharrefreplace").decode(),
    "entities of entities": lambda text: html.escape(html.escape(text).encode("ascii", "xmlcharrefreplace").decode()),
    "spaces between letters": " ".join,
    "below hidden characters": lambda text: "\u034f \u200c \u00ad " * 120 + "\n" + text,
}


@pytest.mark.parametrize("way", WAYS)
def test_text_is_read(way: str) -> None:
    assert cleaning.clean([WAYS[way](TEXT)]) == [TEXT]


@pytest.mark.parametrize("text", PHRASES["kept"])
def test_what_looks_like_it_stays(text: str) -> None:
    assert cleaning.clean([text]) == [text]


@pytest.mark.parametrize("place", PHRASES["place"], ids=lambda place: place["name"])
def test_words_around_and_within_parts_stay(place: dict[str, str]) -> None:
    assert "Forget all about me" in cleaning.clean([place["text"].replace("{}", "Forget all about me")])[0]


PIECES = [
    "--b\n", "--b--\n", "\n", "\n\n", "Content-Type: text/plain\n", "Content-Type: multipart/mixed; boundary=b\n", "Content-Type: message/rfc822\n", "MIME-Version: 1.0\n",
    "Content-Transfer-Encoding: base64\n", "Content-Transfer-Encoding: quoted-printable\n", "Content-Type: text/plain; charset=no-such\n", "SGVsbG8=\n", "=C3=BC", "=FC", "=\n", "=", "a", " ",
    "=?utf-8?Q?a=20b?=", "=?utf-8?B?!?=", "=?x?q??=", "%20", "%FF", "%", "+", "&", "a=b&c=d", "\\u00fc", "\\ud83d\\ude00", "\\ud83d", "\ud800", "é",
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_pieces_are_read(text: str) -> None:
    [cleaned] = cleaning.clean([text])
    assert bool(cleaned.strip()) == bool(text.strip())


@given(st.text(st.characters(exclude_characters="\r"), max_size=200))
def test_quoted_printable_is_undone(text: str) -> None:
    encoded = quopri.encodestring(text.encode("utf-8", "replace")).decode("ascii")
    assert transports.of_quoted_printable(encoded, sure=True) == text.encode("utf-8", "replace").decode()
