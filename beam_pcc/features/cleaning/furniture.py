"""Removes sentences that stand in many messages and are no customer's: legal notes, banners of gateways, links of newsletters.

A sentence goes only if it looks like one of them, speaks of no first person, and asks for nothing else.
"""

from __future__ import annotations

import re

from beam_pcc.features.cleaning.words import MAX_SENTENCE, may_ask, speaks_of_self

# A text without any of these has no furniture.
_STEMS = (
    "confidential", "privileged", "intended", "recipient", "addressee", "in error", "by mistake", "unsubscribe", "receiving this", "sent to",
    "privacy", "data protection", "personal data", "personal information", "external", "outside", "caution", "originated", "©", "(c)", "copyright",
    "rights reserved", "virus", "print", "preferences", "registered", "browser", "opinions", "don't often get", "request has been received", "has been received",
    "vertraulich", "empfänger", "adressat", "irrtümlich", "versehentlich", "datenschutz", "dsgvo", "abmelde", "abbestell", "außerhalb", "extern", "umwelt", "druck", "personenbezogene", "erhalten diese", "geschäftsführer", "amtsgericht", "eingegangen",
    "confidentiel", "destinat", "par erreur", "désabonn", "désinscri", "données", "extérieur", "externe", "environnement", "imprim", "vous recevez", "vous disposez", "cliquez", "prise en compte",
    "confidencial", "por error", "baja", "protección de datos", "datos personales", "rgpd", "fuera de", "medio ambiente", "imprimir", "recibe este", "recibes este", "haga clic", "derecho",
    "i agree", "i have read", "i accept", "i consent", "i hereby", "einverstanden", "akzeptier", "stimme", "zur kenntnis", "j'accepte", "j'ai lu", "acepto", "he leído", "autorizo", "☑", "[x]",
)  # fmt: skip
_MAIL = r"(?:e-?mails?|messages?|mails?|communications?|transmissions?|correspondence|attachments?|files?|documents?|faxes|fax)"
_POST = r"(?:e-?mails?|mails?|nachrichten?|mitteilung(?:en)?|schreiben|anhänge?n?|anlagen?|kommunikation)"
_COURRIER = r"(?:messages?|courriels?|e-?mails?|mails?|courriers?(?: électroniques?)?|communications?|pièces? jointes?|transmission)"
_CORREO = r"(?:mensajes?|correos?|e-?mails?|comunicaci(?:ón|ones)|(?:documentos?|archivos?|ficheros?) adjuntos?|transmisi(?:ón|ones)|adjuntos?)"

