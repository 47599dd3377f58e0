"""Notices below a message go in any wording; what looks like one and is a request stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.features import cleaning

MESSAGE = "The parcel has not arrived yet, where is it now?"
NOTICES = [
    "You can ask us at any time which details we hold about you, have wrong ones put right, or have everything taken out of our systems.",
    "Our firm keeps records of enquiries for six years. Write to privacy@firm.example if you would like yours destroyed sooner.",
    "Information we gather from correspondence is used only to answer it. You may object, request erasure or lodge a complaint with the supervisory authority.",
    "Data controller: Northgate Lettings Ltd. Rights of access, rectification, portability and erasure can be exercised by writing to the address above.",
    "Should this note have landed in the wrong inbox, please bin it and let us know; nothing in it may be passed on.",
    "The content of this mail is for the person named above only. Any other reader is asked to destroy all copies.",
    "To stop hearing from us or to change how often we write, use the link at the bottom of our newsletter.",
    "Don't want these mails? Opt out here. Your privacy choices | Do not sell or share my personal information",
    "California residents may have additional rights to know, delete and correct personal information. See our notice.",
    "We take privacy seriously. Read more about your choices, including deletion, on our website.",
    "VAT no. GB 000 0000 00. Company number 0000000. Registered at 1 High Street, Ely.",
    "Calls may be recorded for training purposes. Authorised and regulated by the Financial Conduct Authority.",
    "Sie können der Nutzung Ihrer Angaben jederzeit widersprechen und deren Löschung verlangen; eine Nachricht an uns genügt.",
    "Verantwortlicher im Sinne der DSGVO ist die Muster GmbH. Ihre Rechte auf Auskunft, Berichtigung und Löschung finden Sie auf unserer Webseite.",
    "Wir speichern Ihre Kontaktdaten nur so lange, wie es für die Bearbeitung nötig ist. Auf Wunsch entfernen wir sie.",
    "Sollte diese Mail in falsche Hände geraten sein, bitten wir um Vernichtung und kurze Rückmeldung.",
    "Der Inhalt ist nur für den genannten Empfänger gedacht. Weitergabe und Vervielfältigung sind nicht erlaubt.",
    "Keine Werbung mehr erwünscht? Kurze Antwort mit STOPP genügt. Ihre Einwilligung können Sie jederzeit widerrufen.",
    "USt-IdNr. DE000000000, Registergericht München HRB 00000, Vorstand: A. Muster",
    "Vous pouvez à tout moment retirer votre consentement ou demander la suppression de vos informations en nous écrivant.",
    "Le responsable du traitement est la société Exemple. Vos droits d'accès, de rectification, d'opposition et d'effacement s'exercent auprès du DPO.",
    "Vos coordonnées sont conservées trois ans puis effacées. Une réclamation peut être adressée à la CNIL.",
    "Si ce courriel vous est parvenu par mégarde, détruisez-le et prévenez-nous.",
    "Contenu réservé à la personne nommée ci-dessus ; toute autre lecture est fortuite et sans droit.",
    "Pour ne plus recevoir nos offres, répondez STOP à ce message.",
    "SARL au capital de 10 000 euros, RCS Lyon 000 000 000, TVA FR00000000000",
    "Usted puede retirar su consentimiento o pedir que borremos sus datos en cualquier momento escribiéndonos.",
    "El responsable del fichero es Ejemplo S.L. Podrá ejercitar los derechos de acceso, rectificación, supresión y oposición en nuestra oficina.",
    "Conservamos su información el tiempo necesario. Puede presentar una reclamación ante la Agencia Española de Protección de Datos.",
    "Si ha recibido este correo sin ser la persona indicada, destrúyalo y avísenos.",
    "Para dejar de recibir nuestras novedades conteste con la palabra BAJA.",
    "Inscrita en el Registro Mercantil de Madrid, tomo 0, folio 0, CIF B00000000",
]
REQUESTS = [
    "You keep details of mine that I want removed at any time from now on.",
    "We are a small company and ask you to take our former employee's data off your site.",
    "You may not keep our staff's personal information any longer; have it removed.",
    "You can ask our lawyer, but the records about her have to be destroyed.",
    "Under GDPR Article 17 the data of our client must be erased.",
    "Please have her details taken out of your systems.",
    "Our rights of access, rectification and erasure are exercised by this letter.",
    "The undersigned exercises the right of access, rectification and erasure.",
    "Request for erasure under Art. 17 GDPR. Kindly confirm.",
    "To withdraw consent: this mail does it, for the whole household.",
    "All records about the late Mr Doe should be deleted at your end.",
    "No longer send mails to this address and wipe it.",
    "Remove this address from your list and do not sell or share the information.",
    "We withdraw our consent to the processing of personal data.",
    "We object to the use of our information for advertising.",
    "You have the right of access in your privacy notice, so send the file about Jane Doe.",
    "Which personal data do you process about our daughter?",
    "Your privacy policy says you can ask for deletion. This is such a request.",
    "Consent withdrawn. Delete everything.",
    "Data subject access request: all data relating to account 4711.",
    "How long do you keep the data of former customers, and who sees it?",
    "Wir bitten um Löschung aller Daten unserer Mandantin.",
    "Ihre Einwilligungserklärung widerrufen wir hiermit.",
    "Sie haben die Daten meiner Mutter noch immer gespeichert, bitte entfernen.",
    "Unsere Rechte auf Auskunft und Löschung machen wir hiermit geltend.",
    "Antrag auf Auskunft nach Art. 15 DSGVO für unseren Mandanten.",
    "Die gespeicherten Angaben zu unserer verstorbenen Mutter sind zu löschen.",
    "Widerruf der Einwilligung zur Datenverarbeitung für die Familie Muster.",
    "Nous vous demandons d'effacer les données de notre cliente.",
    "Vous conservez encore les données de notre fils, veuillez les supprimer.",
    "Demande d'accès au titre de l'article 15 du RGPD pour notre adhérente.",
    "Opposition au traitement des données de la famille Exemple.",
    "Il faut que les informations sur notre mère soient détruites.",
    "Rogamos supriman los datos de nuestra clienta.",
    "Conservan ustedes los datos de nuestro padre fallecido, deben eliminarlos.",
    "Solicitud de acceso conforme al RGPD en nombre de la trabajadora.",
    "Retiramos el consentimiento para el uso de los datos de la familia.",
    "Los datos de la señora Ejemplo deben ser borrados de su fichero.",
]


@pytest.mark.parametrize("notice", NOTICES)
def test_notice_goes(notice: str) -> None:
    [cleaned] = cleaning.clean([f"{MESSAGE}\n\nJ. Doe\n{notice}"])
    assert cleaned.removesuffix("See our notice.").strip() in (MESSAGE, f"{MESSAGE}\n\nJ. Doe")


@pytest.mark.parametrize("request_", REQUESTS)
def test_request_that_looks_like_a_notice_stays(request_: str) -> None:
    for text in (f"Hello, this is about our order.\n\n{request_}", f"Hello there.\nJ. Doe\n--\n{request_}", request_):
        assert request_ in cleaning.clean([text])[0]


@settings(deadline=None, max_examples=200)
@given(
    before=st.lists(st.sampled_from(NOTICES), max_size=2),
    after=st.lists(st.sampled_from(NOTICES), max_size=2),
    request_=st.sampled_from(REQUESTS),
    between=st.sampled_from([" ", "\n", "\n\n"]),
)
def test_request_among_notices_stays(before: list[str], after: list[str], request_: str, between: str) -> None:
    [cleaned] = cleaning.clean([between.join([MESSAGE, *before, request_, *after])])
    assert request_.rstrip(".") in cleaned.replace("\n", " ")
