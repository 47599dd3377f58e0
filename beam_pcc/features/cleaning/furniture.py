"""Removes sentences that stand in many messages and are no customer's: legal notes, banners of gateways, links of newsletters.

A sentence goes only if it looks like one of them, speaks of no first person, and asks for nothing else.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from beam_pcc.features.cleaning import fields, notices, stems
from beam_pcc.features.cleaning.words import (
    MAX_SENTENCE,
    any_of,
    has_any,
    is_request,
    may_ask,
    sentences,
    speaks_of_self,
)


class _Rules:
    """Patterns, each with keys of which a text that it fits has at least one: those are cheap to look for."""

    def __init__(self, table: str) -> None:
        """A table has a line for each: keys with _ for a space, ::, the pattern with names of _NOUNS."""
        self._of_keys: dict[str, list[re.Pattern[str]]] = {}
        for line in table.strip().split("\n"):
            keys, pattern = line.split(" :: ")
            for name, noun in _NOUNS.items():
                pattern = pattern.replace(name, noun)
            for key in keys.split():
                self._of_keys.setdefault(key.replace("_", " "), []).append(re.compile(pattern))

    def search(self, lower: str) -> bool:
        """Whether one of the patterns is in a lower-case text."""
        return any(pattern.search(lower) for pattern in self._likely(lower))

    def match(self, lower: str) -> bool:
        """Whether a lower-case text begins with one of the patterns."""
        return any(pattern.match(lower) for pattern in self._likely(lower))

    def _likely(self, lower: str) -> Iterable[re.Pattern[str]]:
        likely: list[re.Pattern[str]] = []
        for key, patterns in self._of_keys.items():
            if key in lower:
                likely += patterns
        return dict.fromkeys(likely)


_NOUNS = {
    "<MAIL>": r"(?:e-?mails?|messages?|mails?|communications?|transmissions?|correspondence|attachments?|files?|documents?|faxes|fax)",
    "<POST>": r"(?:e-?mails?|mails?|nachrichten?|mitteilung(?:en)?|schreiben|anhänge?n?|anlagen?|kommunikation)",
    "<COURRIER>": r"(?:messages?|courriels?|e-?mails?|mails?|courriers?(?: électroniques?)?|communications?|pièces? jointes?|transmission)",
    "<CORREO>": r"(?:mensajes?|correos?|e-?mails?|comunicaci(?:ón|ones)|(?:documentos?|archivos?|ficheros?) adjuntos?|transmisi(?:ón|ones)|adjuntos?)",
}

_LEGAL = _Rules(
    r"""