_LEGAL = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?:this|these|the|any|all|our)\b.{{0,60}}\b{_MAIL}\b.*\b(?:confidential|privileged|intended|proprietary|virus(?:es)?|legally binding|recipient|addressee|monitored|defects)\b",
        rf"\b(?:information|contents?)\b.{{0,80}}\b{_MAIL}\b.*\b(?:confidential|privileged|intended|protected)\b",
        r"\b(?:confidential|privileged)\b.*\b(?:intended|solely|recipient|addressee)\b",
        r"\bif you (?:are|were) not (?:the|an|one of the|its|a)\b.{0,40}\b(?:recipient|addressee)|\bnot the (?:intended|named|right|correct) (?:recipient|addressee)",
        r"\b(?:received|receive|got|gets|reached)\b.{0,60}\b(?:in error|by mistake|erroneously)\b",
        r"\b(?:unauthori[sz]ed|any)\b.{0,60}\b(?:use|copying|disclosure|distribution|dissemination|review|retransmission|reproduction)\b.*\b(?:prohibited|forbidden|unlawful|not permitted|not allowed)",
        r"\b(?:consider|think)\b.{0,60}\b(?:print|environment)|\b(?:before|without|don't|do not|avoid) print",
        r"\b(?:views|opinions)\b.*\b(?:author|sender|company|necessarily|individual)",
        rf"\b(?:accepts?|assumes?|liab\w+|responsib\w+|warrant\w*)\b.*\b(?:virus(?:es)?|{_MAIL})\b",
        r"\b(?:scanned|swept|checked)\b.{0,40}\bvirus|virus-free",
        r"\bplease\b.{0,30}\b(?:notify|inform|tell|contact|advise) (?:the|its) sender",
        rf"\b(?:diese[rsn]?|die|der|das|unsere?)\b.{{0,60}}\b{_POST}\b.*\b(?:vertraulich\w*|bestimmt|geschützt\w*|adressat\w*|empfänger\w*|viren|rechtsverbindlich)",
        r"\bnicht (?:der|die|an sie|für sie)\b.{0,50}\b(?:adressat|empfänger)\w*|\bnicht für sie bestimmt",
        r"\b(?:irrtümlich|versehentlich|fälschlicherweise|aus versehen)\b.{0,40}\b(?:erhalten|zugegangen|empfangen|erreicht)",
        r"\b(?:unerlaubte|unbefugte|unberechtigte|jede|jegliche)\w*\b.{0,120}\b(?:nicht gestattet|untersagt|verboten|nicht erlaubt|unzulässig|nicht zulässig)",
        r"\b(?:denken|prüfen|überlegen) sie\b.{0,80}\b(?:umwelt|druck|ausdruck)|\bumwelt zuliebe|\bbevor sie diese.{0,30}(?:druck|ausdruck)",
        r"\binformieren sie\b.{0,40}\babsender",
        rf"\b(?:ce|cet|cette|ces|le présent|la présente|les informations|l'information)\b.{{0,80}}\b{_COURRIER}\b.*\b(?:confidenti\w+|destin\w+|exclusi\w+|protégé\w*)",
        r"\b(?:pas|point)\b.{0,30}\bdestinataires?\b",
        r"\b(?:reçu|recevez|parvenu|recevriez)\b.{0,60}\bpar erreur|\bpar erreur\b.{0,60}\breçu",
        r"\btoute (?:utilisation|diffusion|reproduction|divulgation|copie|publication)\b.*\b(?:interdit\w*|non autorisée|prohibé\w*)",
        r"\b(?:pensez|pensons|n'imprimez|avant d'imprimer|évitez)\b.{0,80}\b(?:environnement|imprim\w*|nécessaire)",
        r"\bavertir\b.{0,30}\bl'expéditeur|\binformer\b.{0,30}\bl'expéditeur|\bprévenir\b.{0,30}\bl'expéditeur",
        rf"\b(?:este|esta|estos|el presente|la presente|la información|el contenido)\b.{{0,80}}\b{_CORREO}\b.*\b(?:confidencial\w*|destinatari\w+|dirigid\w+|exclusiv\w+|privilegiad\w+)",
        r"\b(?:no es|no sea|no fuera|no fuese|si usted no)\b.{0,40}\bdestinatari[oa]",
        r"\b(?:recibido|recibe|recibiera|recibiese)\b.{0,60}\bpor (?:error|equivocación)|\bpor error\b.{0,60}\brecibid",
        r"\b(?:queda|está|quedan)\b.{0,40}\bprohibid[oa]s?\b",
        r"\bantes de imprimir|\bimprim\w+\b.{0,60}\bnecesario",
    )
)  # fmt: skip
# What such a sentence itself may ask for, so that only a further request keeps it.
_ASKED_BY_LAWYERS = re.compile(
    rf"\b(?:delet|destroy|eras|remov|purg)\w*\b(?: (?:immediately|permanently|promptly|at once|and|or|destroy\w*|then|all|any|copies|of|copy|both|the|this|that|it|its|your?|from|system|computer|original|along|with|entire|material|{_MAIL}|without|retaining|reading)){{1,12}}|"
    r"\b(?:delete|destroy|erase) it\b|\bcop(?:y|ies|ying)\b|\bprivacy and\b|\b(?:may |can |could )?(?:contain|include)s? (?:confidential|personal|private|sensitive)(?: (?:or|and|personal|private|privileged|sensitive|confidential))*(?: (?:data|information))?|"
    r"\b(?:delete|löschen|vernichten) sie (?:bitte )?(?:diese|die|das|den|sie|anschließend|umgehend|sofort|dann|alle|kopien|,| )+(?:e-?mail|mail|nachricht|mitteilung)?|\b(?:zu löschen|zu vernichten|und löschen)\b.{0,30}|"
    r"\bkopie\w*|\b(?:supprimer|supprimez|détruire|détruisez|effacer|effacez)\b(?:[- ](?:immédiatement|le|la|les|l'|ce|cet|cette|et|toutes?|copies?|de|votre|système|définitivement|sans|délai|message|courriel|e-?mail|mail|original)){0,10}|"
    r"\bcopie\w*|\b(?:elimin|borr|destru|suprim)\w*(?: (?:inmediatamente|el|la|lo|este|esta|y|todas?|las|sus|copias?|de|su|sistema|mensaje|correo|original|electrónico|cualquier)){0,10}|\bcopia\w*|"
    r"\baccess (?:to|by)\b|\bdata (?:loss|corruption)"
)
_COMPANY = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:we|our company|[\w&.]+(?: [\w&.]+){0,3} (?:ltd|limited|inc|llc|gmbh|plc|group|ag))\.? (?:only |will |may |take |are |is )?.{0,40}(?:process|collect|use|handle|treat|store|protect|respect|seriously|committed|keep)\w*\b.*\b(?:personal (?:data|information)|privacy|data protection|gdpr)",
        r"(?:.{0,12}(?:read|see|find|learn|view|consult|review|refer|visit|check|for|information|details|more|further|please|you can|you will|how|by|when|our|the|data)\b).*\b(?:our|company|group) (?:online |full |current )?(?:privacy|data protection|cookie) (?:notice|policy|statement|information|declaration|page|cent(?:er|re))|(?:privacy|data protection) (?:notice|policy|statement|information)\b\W*(?:https?:|www\.)",
        r"(?:our |the )?(?:privacy|data protection) (?:notice|policy|statement|information)\b.{0,60}(?:https?://|www\.|can be (?:found|read|viewed)|is available|here\b|applies)",
        r"you (?:have|also have|may have) (?:the|a) right\b|for your rights\b",
        r"(?:wir (?:verarbeiten|behandeln|nehmen|speichern|schützen|erheben|nutzen)|(?:weitere |nähere |ausführliche |alle )?(?:informationen|hinweise|angaben|einzelheiten|details)\b|unsere|die|zum|zur|bitte beachten|es gilt|gemäß|wie wir|mehr).*\b(?:datenschutz\w*|personenbezogene\w* daten|ihrer? daten|dsgvo)",
        r"datenschutz(?:hinweise?|erklärung|information\w*)?\s*(?::|unter|-|\||https?:)",
        r"sie haben (?:das|ein|jederzeit das) recht\b",
        r"(?:nous (?:traitons|collectons|respectons|utilisons|protégeons)|pour (?:en savoir plus|plus d'informations?|toute information)|consulte[zr]|vos données|les données|les informations|conformément|notre|dans le cadre).*\b(?:politique de (?:confidentialité|protection)|protection d(?:es|e vos) données|données (?:à caractère )?personnel\w*|rgpd|vie privée|informatique et libertés)",
        r".{0,80}\bvous (?:disposez|bénéficiez) (?:également )?d(?:'un|es|e)\b.{0,10}\bdroits?\b|.{0,80}\bvous pouvez exercer\b",
        r"(?:(?:le |les )?informamos|tratamos|en cumplimiento|de conformidad|conforme|de acuerdo con|sus datos|los datos|para más información|más información|puede consultar|consulte|nuestra|responsable del tratamiento|le comunicamos|según).*\b(?:protección de datos|datos (?:de carácter )?personal\w*|política de privacidad|rgpd|lopd\w*|reglamento)",
        r".{0,120}\b(?:podrá|puede|pueden) (?:usted )?(?:ejercer|ejercitar|consultar)\b.*\b(?:derechos?|política)",
    )
)  # fmt: skip
_ASKS = re.compile(
    r"\?|\bplease (?!see|read|refer|note|visit|find|consult|click|check|review)|\b(?:want|demand|request(?:s|ed|ing)? (?!a copy of our)|wish|insist|require you|require that|expect|would like)\b|\bstop\b|\b(?:delete|erase|remove|forget|send|give|tell|provide|confirm)\b|"
    r"\bbitte (?!beachten|lesen|entnehmen|sehen|finden)|\b(?:möchte|verlange|fordere|wünsche|beantrage|erwarte|löschen sie|senden sie|geben sie|entfernen sie|teilen sie)\b|"
    r"\b(?:veuillez (?!consulter|lire|noter|trouver|vous référer|cliquer)|merci de|prière de|demande|exige|souhaite|supprimez|effacez|envoyez)\b|\b(?:por favor(?!,? (?:lea|consulte|visite))|solicit\w+|exij\w+|pido|ruego|quiero|quisiera|eliminen|borren|supriman|envíen)\b"
)
_NEWSLETTER = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:you(?:'re| are) receiving (?:this|these)|you (?:have )?received this (?:e-?mail|message|newsletter)|this (?:e-?mail|message|newsletter) was sent (?:to|by|from))\b",
        r"sie (?:erhalten|bekommen) diese\b.*\b(?:weil|da)\b|diese (?:e-?mail|nachricht) wurde (?:an|von)\b.*\bgesendet|vous recevez (?:ce|cet|cette)\b.*\b(?:car|parce)|ce(?:t|tte)? (?:message|courriel|e-?mail) (?:vous )?a été envoyé|(?:recibe|recibes|ha recibido|has recibido) este\b.*\b(?:porque|ya que)|este (?:correo|mensaje) (?:ha sido|fue) enviado",
        r"(?:to|if you (?:no longer|don't|do not) (?:wish|want)).{0,60}\b(?:receive|unsubscribe|opt out)\b.*\b(?:click|unsubscribe|link|here|reply|visit)",
        r"(?:click here|follow this link) to (?:unsubscribe|opt out|manage)|unsubscribe (?:here|from this (?:list|newsletter)|at any time|instantly)\b.{0,60}$",
        r"(?:um|wenn sie|falls sie|möchten sie|sollten sie).{0,60}\b(?:newsletter|e-?mails?|nachrichten)\b.*\b(?:klicken|abmelden|abbestellen|hier)\b|hier (?:können sie sich )?abmelden\b|newsletter abbestellen\W*$|vom newsletter abmelden\W*$",
        r"(?:pour|si vous ne souhaitez plus|si vous ne voulez plus).{0,60}\b(?:désabonner|désinscrire|recevoir)\b.*\b(?:cliquez|ici|lien|désabonn\w+|désinscri\w+)|(?:se |vous )?(?:désabonner|désinscrire)\W*$",
        r"(?:para|si no desea|si ya no desea|si no quiere).{0,60}\b(?:darse de baja|recibir|cancelar)\b.*\b(?:clic|aquí|enlace|baja)|(?:darse|date) de baja\W*$|cancelar (?:la )?suscripción\W*$",
        r"(?:©|\(c\)|copyright)\W*(?:copyright\W*)?\d{4}|.{0,60}\ball rights reserved|.{0,60}\balle rechte vorbehalten|.{0,60}\btous droits réservés|.{0,60}\btodos los derechos reservados",
        r".{0,80}\bregistered (?:office|in (?:england|ireland|scotland|wales))\b|.{0,80}\b(?:amtsgericht|handelsregister|hrb)\b.{0,20}\d|sitz der gesellschaft|geschäftsführer(?:in|ung)?\s*:",
    )
)  # fmt: skip
_DESK = re.compile(
    r"(?:\[?ticket[^\]]{0,30}\]?\W*)?(?:your|ihre|votre|su) (?:request|ticket|anfrage|demande|solicitud)\b.{0,40}\b(?:has been (?:received|updated|created|registered)|ist (?:bei uns )?eingegangen|a (?:bien )?été (?:reçue|prise en compte|enregistrée)|ha sido (?:recibida|registrada))"
    r"|to add (?:additional|further) comments, reply to this e-?mail"
)
_LINK_NAMES = re.compile(
    r"(?:unsubscribe|manage (?:your |my )?(?:e-?mail )?(?:preferences|subscriptions?)|(?:update |e-?mail )?(?:your )?preferences|view (?:this (?:e-?mail )?)?(?:in|on|online).{0,20}|(?:our |the )?privacy (?:policy|notice|statement|center|centre)|terms(?: (?:of|and|&) (?:service|use|conditions))?|contact(?: us)?|help(?: cent(?:er|re))?|about(?: us)?|faq|imprint|legal(?: notice)?|cookies?(?: policy)?|opt[- ]?out|home|shop|"
    r"abmelden|newsletter abmelden|im browser (?:ansehen|anzeigen|öffnen)|datenschutz(?:erklärung|hinweise?|bestimmungen)?|impressum|agb|kontakt|einstellungen(?: ändern)?|profil bearbeiten|hilfe|"
    r"se désabonner|se désinscrire|désabonnement|politique de confidentialité|mentions légales|voir (?:dans le navigateur|en ligne)|gérer (?:mes|vos) préférences|contactez-nous|cgv|"
    r"darse de baja|política de privacidad|aviso legal|ver en (?:el )?navegador|preferencias|contacto|contáctenos|cookies|protección de datos|privacidad|confidentialité)\W*"
)
_ALONE = re.compile(
    r"unsubscri|preferences|privacy|browser|abmeld|datenschutz|désabonn|désinscri|confidentialité|baja|privacidad"
)
_SEPARATORS = re.compile(r"\s*[|•·]\s*|\s+[-–/]\s+")

