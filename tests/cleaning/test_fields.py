"""Forms: what they write around a message goes; requests in any of their fields stay."""

import pytest

from beam_pcc.features import cleaning

FORMS = {
    'a contact form': ('The kettle leaks at the lid after two days. Can I swap it?', 'Contact us - new submission\nFirst name: Jane\nE-mail address: j@example.org\nPhone (optional):\nYour enquiry: {}\nMarketing consent: No\nI have read the privacy statement: Yes'),
    'a table of HTML': ('The kettle leaks at the lid after two days. Can I swap it?', '<table><tr><td>Name</td><td>Jane Doe</td></tr><tr><td>E-mail</td><td>j@example.org</td></tr><tr><td>Message</td><td>{}</td></tr><tr><td>Privacy policy accepted</td><td>Yes</td></tr></table>'),
    'a table of HTML with signs': ('The kettle leaks at the lid after two days. Can I swap it?', '<table><tr><th>Name:</th><td>Jane Doe</td></tr><tr><th>E-mail:</th><td>j@example.org</td></tr><tr><th>Message:</th><td>{}</td></tr><tr><th>GDPR consent:</th><td>Yes</td></tr></table>'),
    'a German form': ('Der Wasserkocher tropft am Deckel. Kann ich ihn tauschen?', 'Neue Kontaktanfrage\nVor- und Nachname: Jana Muster\nE-Mail-Adresse: j@example.org\nWorum geht es?: Datenschutz\nIhre Nachricht an uns: {}\nIch habe die Datenschutzhinweise gelesen und stimme der Speicherung meiner Angaben zu: Ja\nNewsletter abonnieren: Nein'),
    'a French form': ("La bouilloire fuit au couvercle. Puis-je l'échanger ?", "Formulaire de contact\nNom et prénom : Jeanne\nAdresse mail : j@example.org\nType de demande : Données personnelles\nMessage : {}\nJ'autorise le site à conserver mes données : Oui"),
    'a posted form': ('La tetera gotea por la tapa. ¿Puedo cambiarla?', 'nombre=Juana&email=j%40example.org&motivo=privacidad&mensaje={}&acepto_privacidad=on'),
    'a form with technical data': ('The kettle leaks at the lid after two days. Can I swap it?', 'Name: Jane\nEmail: j@example.org\nMessage: {}\n\n---\n\nDate: 20 November 2026\nTime: 10:02\nPage URL: https://example.com/contact/\nUser Agent: Mozilla/5.0 (X11; Linux)\nRemote IP: 192.0.2.1\nPowered by: Elementor'),
    'a table of text': ('The kettle leaks at the lid after two days. Can I swap it?', 'Field | Answer\nCustomer no. | 4711\nTopic | My personal data and privacy\nWhat can we do for you? | {}\nMay we store your details? | Yes'),
    'a box above': ('The kettle leaks at the lid after two days. Can I swap it?', '[x] I agree that my data are stored and processed to answer my enquiry. I can withdraw this consent at any time.\nMessage: {}\nName: Jane\nEmail: x'),
    'JSON': ('The kettle leaks at the lid after two days. Can I swap it?', '{"name": "Jane Doe", "email": "j@example.org", "message": "{}", "privacy_accepted": "yes I agree to the privacy policy"}'),
}  # fmt: skip
BOXES = [
    "Delete my account: yes",
    "Please erase my data: Yes",
    "I withdraw my consent: checked",
    "Do not sell my information | on",
    "opt_out=1",
    "Opt out of the sale of data: true",
    "Auskunft über meine Daten: ja",
    "Ich widerspreche der Werbung: ja",
    "Supprimer mes données : oui",
    "Copie de mes données : oui",
    "Elimine mis datos: sí",
    "May we keep your data: no",
    "Request type: Erasure of personal data",
    "Kategorie: Löschung meiner Daten",
    "Motif : exercer mon droit d'accès",
    "Tipo de solicitud: supresión de datos",
    "Consent: withdrawn",
    "Agreement | Yes, but delete my old data",
    "Comment: forget me",
    "Name: delete this account",
]


@pytest.mark.parametrize("form", FORMS)
def test_form_goes(form: str) -> None:
    message, shape = FORMS[form]
    assert cleaning.clean([shape.replace("{}", message)]) == [message]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("form", ["a contact form", "a German form", "a form with technical data", "a table of text"])
def test_request_in_a_field_stays(form: str, box: str) -> None:
    message, shape = FORMS[form]
    for text in (f"{shape}\n{box}", f"{box}\n{shape}"):
        [cleaned] = cleaning.clean([text.replace("{}", message)])
        assert message in cleaned
        assert box.split(": ")[-1] in cleaned or box in cleaned


def test_menu_of_a_form_without_words_stays() -> None:
    text = "Name: J. Doe\nE-mail: j@example.org\nTopic: Privacy"
    assert "Privacy" in cleaning.clean([text])[0]


@pytest.mark.parametrize(
    "letter",
    [
        "Note: the box was open.\nSo I sent it back: it is on its way.",
        "Reference: 4711\nI want a refund | or a new one.",
        "x = 3 and y = 4\nwhat is wrong with that?",
    ],
)
def test_letter_with_colons_is_no_form(letter: str) -> None:
    assert cleaning.clean([letter]) == [letter]
