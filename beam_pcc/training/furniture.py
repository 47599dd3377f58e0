"""What stands around a customer's request in a ticket, in four languages: phrases for `augmentation`, invented here.

None of it asks for anything about personal data, so that it changes no label; footers, forms and replies do name
privacy, as real ones do.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Furniture:
    """The phrases of one language.

    Attributes:
        words: Frequent words, in one text, by which a text of the language is recognised.
        replies: What the support wrote before.
        attributions: The line, or the lines, above a quoted mail; {name} and {date} are filled in.
        forwards: The lines above a forwarded mail.
        footers: Signatures, legal notices, lines of mobile clients and of mailing lists.
        banners: What a gateway or a ticket system puts above a mail.
        complaints: Annoyance that asks for nothing.
        greetings: Openings.
        closings: Polite ends.
        introductions: Sentences about the writer; each {} is a placeholder of the redaction.
        forms: What a web form makes of {message}.
    """

    words: str
    replies: tuple[str, ...]
    attributions: tuple[str, ...]
    forwards: tuple[str, ...]
    footers: tuple[str, ...]
    banners: tuple[str, ...]
    complaints: tuple[str, ...]
    greetings: tuple[str, ...]
    closings: tuple[str, ...]
    introductions: tuple[str, ...]
    forms: tuple[str, ...]


PLACEHOLDERS = (
    "[NAME]",
    "[REDACTED]",
    "<NAME>",
    "<EMAIL>",
    "{{EMAIL}}",
    "[[PHONE]]",
    "XXXXXX",
    "xxxx-xxxx",
    "******",
    "#####",
    "█████",
    "[removed]",
    "(redacted)",
    "[US_SSN]",
    "<CREDIT_CARD>",
    "[CUSTOMER-NAME]",
    "[IBAN_CODE]",
)
NAMES = ("Ada Lind", "M. Okafor", "Helpdesk", "Team Service", "P. Novak", "Customer Desk", "no-reply", "R. Silva")
ADDRESSES = ("desk@shop.example", "service@firm.example", "no-reply@mail.example", "a.lind@home.example")
DATES = ("3 Feb 2025, 08:41", "2024-11-07 16:20", "12.05.2025 09:15", "Mon, 6 Jan 2025 21:07", "17/09/2024 13:02")

_EN = Furniture(
    words="the and is to my you your of it i have for was with this that not are on me we be what please can",
    replies=(
        "Hi there,\nwe got your note and a colleague is looking at it. Most questions are answered in two days. "
        "You do not have to write again.\nBest, the service desk",
        "Good morning,\nyour refund was issued yesterday. Banks need up to five days to show it.\nWe hope that "
        "settles the matter.",
        "Dear customer,\nfor data protection reasons we may discuss a contract with its holder only. Please tell us "
        "your customer number and your postcode.\nYours, customer relations",
        "Hello again,\nthe technician comes between eight and noon. Someone must be at home to open the door. The "
        "visit costs nothing while the guarantee runs.",
        "Thanks for waiting. I have passed this to the billing team, who will look at the statement of last month. "
        "How did we do? Rate this answer with one click. Our privacy policy explains how ratings are used.",
        "We have opened case 88231 for you. Personal information that you sent us is used for this case only and is "
        "deleted when the case has been closed for two years.",
    ),
    attributions=(
        "On {date} {name} <{address}> wrote:",
        "On {date}, {name} wrote:",
        "-----Original Message-----\nFrom: {name} <{address}>\nSent: {date}\nTo: me\nSubject: RE: case 88231",
        "From: {name} [mailto:{address}]\nSent: {date}\nTo: customer\nSubject: your question",
        "{name} ({address}) said on {date}:",
    ),
    forwards=(
        "Begin forwarded message:\n\nFrom: {name} <{address}>\nDate: {date}\nTo: {address}\nSubject: for you",
        "-------- Forwarded Message --------\nSubject: Fwd: see below\nDate: {date}\nFrom: {name} <{address}>",
        "Subject: FW: [case 88231] question from the website",
    ),
    footers=(
        "--\n{name}\nSales, Northgate Tools\nPhone 0100 000 000",
        "This mail and its attachments are for the person named in it. Anybody else must not read, copy or pass it "
        "on; please let us know and erase it at once.",
        "CONFIDENTIALITY NOTICE: the content may be privileged and may hold personal information. Unauthorised use "
        "or disclosure is unlawful. If it reached you by mistake, destroy every copy and inform us.",
        "How we use personal data, how long we keep it, and how you may object to it or ask for its deletion: "
        "www.firm.example/gdpr",
        "Northgate Tools Ltd is a data controller registered with the supervisory authority. You have the right to "
        "see, correct and delete your data and to complain; write to dpo@firm.example.",
        "Sent with my phone, please forgive typing errors",
        "Get the mail app for Android",
        "You get this mail because you are on our list. Leave the list | Settings | Your California privacy choices",
        "Think of the trees before you print this. Northgate Tools Ltd, company number 000000, Leeds. Mails may be "
        "monitored and stored as the law on data protection allows.",
        "Do not sell or share my personal information | Cookie settings | Terms | Imprint",
    ),
    banners=(
        "*** This mail comes from outside the company. Check the sender before you open a link. ***",
        "[WARNING: external sender] Never give your password or personal data to anyone who asks by mail.",
        "Reply above this line to add a comment to case 88231",
        "This message was scanned for viruses and personal data by the mail gateway.",
        "You do not often get mail from {address}. Learn why this matters",
    ),
    complaints=(
        "This is the fourth time that I write and I am losing my patience.",
        "Nobody picks up your phone, the music plays for forty minutes and then the line is cut.",
        "I used to recommend you to all of my friends, which I regret by now.",
        "Your colleague in the shop was rude, she rolled her eyes and walked away in the middle of my sentence.",
        "The price went up twice since spring and the service became worse each time.",
        "First it was late, then it was the wrong size, and in the end the second one broke after a week.",
        "My neighbour switched to the competition last year and has had no trouble since.",
        "I took a day off for your fitter, who never came and did not even call.",
        "To be fair, the young man in your chat tried his best, but he could not do anything either.",
        "I am seventy-three and do not have the strength for this any more.",
    ),
    greetings=("Hello,", "Dear all,", "Hi team, hope you are well.", "To the customer service", "Good day"),
    closings=("Kind wishes", "Thanks a lot for your help!", "I look forward to your answer.", "Cheers", "Yours truly"),
    introductions=(
        "This is {} writing, customer number {}.",
        "You reach me at {} or by phone, {}.",
        "I live in {} and have been with you since {}.",
        "{} {} {}",
        "Contract {} in the name of {}",
    ),
    forms=(
        "Your name: {}\nYour mail address: {}\nTopic: other\nYour message: {message}\nI have read the privacy notice "
        "and agree that my data is used to answer me: yes",
        "Contact form on firm.example\n\nMessage\n{message}\n\n[x] I consent to the processing of my personal data "
        "under the GDPR\n[ ] Send me news and offers\nPage: /contact\nName: {}",
        "first_name: {}\nemail: {}\nprivacy_accepted: true\nmarketing_consent: false\ncomment: {message}\n"
        "user_agent: Mozilla/5.0",
        "Kind of request: general question\n{message}\n---\nBy sending this form the customer accepted the terms and "
        "the data protection statement of {}.",
    ),
)
_DE = Furniture(
    words="der die das und ich ist nicht mein meine sie es zu mir ein eine auf von mit den für habe wie bei wir im",
    replies=(
        "Guten Tag,\nIhr Anliegen ist bei uns eingegangen und wird bearbeitet. Meist antworten wir nach zwei Tagen.\n"
        "Freundlich grüßt der Kundendienst",
        "Sehr geehrte Kundin, sehr geehrter Kunde,\naus Gründen des Datenschutzes dürfen wir nur dem "
        "Vertragsinhaber Auskunft geben. Nennen Sie uns bitte Kundennummer und Geburtsdatum.",
        "Hallo,\ndie Gutschrift ist seit gestern unterwegs. Je nach Bank sehen Sie den Betrag erst nach einigen Tagen.",
        "Der Monteur kommt am Mittwochvormittag. Bitte sorgen Sie dafür, dass jemand die Tür öffnet.",
        "Wir haben den Vorgang 88231 angelegt. Ihre personenbezogenen Daten nutzen wir nur dafür und löschen sie "
        "zwei Jahre nach dem Abschluss. Wie zufrieden waren Sie mit dieser Antwort?",
    ),
    attributions=(
        "Am {date} schrieb {name} <{address}>:",
        "-----Ursprüngliche Nachricht-----\nVon: {name} <{address}>\nGesendet: {date}\nAn: mich\nBetreff: AW: 88231",
        "Von: {name} <{address}>\nDatum: {date}\nAn: Kunde\nBetreff: Ihre Frage",
        "{name} hat am {date} geschrieben:",
    ),
    forwards=(
        "Anfang der weitergeleiteten Nachricht:\n\nVon: {name} <{address}>\nDatum: {date}\nBetreff: WG: bitte prüfen",
        "-------- Weitergeleitete Nachricht --------\nBetreff: zur Kenntnis\nDatum: {date}\nVon: {name} <{address}>",
        "Betreff: WG: [Vorgang 88231] Frage über die Website",
    ),
    footers=(
        "-- \n{name}\nVertrieb, Nordtor Werkzeuge GmbH\nTel. 0100 000000",
        "Der Inhalt dieser Nachricht ist nur für den genannten Empfänger bestimmt. Haben Sie sie irrtümlich erhalten, "
        "vernichten Sie bitte alle Kopien und geben Sie uns Bescheid.",
        "Wie wir personenbezogene Daten verarbeiten und welche Rechte auf Auskunft, Berichtigung und Löschung Sie "
        "nach der DSGVO haben, steht unter www.firma.example/datenschutzhinweise",
        "Nordtor Werkzeuge GmbH, Sitz Lübeck, HRB 0000. Unser Datenschutzbeauftragter: dsb@firma.example",
        "Mit dem Handy geschrieben, Tippfehler bitte übersehen",
        "Sie bekommen diese Mail, weil Sie sich eingetragen haben. Vom Newsletter abmelden | Impressum | Datenschutz",
        "Unbefugtes Lesen, Speichern und Weitergeben ist untersagt. Mails werden nach den Vorgaben des "
        "Datenschutzes archiviert.",
    ),
    banners=(
        "*** Absender außerhalb des Unternehmens. Prüfen Sie Links und Anhänge. ***",
        "[Vorsicht, externe Mail] Geben Sie niemals Passwörter oder persönliche Daten weiter.",
        "Bitte antworten Sie oberhalb dieser Linie, um den Vorgang 88231 zu ergänzen",
        "Diese Nachricht wurde vom Mailgateway auf Viren geprüft.",
    ),
    complaints=(
        "Ich schreibe nun schon zum vierten Mal und bin langsam mit meiner Geduld am Ende.",
        "Am Telefon läuft vierzig Minuten Musik, dann fliegt man aus der Leitung.",
        "Früher habe ich Sie allen Freunden empfohlen, das tut mir inzwischen leid.",
        "Die Dame in der Filiale verdrehte die Augen und ließ mich mitten im Satz stehen.",
        "Seit dem Frühjahr wurde es zweimal teurer und jedes Mal schlechter.",
        "Erst kam es zu spät, dann war die Größe falsch, und das Ersatzgerät ging nach einer Woche kaputt.",
        "Für Ihren Monteur habe ich mir einen Tag freigenommen, er kam nicht und rief auch nicht an.",
        "Der junge Mann im Chat war immerhin freundlich, helfen konnte er auch nicht.",
    ),
    greetings=("Guten Tag,", "Hallo zusammen,", "Liebes Team, ich hoffe, es geht euch gut.", "Sehr geehrte Leute,"),
    closings=(
        "Beste Wünsche",
        "Vielen Dank im Voraus!",
        "Ich freue mich auf Ihre Antwort.",
        "Gruß",
        "Hochachtungsvoll",
    ),
    introductions=(
        "Hier schreibt {}, Kundennummer {}.",
        "Erreichen können Sie mich unter {} oder telefonisch: {}.",
        "Ich wohne in {} und bin seit {} bei Ihnen.",
        "Vertrag {} auf den Namen {}",
        "{} {}",
    ),
    forms=(
        "Name: {}\nE-Mail: {}\nThema: Sonstiges\nIhre Nachricht: {message}\nIch habe die Datenschutzerklärung gelesen "
        "und stimme der Verarbeitung meiner Daten zu: ja",
        "Kontaktformular firma.example\n\nNachricht\n{message}\n\n[x] Einwilligung nach DSGVO erteilt\n"
        "[ ] Neuigkeiten und Angebote erhalten\nName: {}",
        "Art der Anfrage: Allgemeines\n{message}\n---\nDer Kunde hat den Hinweisen zum Datenschutz von {} zugestimmt.",
    ),
)
_FR = Furniture(
    words="le la les de des et je vous est pas mon ma mes une un que pour sur dans avec qui ne votre vos du en j ai",
    replies=(
        "Bonjour,\nvotre demande nous est parvenue et un conseiller s'en occupe. Nous répondons d'ordinaire en deux "
        "jours.\nBien à vous, le service clients",
        "Madame, Monsieur,\npour protéger vos données, nous ne pouvons parler d'un contrat qu'avec son titulaire. "
        "Merci d'indiquer votre numéro de client et votre code postal.",
        "Bonjour,\nle remboursement a été émis hier. Selon la banque, il apparaît au bout de quelques jours.",
        "Le technicien passera mercredi matin. Une personne doit être présente pour lui ouvrir.",
        "Nous avons ouvert le dossier 88231. Vos données personnelles ne servent qu'à ce dossier et sont effacées "
        "deux ans après sa clôture. Donnez une note à cette réponse.",
    ),
    attributions=(
        "Le {date}, {name} <{address}> a écrit :",
        "-----Message d'origine-----\nDe : {name} <{address}>\nEnvoyé : {date}\nÀ : moi\nObjet : RE: dossier 88231",
        "De : {name} <{address}>\nDate : {date}\nÀ : client\nObjet : votre question",
        "{name} a écrit le {date} :",
    ),
    forwards=(
        "Début du message transféré :\n\nDe : {name} <{address}>\nDate : {date}\nObjet : TR: à voir",
        "-------- Message transféré --------\nSujet : pour information\nDate : {date}\nDe : {name} <{address}>",
        "Objet : TR: [dossier 88231] question reçue du site",
    ),
    footers=(
        "-- \n{name}\nService commercial, Outils Portenord\nTél. 01 00 00 00 00",
        "Ce courriel est réservé à la personne désignée. S'il vous est parvenu par erreur, détruisez-le avec toutes "
        "ses copies et prévenez-nous.",
        "Pour savoir comment nous traitons les données personnelles et exercer vos droits d'accès, de rectification, "
        "d'opposition et d'effacement (RGPD) : www.societe.example/confidentialite",
        "Outils Portenord SARL, RCS 000 000 000. Déléguée à la protection des données : dpo@societe.example",
        "Écrit sur mon mobile, pardon pour les fautes",
        "Vous recevez ce courriel car vous figurez sur notre liste. Se désinscrire | Mentions légales | Cookies",
        "Toute lecture, copie ou diffusion non autorisée est interdite. Les courriels sont conservés dans le respect "
        "de la loi Informatique et Libertés.",
    ),
    banners=(
        "*** Courriel venu de l'extérieur de la société. Vérifiez l'expéditeur avant d'ouvrir un lien. ***",
        "[ATTENTION, message externe] Ne communiquez jamais vos données personnelles ni votre mot de passe.",
        "Répondez au-dessus de cette ligne pour compléter le dossier 88231",
        "Ce message a été analysé par la passerelle de messagerie.",
    ),
    complaints=(
        "C'est la quatrième fois que je vous écris et je commence à perdre patience.",
        "Au téléphone on écoute quarante minutes de musique, puis la ligne est coupée.",
        "Je vous recommandais à tous mes amis, je le regrette maintenant.",
        "La vendeuse a levé les yeux au ciel et m'a planté là au milieu d'une phrase.",
        "Deux hausses de prix depuis le printemps et un service chaque fois moins bon.",
        "D'abord le retard, puis la mauvaise taille, et le second appareil a lâché au bout d'une semaine.",
        "J'avais posé un jour de congé pour votre installateur, il n'est pas venu et n'a même pas appelé.",
        "Le jeune homme du tchat était aimable, mais il n'a rien pu faire non plus.",
    ),
    closings=("Bien à vous", "Merci beaucoup pour votre aide !", "Dans l'attente de vous lire.", "Cdlt", "Salutations"),
    greetings=("Bonjour,", "Madame, Monsieur,", "Bonjour à toute l'équipe, j'espère que vous allez bien.", "Bonsoir"),
    introductions=(
        "C'est {} qui vous écrit, numéro de client {}.",
        "On me joint à {} ou par téléphone au {}.",
        "J'habite à {} et je suis chez vous depuis {}.",
        "Contrat {} au nom de {}",
        "{} {}",
    ),
    forms=(
        "Nom : {}\nCourriel : {}\nSujet : autre\nVotre message : {message}\nJ'ai lu la politique de confidentialité et "
        "j'accepte le traitement de mes données : oui",
        "Formulaire de contact societe.example\n\nMessage\n{message}\n\n[x] Consentement RGPD donné\n"
        "[ ] Recevoir nos offres\nNom : {}",
        "Type de demande : question générale\n{message}\n---\nLe client a accepté la charte de protection des données "
        "de {}.",
    ),
)
_ES = Furniture(
    words="el la los las de y que no mi mis es un una para en por con me se lo su del al como he ha está ustedes",
    replies=(
        "Buenos días:\nhemos recibido su consulta y un compañero la está mirando. Solemos contestar en dos días.\n"
        "Un saludo, atención al cliente",
        "Estimado cliente:\npor protección de datos solo podemos hablar de un contrato con su titular. Indíquenos el "
        "número de cliente y el código postal.",
        "Hola:\nel reembolso salió ayer. Según el banco, tarda unos días en aparecer.",
        "El técnico irá el miércoles por la mañana. Tiene que haber alguien en casa para abrirle.",
        "Hemos abierto el caso 88231. Sus datos personales se usan solo para este caso y se eliminan dos años después "
        "de cerrarlo. Valore esta respuesta.",
    ),
    attributions=(
        "El {date}, {name} <{address}> escribió:",
        "-----Mensaje original-----\nDe: {name} <{address}>\nEnviado: {date}\nPara: mí\nAsunto: RE: caso 88231",
        "De: {name} <{address}>\nFecha: {date}\nPara: cliente\nAsunto: su consulta",
        "{name} escribió el {date}:",
    ),
    forwards=(
        "Inicio del mensaje reenviado:\n\nDe: {name} <{address}>\nFecha: {date}\nAsunto: RV: para ver",
        "-------- Mensaje reenviado --------\nAsunto: para su información\nFecha: {date}\nDe: {name} <{address}>",
        "Asunto: RV: [caso 88231] consulta desde la web",
    ),
    footers=(
        "-- \n{name}\nVentas, Herramientas Puertanorte\nTel. 900 000 000",
        "Este correo va dirigido solo a la persona indicada. Si le ha llegado por error, destruya todas las copias y "
        "comuníquenoslo.",
        "Cómo tratamos los datos personales y cómo ejercer los derechos de acceso, rectificación, supresión y "
        "oposición (RGPD): www.empresa.example/privacidad",
        "Herramientas Puertanorte S.L., CIF 00000000. Delegada de protección de datos: dpd@empresa.example",
        "Escrito con el móvil, perdón por las erratas",
        "Recibe este correo porque está en nuestra lista. Darse de baja | Aviso legal | Cookies",
        "Se prohíbe leer, copiar o difundir este mensaje sin permiso. Los correos se conservan según la ley orgánica "
        "de protección de datos.",
    ),
    banners=(
        "*** Correo de fuera de la empresa. Compruebe el remitente antes de abrir un enlace. ***",
        "[ATENCIÓN, remitente externo] Nunca facilite contraseñas ni datos personales.",
        "Conteste por encima de esta línea para añadir algo al caso 88231",
        "La pasarela de correo ha analizado este mensaje.",
    ),
    complaints=(
        "Es la cuarta vez que les escribo y se me acaba la paciencia.",
        "Al teléfono suena música cuarenta minutos y luego se corta.",
        "Antes los recomendaba a todos mis amigos y ahora me arrepiento.",
        "La chica de la tienda puso los ojos en blanco y me dejó con la palabra en la boca.",
        "Dos subidas de precio desde la primavera y cada vez peor servicio.",
        "Primero llegó tarde, luego era otra talla, y el segundo aparato se rompió a la semana.",
        "Pedí un día libre para esperar al instalador, que no vino ni llamó.",
        "El muchacho del chat fue amable, pero tampoco pudo hacer nada.",
    ),
    greetings=("Buenas tardes:", "Hola a todos:", "Estimado equipo, espero que estén bien.", "Buenos días"),
    closings=("Un cordial saludo", "¡Muchas gracias por la ayuda!", "Quedo a la espera de su respuesta.", "Saludos"),
    introductions=(
        "Les escribe {}, número de cliente {}.",
        "Me encuentran en {} o en el teléfono {}.",
        "Vivo en {} y estoy con ustedes desde {}.",
        "Contrato {} a nombre de {}",
        "{} {}",
    ),
    forms=(
        "Nombre: {}\nCorreo: {}\nTema: otros\nSu mensaje: {message}\nHe leído la política de privacidad y acepto el "
        "tratamiento de mis datos: sí",
        "Formulario de contacto empresa.example\n\nMensaje\n{message}\n\n[x] Consentimiento RGPD otorgado\n"
        "[ ] Recibir ofertas\nNombre: {}",
        "Tipo de consulta: general\n{message}\n---\nEl cliente ha aceptado la cláusula de protección de datos de {}.",
    ),
)
LANGUAGES = {"en": _EN, "de": _DE, "fr": _FR, "es": _ES}