confidential privileged intended proprietary virus binding recipient addressee monitored defects :: \b(?:this|these|the|any|all|our)\b.{0,60}\b<MAIL>\b.*\b(?:confidential|privileged|intended|proprietary|virus(?:es)?|legally binding|recipient|addressee|monitored|defects)\b
confidential privileged intended protected :: \b(?:information|contents?)\b.{0,80}\b<MAIL>\b.*\b(?:confidential|privileged|intended|protected)\b
confidential privileged :: \b(?:confidential|privileged)\b.*\b(?:intended|solely|recipient|addressee)\b
recipient addressee :: \bif you (?:are|were) not (?:the|an|one of the|its|a)\b.{0,40}\b(?:recipient|addressee)|\bnot the (?:intended|named|right|correct) (?:recipient|addressee)
in_error by_mistake erroneously :: \b(?:received|receive|got|gets|reached)\b.{0,60}\b(?:in error|by mistake|erroneously)\b
prohibited forbidden unlawful not_permitted not_allowed :: \b(?:unauthori[sz]ed|any)\b.{0,60}\b(?:use|copying|disclosure|distribution|dissemination|review|retransmission|reproduction)\b.*\b(?:prohibited|forbidden|unlawful|not permitted|not allowed)
print environment :: \b(?:consider|think)\b.{0,60}\b(?:print|environment)|\b(?:before|without|don't|do not|avoid) print
views opinions :: \b(?:views|opinions)\b.*\b(?:author|sender|company|necessarily|individual)
virus accept assume liab responsib warrant :: \b(?:accepts?|assumes?|liab\w+|responsib\w+|warrant\w*)\b.*\b(?:virus(?:es)?|<MAIL>)\b
virus viren :: \b(?:scanned|swept|checked)\b.{0,40}\bvirus|virus-free|\bauf viren (?:geprüft|untersucht)|\banaly[sz]\w+\b.{0,60}\bvirus|\bvirus\b.{0,40}\banaliz\w+
sender :: \bplease\b.{0,30}\b(?:notify|inform|tell|contact|advise) (?:the|its) sender
vertraulich bestimmt geschützt adressat empfänger viren rechtsverbindlich :: \b(?:diese[rsn]?|die|der|das|unsere?)\b.{0,60}\b<POST>\b.*\b(?:vertraulich\w*|bestimmt|geschützt\w*|adressat\w*|empfänger\w*|viren|rechtsverbindlich)
adressat empfänger nicht_für_sie :: \bnicht (?:der|die|an sie|für sie)\b.{0,50}\b(?:adressat|empfänger)\w*|\bnicht für sie bestimmt
irrtümlich versehentlich fälschlich aus_versehen :: \b(?:irrtümlich|versehentlich|fälschlicherweise|aus versehen)\b.{0,40}\b(?:erhalten|zugegangen|empfangen|erreicht)
gestattet untersagt verboten erlaubt zulässig :: \b(?:unerlaubte|unbefugte|unberechtigte|jede|jegliche)\w*\b.{0,120}\b(?:nicht gestattet|untersagt|verboten|nicht erlaubt|unzulässig|nicht zulässig)
umwelt druck :: \b(?:denken|prüfen|überlegen) sie\b.{0,80}\b(?:umwelt|druck|ausdruck)|\bumwelt zuliebe|\bbevor sie diese.{0,30}(?:druck|ausdruck)
absender :: \binformieren sie\b.{0,40}\babsender
confidenti destin exclusi protég :: \b(?:ce|cet|cette|ces|le présent|la présente|les informations|l'information)\b.{0,80}\b<COURRIER>\b.*\b(?:confidenti\w+|destin\w+|exclusi\w+|protégé\w*)
destinataire :: \b(?:pas|point)\b.{0,30}\bdestinataires?\b
par_erreur :: \b(?:reçu|recevez|parvenu|recevriez)\b.{0,60}\bpar erreur|\bpar erreur\b.{0,60}\breçu
interdit autorisée prohib :: \btoute (?:utilisation|diffusion|reproduction|divulgation|copie|publication)\b.*\b(?:interdit\w*|non autorisée|prohibé\w*)
environnement imprim nécessaire :: \b(?:pensez|pensons|n'imprimez|avant d'imprimer|évitez)\b.{0,80}\b(?:environnement|imprim\w*|nécessaire)
expéditeur :: \bavertir\b.{0,30}\bl'expéditeur|\binformer\b.{0,30}\bl'expéditeur|\bprévenir\b.{0,30}\bl'expéditeur
confidencial destinatari dirigid exclusiv privilegiad :: \b(?:este|esta|estos|el presente|la presente|la información|el contenido)\b.{0,80}\b<CORREO>\b.*\b(?:confidencial\w*|destinatari\w+|dirigid\w+|exclusiv\w+|privilegiad\w+)
destinatari :: \b(?:no es|no sea|no fuera|no fuese|si usted no)\b.{0,40}\bdestinatari[oa]
por_error por_equivocación :: \b(?:recibido|recibe|recibiera|recibiese)\b.{0,60}\bpor (?:error|equivocación)|\bpor error\b.{0,60}\brecibid
prohibid :: \b(?:queda|está|quedan)\b.{0,40}\bprohibid[oa]s?\b
imprim :: \bantes de imprimir|\bimprim\w+\b.{0,60}\bnecesario
"""
)
# What such a sentence itself may ask for, so that only a further request keeps it.
_ASKED_BY_LAWYERS = re.compile(
    rf"\b(?:delet|destroy|eras|remov|purg)\w*\b(?: (?:immediately|permanently|promptly|at once|and|or|destroy\w*|then|all|any|copies|of|copy|both|the|this|that|it|its|your?|from|system|computer|original|along|with|entire|material|{_NOUNS['<MAIL>']}|without|retaining|reading)){{1,12}}|"
    r"\b(?:delete|destroy|erase) it\b|\bcop(?:y|ies|ying)\b|\bprivacy and\b|\b(?:may |can |could )?(?:contain|include)s? (?:confidential|personal|private|sensitive)(?: (?:or|and|personal|private|privileged|sensitive|confidential))*(?: (?:data|information))?|"
    r"\b(?:delete|löschen|vernichten) sie (?:bitte )?(?:diese|die|das|den|sie|anschließend|umgehend|sofort|dann|alle|kopien|,| )+(?:e-?mail|mail|nachricht|mitteilung)?|\b(?:zu löschen|zu vernichten|und löschen)\b.{0,30}|"
    r"\bkopie\w*|\b(?:supprimer|supprimez|détruire|détruisez|effacer|effacez)\b(?:[- ](?:immédiatement|le|la|les|l'|ce|cet|cette|et|toutes?|copies?|de|votre|système|définitivement|sans|délai|message|courriel|e-?mail|mail|original)){0,10}|"
    r"\bcopie\w*|\b(?:elimin|borr|destru|suprim)\w*(?: (?:inmediatamente|el|la|lo|este|esta|y|todas?|las|sus|copias?|de|su|sistema|mensaje|correo|original|electrónico|cualquier)){0,10}|\bcopia\w*|"
    r"\baccess (?:to|by)\b|\bdata (?:loss|corruption)"
)
_COMPANY = _Rules(
    r"""
personal_data personal_information privacy data_protection gdpr :: (?:we|our company|[\w&.]+(?: [\w&.]+){0,3} (?:ltd|limited|inc|llc|gmbh|plc|group|ag))\.? (?:only |will |may |take |are |is )?.{0,40}(?:process|collect|use|handle|treat|store|protect|respect|seriously|committed|keep)\w*\b.*\b(?:personal (?:data|information)|privacy|data protection|gdpr)
privacy data_protection cookie :: (?:.{0,12}(?:read|see|find|learn|view|consult|review|refer|visit|check|for|information|details|more|further|please|you can|you will|how|by|when|our|the|data)\b).*\b(?:our|company|group) (?:online |full |current )?(?:privacy|data protection|cookie) (?:notice|policy|statement|information|declaration|page|cent(?:er|re))|(?:privacy|data protection) (?:notice|policy|statement|information)\b\W*(?:https?:|www\.)
privacy data_protection :: (?:our |the )?(?:privacy|data protection) (?:notice|policy|statement|information)\b.{0,60}(?:https?://|www\.|can be (?:found|read|viewed)|is available|here\b|applies)
right :: you (?:have|also have|may have) (?:the|a) right\b|for your rights\b
datenschutz personenbezogen dsgvo ihre_daten ihrer_daten :: (?:wir (?:verarbeiten|behandeln|nehmen|speichern|schützen|erheben|nutzen)|(?:weitere |nähere |ausführliche |alle )?(?:informationen|hinweise|angaben|einzelheiten|details)\b|unsere|die|zum|zur|bitte beachten|es gilt|gemäß|wie wir|mehr).*\b(?:datenschutz\w*|personenbezogene\w* daten|ihrer? daten|dsgvo)
datenschutz :: datenschutz(?:hinweise?|erklärung|information\w*)?\s*(?::|unter|-|\||https?:)
recht :: sie haben (?:das|ein|jederzeit das) recht\b
confidentialité protection_d personnel rgpd vie_privée informatique :: (?:nous (?:traitons|collectons|respectons|utilisons|protégeons)|pour (?:en savoir plus|plus d'informations?|toute information)|consulte[zr]|vos données|les données|les informations|conformément|notre|dans le cadre).*\b(?:politique de (?:confidentialité|protection)|protection d(?:es|e vos) données|données (?:à caractère )?personnel\w*|rgpd|vie privée|informatique et libertés)
disposez bénéficiez exercer :: .{0,80}\bvous (?:disposez|bénéficiez) (?:également )?d(?:'un|es|e)\b.{0,10}\bdroits?\b|.{0,80}\bvous pouvez exercer\b
protección_de_datos personal privacidad rgpd lopd reglamento :: (?:(?:le |les )?informamos|tratamos|en cumplimiento|de conformidad|conforme|de acuerdo con|sus datos|los datos|para más información|más información|puede consultar|consulte|nuestra|responsable del tratamiento|le comunicamos|según).*\b(?:protección de datos|datos (?:de carácter )?personal\w*|política de privacidad|rgpd|lopd\w*|reglamento)
derecho política :: .{0,120}\b(?:podrá|puede|pueden) (?:usted )?(?:ejercer|ejercitar|consultar)\b.*\b(?:derechos?|política)
"""
)
_ASKS = any_of(
    r"\?|\bplease (?!see|read|refer|note|visit|find|consult|click|check|review)|\b(?:want|demand|request(?:s|ed|ing)? (?!a copy of our)|wish|insist|require you|require that|expect|would like)\b|\bstop\b|\b(?:delete|erase|remove|forget|send|give|tell|provide|confirm)\b|"
    r"\bbitte (?!beachten|lesen|entnehmen|sehen|finden)|\b(?:möchte|verlange|fordere|wünsche|beantrage|erwarte|löschen sie|senden sie|geben sie|entfernen sie|teilen sie)\b|"
    r"\b(?:veuillez (?!consulter|lire|noter|trouver|vous référer|cliquer)|merci de|prière de|demande|exige|souhaite|supprimez|effacez|envoyez)\b|\b(?:por favor(?!,? (?:lea|consulte|visite))|solicit\w+|exij\w+|pido|ruego|quiero|quisiera|eliminen|borren|supriman|envíen)\b"
)
_NEWSLETTER = _Rules(
    r"""
receiving_this receiving_these received_this sent :: (?:you(?:'re| are) receiving (?:this|these)|you (?:have )?received this (?:e-?mail|message|newsletter)|this (?:e-?mail|message|newsletter) was sent (?:to|by|from))\b
erhalten_diese bekommen_diese gesendet vous_recevez envoyé recib enviado :: sie (?:erhalten|bekommen) diese\b.*\b(?:weil|da)\b|diese (?:e-?mail|nachricht) wurde (?:an|von)\b.*\bgesendet|vous recevez (?:ce|cet|cette)\b.*\b(?:car|parce)|ce(?:t|tte)? (?:message|courriel|e-?mail) (?:vous )?a été envoyé|(?:recibe|recibes|ha recibido|has recibido) este\b.*\b(?:porque|ya que)|este (?:correo|mensaje) (?:ha sido|fue) enviado
unsubscribe opt_out receive :: (?:to|if you (?:no longer|don't|do not) (?:wish|want)).{0,60}\b(?:receive|unsubscribe|opt out)\b.*\b(?:click|unsubscribe|link|here|reply|visit)
unsubscribe opt_out manage :: (?:click here|follow this link) to (?:unsubscribe|opt out|manage)|unsubscribe (?:here|from this (?:list|newsletter)|at any time|instantly)\b.{0,60}$
newsletter abmelden abbestell nachrichten e-mail email :: (?:um|wenn sie|falls sie|möchten sie|sollten sie).{0,60}\b(?:newsletter|e-?mails?|nachrichten)\b.*\b(?:klicken|abmelden|abbestellen|hier)\b|hier (?:können sie sich )?abmelden\b|newsletter abbestellen\W*$|vom newsletter abmelden\W*$
désabonn désinscri recevoir :: (?:pour|si vous ne souhaitez plus|si vous ne voulez plus).{0,60}\b(?:désabonner|désinscrire|recevoir)\b.*\b(?:cliquez|ici|lien|désabonn\w+|désinscri\w+)|(?:se |vous )?(?:désabonner|désinscrire)\W*$
baja recibir cancelar :: (?:para|si no desea|si ya no desea|si no quiere).{0,60}\b(?:darse de baja|recibir|cancelar)\b.*\b(?:clic|aquí|enlace|baja)|(?:darse|date) de baja\W*$|cancelar (?:la )?suscripción\W*$
© copyright reserved vorbehalten réservés reservados :: (?:©|\(c\)|copyright)\W*(?:copyright\W*)?\d{4}|.{0,60}\ball rights reserved|.{0,60}\balle rechte vorbehalten|.{0,60}\btous droits réservés|.{0,60}\btodos los derechos reservados
registered amtsgericht handelsregister hrb sitz_der geschäftsführ :: .{0,80}\bregistered (?:office|in (?:england|ireland|scotland|wales))\b|.{0,80}\b(?:amtsgericht|handelsregister|hrb)\b.{0,20}\d|sitz der gesellschaft|geschäftsführer(?:in|ung)?\s*:
"""
)
_DESK = re.compile(
    r"(?:\[?ticket[^\]]{0,30}\]?\W*)?(?:your|ihre|votre|su) (?:request|ticket|anfrage|demande|solicitud)\b.{0,40}\b(?:has been (?:received|updated|created|registered)|ist (?:bei uns )?eingegangen|a (?:bien )?été (?:reçue|prise en compte|enregistrée)|ha sido (?:recibida|registrada))"
    r"|to add (?:additional|further) comments, reply to this e-?mail"
)
_POLITE = re.compile(
    r"(?:(?:i|we) (?:do )?(?:hope|trust) (?:that )?(?:(?:this|my|our) (?:e-?mail|message|letter|note) (?:finds|reaches) you|you(?:'re| are| were)? (?:all )?(?:doing |keeping |had |have |having |feeling )?(?:well|fine|a (?:good|nice|great|pleasant|lovely|wonderful)))|"
    r"(?:many |very many )?thank(?:s| you)(?: (?:very|so) much| a lot)?(?: (?:and|again|already|in advance|for your (?:time|help|attention|effort|support|understanding|patience|assistance|cooperation)))+|"
    r"(?:ich hoffe|wir hoffen),? (?:sie hatten|es geht ihnen|diese (?:nachricht|e-?mail))|vielen (?:herzlichen )?dank (?:im voraus|für ihre (?:mühe|hilfe|zeit|unterstützung))|"
    r"(?:j'espère|nous espérons) que (?:vous allez|ce (?:message|courriel))|(?:je vous remercie|merci)(?: beaucoup)? (?:d'avance|par avance|pour votre (?:aide|temps|attention))|"
    r"espero que (?:se encuentre|esté|estén|este (?:mensaje|correo))|(?:muchas )?gracias (?:de antemano|por (?:su|vuestra) (?:ayuda|tiempo|atención)))\b"
)
_BUT = any_of(r"\b(?:but|however|please|aber|jedoch|bitte|mais|veuillez|pero|\d+)\b")
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
_BANNERS = _Rules(
    r"""
external outside :: (?:(?:\w+ ){0,2}(?:this|the|an?)? ?(?:e-?mail|message|mail|sender))\b.{0,40}\b(?:originat\w+|comes?|came|sent|received|is|was)\b.{0,30}\b(?:external|outside)\b
click open link attachment respond reply :: (?:you |please |so )?(?:do not|don't|never|avoid|be careful|be cautious|use caution|exercise caution|think before|be wary)\b.{0,40}\b(?:click|clicking|open|opening|links?|attachments?|respond|reply)\b
unless_you only_if_you :: (?:unless|only if) you\b.{0,30}\b(?:recogni[sz]e|trust|know|expect\w*|verified)\b.{0,80}$
often_get important some_people :: you don't often get e-?mail from|learn why this is important|some people who received this message
extern außerhalb ausserhalb klicken öffnen vorsicht :: (?:diese|die|bei dieser)\b.{0,20}\b(?:e-?mail|nachricht|mail)\b.{0,40}\b(?:extern\w*|außerhalb|ausserhalb)\b|(?:bitte )?(?:klicken|öffnen) sie (?:bitte )?(?:nicht|keine|nur|links|anhänge)|(?:bitte )?(?:seien sie vorsichtig|vorsicht bei)\b
extern extérieur exterieur cliqu ouvr soyez :: (?:ce|cet|le)\b.{0,20}\b(?:message|courriel|e-?mail|mail)\b.{0,40}\b(?:externe|extérieur|l'exterieur)\b|(?:ne|n')\s?(?:pas )?(?:cliquez|cliquer|ouvrez|ouvrir)\b|soyez (?:vigilant|prudent)
extern fuera_de exterior clic enlace adjunto archivo :: (?:este|el)\b.{0,20}\b(?:mensaje|correo|e-?mail)\b.{0,50}\b(?:extern\w+|fuera de|exterior)\b|no (?:haga|hagas|haz|abra|abras|pulse)\b.{0,40}\b(?:clic|enlaces?|adjuntos?|archivos?)
"""
)

_CONSENT = re.compile(
    r"\W*(?:\[?[xX✓✔☑☒]\]?\W*)?(?:yes,?|ja,?|oui,?|sí,?|si,?)?\W*(?:"
    r"i (?:hereby )?(?:have read(?: and \w+(?: (?:to|with))?)?|(?:agree|consent)(?: to| with| that)|accept|acknowledge|confirm (?:that i have read|having read)) (?:and \w+ )?(?:the|your|our|to|to the|my|that|having)\b.*\b(?:privacy|terms|processing|stor\w+|personal data|data protection|data)\b|"
    r"(?:consent|privacy(?: policy)?|gdpr(?: consent)?|data protection|datenschutz\w*|einwilligung|rgpd|consentement|consentimiento|privacidad)\W*:\W*(?:yes|ja|oui|sí|true|1|on|accepted|agreed|akzeptiert|gelesen|aceptad[oa]|accepté\w*|given|checked)\W*$|"
    r"(?:hiermit )?(?:ich|mit dem absenden)\b.*\b(?:datenschutz\w*|verarbeitung|speicherung|agb|daten|einwilligung)\b.*\b(?:gelesen|zur kenntnis|einverstanden|zugestimmt|akzeptiert)\W*$|mit dem absenden\b.*\b(?:zu|ein)\W*$|ich (?:akzeptiere|stimme|willige|erkläre mich)\b.*\b(?:datenschutz\w*|verarbeitung|speicherung|agb|einverstanden)|"
    r"(?:j'ai (?:lu|pris connaissance)(?: et \w+)?|j'accepte|je consens|j'autorise|en soumettant|en cochant)(?: de| à| que)? (?:la|les|le|vos|votre|mes|ce|cette|l)\b.*\b(?:politique|conditions|traitement|données|confidentialité)|"
    r"(?:he leído(?: y acepto)?|acepto|autorizo|consiento|doy mi consentimiento)(?: al?| para| que)? (?:la|las|el|los|su|sus|mis|que)\b.*\b(?:política|condiciones|tratamiento|privacidad|términos|mis datos)|"
    r"by (?:submitting|sending|ticking|clicking)\b.*\b(?:privacy|terms|processing|data)\b|"
    r"(?:(?:i|you) (?:can|may) (?:withdraw|revoke) this(?: consent| agreement)? at any time|(?:diese|die) (?:einwilligung|zustimmung) (?:kann|können) (?:ich|sie) jederzeit (?:\w+ ){0,4}widerrufen|"
    r"(?:je peux|vous pouvez) retirer ce consentement à tout moment|(?:puedo|puede) retirar este consentimiento en cualquier momento)\W*$)"
)
_CONSENT_TAKEN_BACK = any_of(
    r"\?|\b(?:says?|why|how|where|which|steht|sagt|warum|wie|wo|dit|pourquoi|comment|dice|cómo|not|n't|never|no longer|withdraw\w*|revok\w*|but|however|until|anymore|delete|erase|remove|stop|want|without|please|"
    r"nicht|kein\w*|nie|widerruf\w*|aber|mehr|lösch\w*|entfern\w*|bitte|ohne|"
    r"pas|jamais|retir\w*|révoqu\w*|mais|plus|supprim\w*|effac\w*|veuillez|sans|"
    r"no|nunca|retir\w*|revoc\w*|pero|elimin\w*|borr\w*|suprim\w*|sin)\b"
)

_COLON = re.compile(r":\s+(?=[^\W\d]+ )")


def without_furniture(text: str, *, notices_too: bool = True) -> str:
    """The text without sentences of legal notes, banners, newsletters and consent boxes; and without notices at its end."""
    found = stems.found(text.lower())
    if not found:
        return text
    may_have_notice = notices_too and not stems.NOTICES.isdisjoint(found)
    of_furniture = found & stems.FURNITURE
    if not of_furniture and not may_have_notice:
        return text
    lines = _unwrapped(text.split("\n"))
    if of_furniture:
        lines = [kept for line in lines for kept in _lines_kept(line, of_furniture)]
    text = "\n".join(lines)
    return notices.without_notices(text) if may_have_notice else text


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


def _lines_kept(line: str, found: set[str]) -> list[str]:
    """What is left of a line of a text that has these stems."""
    if not line.strip():
        return [line]
    if len(line) <= 200 and _is_row_of_links(line):
        return []
    tag = _BANNER_TAG.match(line.lower()) if line[:1] in "[(*<{! " else None
    if tag:
        line = line[tag.end() :]
    if not has_any(line.lower(), found):
        return [line] if line.strip() else []
    parts = sentences(line)
    kept = [part for part in parts if not (has_any(part.lower(), found) and is_furniture(part))]
    if len(kept) == len(parts):
        return [line] if line.strip() else []
    return [" ".join(kept)] if kept else []


@functools.lru_cache(maxsize=1_024)  # the same banners and footers come again and again
def is_furniture(sentence: str) -> bool:
    """Whether a sentence is part of a legal note, a banner, a newsletter or a consent box."""
    if len(sentence) > MAX_SENTENCE:
        return False
    lower = sentence.lower().replace("’", "'").strip(" \t*_#>|")
    if not lower:
        return False
    if stems.FURNITURE.isdisjoint(stems.found(lower)):
        return False
    if len(lower) <= 250 and _CONSENT.match(lower):
        return _CONSENT_TAKEN_BACK.search(fields.without_right_to_revoke(lower)) is None
    if len(lower) <= 200 and _POLITE.match(lower):
        return not may_ask(lower) and "?" not in lower and not _BUT.search(lower)
    if speaks_of_self(lower):
        return False
    bare = lower[word.end() :] if (word := _BANNER_WORD.match(lower)) else lower
    if len(bare) <= 200 and _DESK.match(bare):
        return True
    if _BANNERS.match(bare) and not may_ask(bare):
        return True
    if _LEGAL.search(bare):
        return not may_ask(_ASKED_BY_LAWYERS.sub(" ", bare))
    if _NEWSLETTER.match(bare):
        return not is_request(bare) and (len(bare) <= 80 or not notices.is_of_a_request(bare))
    if _ASKS.search(bare) or not _COMPANY.match(bare) or notices.is_of_a_request(bare):
        return False
    told = _COLON.search(bare)  # what stands behind a colon is a sentence of its own
    return told is None or is_furniture(bare[told.end() :])


def _is_row_of_links(line: str) -> bool:
    row = line.lower().strip(" \t*_[]|•·")
    if not _LINK_NAMES.match(row):  # as most lines
        return False
    names = [name for name in _SEPARATORS.split(row) if name]
    return all(_LINK_NAMES.fullmatch(name) for name in names) and (
        len(names) > 1 or bool(names and _ALONE.search(names[0]))
    )
