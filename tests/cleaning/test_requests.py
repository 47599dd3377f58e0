"""A customer's request stays, wherever in a message it stands."""

import html
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from beam_pcc.features import cleaning

OF_OTHER_LANGUAGES = ["Chciałbym usunąć moje konto", "Verwijder alstublieft mijn gegevens"]
REQUESTS = [
    "Please delete all the data you hold about me",
    "I want a copy of my personal information",
    "Erase every record about us and confirm it",
    "stop selling my data",
    "Please remove us from your systems for good",
    "I withdraw my consent to marketing",
    "Forget me",
    "Delete My Account",
    "Bitte löschen Sie alle Daten zu meiner Person",
    "Ich verlange Auskunft nach Art. 15 DSGVO",
    "Hiermit widerrufe ich die Einwilligung",
    "Veuillez effacer toutes mes données personnelles",
    "Je demande l'accès à mon dossier",
    "Supprimez le compte de ma fille",
    "Solicito la supresión de mis datos",
    "Quiero saber qué datos guardan sobre mí",
    "Borren toda la información de mi cuenta",
    *OF_OTHER_LANGUAGES,
]
requests = st.sampled_from(REQUESTS)
endings = st.sampled_from([".", "!", "", " thanks.", ". Regards, J."])

REPLY = "On Fri, 20 Nov 2026 at 10:02, Example Support <support@example.com> wrote:\n"
QUOTED = "> Thank you for your order.\n> It left our warehouse on Monday.\n>\n> Kind regards\n"
OUTLOOK = "From: Example Support <support@example.com>\nSent: Friday, 20 November 2026 10:02\nTo: J. Doe\nSubject: Re: Your order 4711\n\n"
AGENT = "Thank you for your order. It left our warehouse on Monday.\n"
LEGAL = (
    "This message and any attachment are confidential and may contain personal data. If you are not the intended recipient, "
    "please notify the sender and delete this e-mail."
)
NOTE = "We process personal data in accordance with the GDPR; see our privacy notice for your rights."
BANNER = "[EXTERNAL EMAIL] CAUTION: This message originated from outside of the organisation. Do not click links or open attachments.\n\n"
FORWARDED = "---------- Forwarded message ---------\nFrom: J. Doe <j.doe@example.org>\nDate: Fri, 20 Nov 2026 at 10:02\nSubject: hello\nTo: <support@example.com>\n\n"
CSS = "<style>p { margin: 0 } .confidential { color: red }</style>"

