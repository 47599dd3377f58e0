"""Notices below a message go in any wording; what looks like one and is a request stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.features import cleaning
from beam_pcc.features.cleaning import furniture, notices, words

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
    "We store what you send us in line with the UK Data Protection Act 2018, and you are entitled to a copy of it or to have it deleted free of charge.",
    "If you'd prefer that we no longer hold your contact information, tell our office and it will be wiped within thirty days.",
    "Notice to EU clients: processing is based on Art. 6(1)(b) GDPR; data subjects may demand access, restriction or erasure from our DPO.",
    "This correspondence is strictly private. Anyone other than the addressee who opens it should erase it and ring us on the number above.",
    "How your information is used: customer details are shared with couriers only. For deletion requests see example.com/data.",
    "Not interested any more? Reply with REMOVE and you will be taken off our list.",
    "You got this because you have an account with us. Manage notifications, privacy settings or delete your account in the app.",
    "Example Trust is a registered charity (no. 000000) and a company limited by guarantee.",
    "Emails are archived and may be disclosed under the Freedom of Information Act.",
    "Ihre Daten werden vertraulich behandelt. Möchten Sie, dass wir sie löschen, genügt eine formlose Mitteilung an unseren Datenschutzbeauftragten.",
    "Informationspflicht gemäß Art. 13 und 14 DSGVO: siehe muster.example/dsgvo. Beschwerderecht bei der Landesdatenschutzbehörde.",
    "Betroffene haben ein Recht auf Auskunft, Löschung und Datenübertragbarkeit gegenüber dem Verein.",
    "Falls Sie nicht gemeint sind, vernichten Sie diese Zeilen bitte und geben Sie uns Bescheid.",
    "Sie wollen keine Post mehr von uns? Dann melden Sie sich hier ab oder antworten Sie mit NEIN.",
    "Steuernummer 00/000/00000, Geschäftsführung: B. Beispiel, Sitz Hamburg",
    "Les données recueillies servent uniquement à traiter votre dossier ; vous pouvez en obtenir copie ou en exiger la destruction.",
    "Conformément à la réglementation, toute personne peut s'opposer au traitement de ses données et en demander l'effacement au secrétariat.",
    "Message confidentiel. Merci de le supprimer si vous n'en êtes pas le destinataire prévu.",
    "Vous ne voulez plus de nos nouvelles ? Un clic suffit pour vous désinscrire.",
    "Association loi 1901, SIRET 000 000 000 00000, siège : 1 rue des Exemples, Nantes",
    "Sus datos personales forman parte de un fichero de nuestra asesoría; tiene derecho a consultarlos, corregirlos o exigir que se eliminen.",
    "Cualquier interesado puede oponerse al tratamiento o solicitar la cancelación de sus datos ante el delegado.",
    "Este mensaje es privado. Quien lo reciba sin ser su destinatario debe borrarlo sin leerlo.",
    "¿No quiere más correos nuestros? Pulse aquí o conteste BAJA y borraremos su dirección.",
    "Colegiado nº 0000, NIF 00000000X, domicilio social en Sevilla",
    "Personal data received with this message is erased after two years unless a contract obliges us to keep it longer.",
    "As a data subject you are free to obtain a copy, to have errors fixed, or to ask that we forget you.",
    "The sender accepts no liability for damage caused by malware or by incomplete transmission.",
    "Example Bank plc, authorised by the Prudential Regulation Authority, firm reference 000000.",
    "Unsubscribing takes one click: example.com/out",
    "Under the POPI Act members may access, amend or have destroyed any personal record we keep.",
    "Wie wir mit Ihren persönlichen Angaben umgehen und wie Sie deren Löschung erreichen, lesen Sie unter muster.example.",
    "Auskünfte über gespeicherte Daten erteilt unser Datenschutzbeauftragter; dort können auch Löschungen beantragt werden.",
    "Dieses Schreiben richtet sich ausschließlich an die oben genannte Person. Unbefugte dürfen es weder lesen noch behalten.",
    "Newsletter nicht mehr gewünscht? Abmeldung per Mausklick.",
    "Mitglied der Rechtsanwaltskammer Köln, Berufshaftpflicht bei der Muster Versicherung AG",
    "Nos fichiers sont déclarés ; tout client a le droit de consulter sa fiche, de la corriger ou de la faire disparaître.",
    "Données traitées par Exemple SA pour la gestion de la relation commerciale. Droit d'accès et d'effacement : dpo@exemple.example.",
    "Désinscription immédiate en répondant à ce mail.",
    "Le informamos de que sus datos figuran en nuestros archivos y de que puede pedir su baja cuando lo desee.",
    "Ejerza sus derechos de acceso, olvido y portabilidad en la sede de la asociación.",
    "La difusión de este mensaje por terceros está prohibida; si no era para usted, elimínelo.",
    "We are committed to protecting your information; contact our privacy office if you want it corrected or deleted.",
    "Your details will be held on our customer database for marketing. If you object, let us know.",
    "You can withdraw your permission whenever you like by e-mailing optout@shop.example.",
    "This message may hold privileged material. If it reached you wrongly, destroy it.",
    "Registered in Ireland no. 000000, directors: A. Example, B. Example",
    "Wir nehmen Datenschutz ernst. Sie haben Anspruch auf Löschung Ihrer Daten, sobald der Zweck entfällt.",
    "Diese Nachricht kann Geschäftsgeheimnisse enthalten; bei Fehlzustellung bitte löschen.",
    "Hinweise zur Verarbeitung Ihrer Bewerberdaten und zu Ihren Betroffenenrechten: firma.example/info",
    "Vous bénéficiez d'un droit de portabilité et d'effacement que vous pouvez faire valoir par courrier.",
    "Ce courriel peut contenir des informations protégées ; si vous n'êtes pas concerné, supprimez-le.",
    "Vos données ne sont jamais vendues. Pour les faire effacer, une lettre suffit.",
    "En cumplimiento de la normativa vigente, sus datos serán tratados con confidencialidad y podrá solicitar su borrado.",
    "El contenido es reservado; su uso por quien no sea destinatario está prohibido.",
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


def test_stems_are_no_longer_than_prefixes() -> None:
    """A longer stem would never be found."""
    stems = notices._STEMS | notices._READER_STEMS | furniture._STEMS | words._POINTERS
    assert max(len(stem) for stem in stems) <= words._PREFIX