_BANNER_TAG = re.compile(
    r"\W*[\[(*<{!]+\W*(?:external(?:[ _-](?:e-?mail|sender|message|source|mail))?|ext(?:ern)?|caution|warning|extern(?:e[rsn]?)?(?: (?:e-?mail|absender|mail|nachricht))?|externe?(?: (?:expéditeur|message|mail))?|externo|correo externo|expéditeur externe|message externe|attention|achtung|suspected spam|spam\??)\b[^\]\w]{0,3}[\])*>}!]+:?\s*"
)
_BANNER_WORD = re.compile(
    r"\W*(?:caution|warning|attention|achtung|vorsicht|warnung|hinweis|note|notice|important|avertissement|prudence|precaución|atención|aviso|external(?: e-?mail| sender| message)?|externe? (?:e-?mail|mail|nachricht)|security (?:notice|warning))\b\W*"
)
_BANNERS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:(?:\w+ ){0,2}(?:this|the|an?)? ?(?:e-?mail|message|mail|sender))\b.{0,40}\b(?:originat\w+|comes?|came|sent|received|is|was)\b.{0,30}\b(?:external|outside)\b",
        r"(?:you |please |so )?(?:do not|don't|never|avoid|be careful|be cautious|use caution|exercise caution|think before|be wary)\b.{0,40}\b(?:click|clicking|open|opening|links?|attachments?|respond|reply)\b",
        r"(?:unless|only if) you\b.{0,30}\b(?:recogni[sz]e|trust|know|expect\w*|verified)\b.{0,80}$",
        r"you don't often get e-?mail from|learn why this is important|some people who received this message",
        r"(?:diese|die|bei dieser)\b.{0,20}\b(?:e-?mail|nachricht|mail)\b.{0,40}\b(?:extern\w*|außerhalb|ausserhalb)\b|(?:bitte )?(?:klicken|öffnen) sie (?:bitte )?(?:nicht|keine|nur|links|anhänge)|(?:bitte )?(?:seien sie vorsichtig|vorsicht bei)\b",
        r"(?:ce|cet|le)\b.{0,20}\b(?:message|courriel|e-?mail|mail)\b.{0,40}\b(?:externe|extérieur|l'exterieur)\b|(?:ne|n')\s?(?:pas )?(?:cliquez|cliquer|ouvrez|ouvrir)\b|soyez (?:vigilant|prudent)",
        r"(?:este|el)\b.{0,20}\b(?:mensaje|correo|e-?mail)\b.{0,50}\b(?:extern\w+|fuera de|exterior)\b|no (?:haga|hagas|haz|abra|abras|pulse)\b.{0,40}\b(?:clic|enlaces?|adjuntos?|archivos?)",
    )
)  # fmt: skip