PLACES = {
    "alone": "{}",
    "above a quotation": f"{{}}\n\n{REPLY}{QUOTED}",
    "below a quotation": f"{REPLY}{QUOTED}\n{{}}",
    "between quotations": f"{REPLY}{QUOTED}\n{{}}\n\n{QUOTED}",
    "between quotations of several depths": f"> > Hello?\n> Yes?\n{{}}\n> {QUOTED}",
    "between quotations, with an answer above": f"Hello, see my answers in the text.\n{REPLY}{QUOTED}\n{{}}\n\n{QUOTED}\nThat is all.",
    "above Outlook's header": f"{{}}\n\n________________________________\n{OUTLOOK}{AGENT}",
    "below Outlook's header": f"{OUTLOOK}{AGENT}\n{{}}",
    "below Outlook's header, after a greeting": f"Hello,\n\n{OUTLOOK}{AGENT}\n{{}}",
    "below a header without marks": f"{REPLY}{AGENT}\n{{}}",
    "in a forwarded message": f"{FORWARDED}{{}}\n",
    "in a forwarded message, after a word": f"FYI, a customer wrote this.\n\n{FORWARDED}{{}}\n",
    "in a message forwarded by Apple Mail": "Begin forwarded message:\n\n> From: J. Doe\n> Subject: hello\n> Date: 20 November 2026\n> To: support@example.com\n>\n> {}\n",
    "above a forwarded message": f"{{}}\n\n{FORWARDED}{AGENT}",
    "below a pointer": f"Please see below.\n\n{OUTLOOK}{{}}",
    "in nothing but a quotation": "> {}",
    "before a footer": f"{{}}\n\n{LEGAL} {NOTE}",
    "after a footer": f"{LEGAL} {NOTE}\n\n{{}}",
    "in the line of a footer": f"{LEGAL} {{}} {NOTE}",
    "in a sentence of a footer": "This message is confidential and intended only for the addressee, {}",
    "after a note of confidentiality": "Confidential: {}",
    "in a sentence with a privacy notice": "As your privacy notice says, see our privacy policy: {}",
    "after a banner": f"{BANNER}{{}}",
    "in the line of a banner": f"{BANNER.strip()} {{}}",
    "after a delimiter": "Hello\n--\n{}",
    "after a signature": "Hello\n-- \nJ. Doe\nOffice Manager | Example Ltd\nT +00 000 0000\n\n{}",
    "before a signature": "{}\n-- \nJ. Doe\nOffice Manager | Example Ltd",
    "after the note of a phone": "Sent from my iPhone\n{}",
    "in the line of a phone's note": "Sent from my iPhone, {}",
    "in HTML": f"<html><head>{CSS}</head><body><div><p>{{html}}</p></div></body></html>",
    "in HTML above a quotation": f"<div dir=ltr>{{html}}</div><div class=gmail_quote>{html.escape(REPLY)}<blockquote>{AGENT}</blockquote></div>",
    "in HTML below a quotation": f"<div>{html.escape(REPLY)}</div><blockquote>{AGENT}</blockquote><div>{{html}}</div>",
    "in a cell of nested tables": "<table><tr><td><table><tr><td>Hello</td><td>{html}</td></tr></table></td></tr></table>",
    "in an open tag": "<p>Hello <b>{html}",
    "in angle brackets of HTML": "<p>Hello</p> <{}>",
    "after a comment without an end": "<p>Hello</p> <!-- {html}",
    "in escaped HTML": "&lt;p&gt;{html}&lt;/p&gt;",
    "in a form": "Name: J. Doe\nE-mail: j@example.org\nPhone: 123\nMessage: {}\n[x] I have read and accept the privacy policy",
    "as a field of a form": "Name: {}\nE-mail: j@example.org\nPhone: 123",
    "in the subject of a form": "Name: J. Doe\nE-mail: j@example.org\nSubject: {}\nMessage: see subject",
    "in a subject": "Subject: Re: [Ticket#4711] {}\nHello",
    "in brackets": "[{}]",
    "in a chat": "(10:02:20) Bot: Hi! How can I help you today?\n(10:02:41) Visitor 4711: {}\n(10:03:40) Bot: Thanks.",
    "as an event of a chat": "(10:02:20) Bot: Hi!\n(10:02:41) *** {} ***\n(10:03:40) Bot: Thanks.",
    "in JSON": '{{"id": 1, "body": "{}", "tags": ["vip"]}}',
    "in another field of JSON": '{{"body": "Hello there, this is it", "custom": {{"remarks": "{}"}}}}',
    "with literal line ends": "Hello,\\n\\n{}\\n\\nRegards",
    "after a data URL": "data:image/png;base64,iVBORw0KGgo4AAAANSUhEUgAAAAUA11112222 {}",
    "after a tracking link": "[https://example.com/logo.png]<https://click.example.com/ls?upn=aZ09bY18aZ09bY18aZ09bY18aZ09bY18>\n{}",
    "after an unsubscribe block": "You are receiving this e-mail because you signed up.\nUnsubscribe | Manage preferences | Privacy policy\n{}",
    "in the line of an unsubscribe link": "To unsubscribe click here. {}",
    "above the desk's line": "{}\n##- Please type your reply above this line -##\nYour request has been received.",
    "below the desk's line": "##- Please type your reply above this line -##\n{}",
    "after a consent box": "[x] I agree to the processing of my data.\n{}",
    "in the line of a consent box": "[x] I agree to the privacy policy, but {}",
    "among placeholders": "[PERSON_NAME] <EMAIL_ADDRESS> {} ######## [REDACTED]",
    "twice": "{} {}",
}  # fmt: skip
# Words below an earlier message that no sign ends are told by their language, if words stand above it.
WITHOUT_AN_END = {place for place in PLACES if place.startswith("below") and "quotation" not in place}


def spoken(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def planted(place: str, request: str, ending: str = ".") -> str:
    shape = PLACES[place]
    if "{{" not in shape and "{html}" in shape:
        return shape.replace("{html}", html.escape(request + ending))
    return (
        shape.replace("{{", "{").replace("}}", "}").replace("{}", request + ending)
        if "JSON" in place
        else shape.replace("{}", request + ending)
    )


@pytest.mark.parametrize("place", PLACES)
def test_request_stays(place: str) -> None:
    for request in REQUESTS:
        [cleaned] = cleaning.clean([planted(place, request)])
        assert set(spoken(request)) <= set(spoken(cleaned)), (request, cleaned)


@settings(max_examples=400, deadline=None)
@given(
    place=st.sampled_from([place for place in PLACES if place != "in nothing but a quotation"]),
    outer=st.sampled_from(list(PLACES)),
    request=requests,
    ending=endings,
)
def test_request_stays_in_two_wrappings(place: str, outer: str, request: str, ending: str) -> None:
    assume(place not in WITHOUT_AN_END or request not in OF_OTHER_LANGUAGES)
    inner = planted(place, request, ending)
    assume("> {}" not in PLACES[outer] or "\n" not in inner)  # only its first line were quoted
    text = (
        inner
        if "JSON" in outer or "HTML" in outer or "HTML" in place or "JSON" in place
        else PLACES[outer].replace("{html}", "{}").replace("{}", inner)
    )
    [cleaned] = cleaning.clean([text])
    assert set(spoken(request)) <= set(spoken(cleaned)), (text, cleaned)