_CONSENT = re.compile(
    r"\W*(?:\[?[xX✓✔☑☒]\]?\W*)?(?:yes,?|ja,?|oui,?|sí,?|si,?)?\W*(?:"
    r"i (?:hereby )?(?:have read|agree|accept|consent|acknowledge|confirm)\b.*\b(?:privacy|terms|processing|stor\w+|personal data|data protection)|"
    r"(?:consent|privacy(?: policy)?|gdpr(?: consent)?|data protection|datenschutz\w*|einwilligung|rgpd|consentement|consentimiento|privacidad)\W*:\W*(?:yes|ja|oui|sí|true|1|on|accepted|agreed|akzeptiert|gelesen|aceptad[oa]|accepté\w*|given|checked)\W*$|"
    r"ich (?:habe|bin|stimme|willige|akzeptiere|erkläre)\b.*\b(?:datenschutz\w*|verarbeitung|speicherung|agb|daten|einwilligung)|"
    r"(?:j'ai (?:lu|pris connaissance)|j'accepte|je consens|j'autorise|en soumettant|en cochant)\b.*\b(?:politique|conditions|traitement|données|confidentialité)|"
    r"(?:he leído|acepto|autorizo|consiento|doy mi consentimiento)\b.*\b(?:política|condiciones|tratamiento|datos|privacidad|términos)|"
    r"by (?:submitting|sending|ticking|clicking)\b.*\b(?:privacy|terms|processing|data)\b)"
)
_CONSENT_TAKEN_BACK = re.compile(
    r"\b(?:not|n't|never|no longer|withdraw\w*|revok\w*|but|however|until|anymore|delete|erase|remove|stop|request|want|without|please|"
    r"nicht|kein\w*|nie|widerruf\w*|aber|mehr|lösch\w*|entfern\w*|bitte|ohne|"
    r"pas|jamais|retir\w*|révoqu\w*|mais|plus|supprim\w*|effac\w*|veuillez|sans|"
    r"no|nunca|retir\w*|revoc\w*|pero|elimin\w*|borr\w*|suprim\w*|sin)\b"
)

_SENTENCE_END = re.compile(r"(?<=[.!?])[ \t]+(?=\S)")


def without_furniture(text: str) -> str:
    """The text without sentences of legal notes, banners, newsletters and consent boxes."""
    lower = text.lower()
    if not any(stem in lower for stem in _STEMS):
        return text
    paragraphs = _unwrapped(text.split("\n"))
    kept: list[str] = []
    for paragraph in paragraphs:
        kept.extend(_lines_kept(paragraph))
    return "\n".join(kept)


def _unwrapped(lines: list[str]) -> list[str]:
    """Lines that a mail program wrapped, joined: a long one that no full stop ends goes on in lower case."""
    joined: list[str] = []
    length = 0
    for line in lines:
        if (
            joined
            and 50 <= length <= 100
            and joined[-1][-1:] not in ".!?:"
            and line[:1].islower()
            and len(joined[-1]) < MAX_SENTENCE
        ):
            joined[-1] = f"{joined[-1].rstrip()} {line}"
        else:
            joined.append(line)
        length = len(line)
    return joined


def _lines_kept(line: str) -> list[str]:
    if not line.strip():
        return [line]
    if len(line) <= 200 and _is_row_of_links(line):
        return []
    tag = _BANNER_TAG.match(line.lower()) if line[:1] in "[(*<{! " else None
    if tag:
        line = line[tag.end() :]
    sentences = _SENTENCE_END.split(line)
    kept = [sentence for sentence in sentences if not is_furniture(sentence)]
    if len(kept) == len(sentences):
        return [line] if line.strip() else []
    return [" ".join(kept)] if kept else []


def is_furniture(sentence: str) -> bool:
    """Whether a sentence is part of a legal note, a banner, a newsletter or a consent box."""
    if len(sentence) > MAX_SENTENCE:
        return False
    lower = sentence.lower().replace("’", "'").strip(" \t*_#>|")
    if not lower:
        return False
    if _CONSENT.match(lower):
        return _CONSENT_TAKEN_BACK.search(lower) is None
    if speaks_of_self(lower):
        return False
    bare = lower[word.end() :] if (word := _BANNER_WORD.match(lower)) else lower
    if word and not bare.strip():
        return True
    if len(bare) <= 200 and _DESK.match(bare):
        return True
    if any(pattern.match(bare) for pattern in _BANNERS) and not may_ask(bare):
        return True
    if any(pattern.match(bare) for pattern in _NEWSLETTER) and not _ASKS.search(bare):
        return True
    if any(pattern.match(bare) for pattern in _COMPANY) and not _ASKS.search(bare):
        return True
    return any(pattern.search(bare) for pattern in _LEGAL) and not may_ask(_ASKED_BY_LAWYERS.sub(" ", bare))


def _is_row_of_links(line: str) -> bool:
    names = [name for name in _SEPARATORS.split(line.lower().strip(" \t*_[]|•·")) if name]
    return all(_LINK_NAMES.fullmatch(name) for name in names) and (
        len(names) > 1 or bool(names and _ALONE.search(names[0]))
    )
