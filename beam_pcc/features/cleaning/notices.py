"""Removes notices at the end of a message that a company writes below all of its mails, in any wording.

They are told by who speaks. A notice is written by the one who keeps the data: what "we" keep, what "you" may ask of
us, who may read a mail, where a firm is registered. A request is written by, or for, the one whose data it is: what
"you" hold, what "we" ask, what must be deleted. So a sentence goes only if it stands at the end, has the perspective of
a notice, and nothing of a request.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from beam_pcc.features.cleaning import stems
from beam_pcc.features.cleaning.words import (
    MAX_SENTENCE,
    SENTENCE_END,
    any_of,
    count,
    may_ask,
    sentences,
    speaks_of_self,
)

_DUTIES = r"(?:keep|store|process|collect|gather|hold|retain|use|handle|treat|protect|share|record|archive|respect|delete|erase|remove)s?"
_DATA = r"(?:data|details|information|particulars|records?|privacy|enquir(?:y|ies)|correspondence|personal)"
_DONE = r"(?:kept|stored|processed|collected|held|retained|used|handled|treated|protected|shared|deleted|erased|removed|recorded|wiped|destroyed)"

_ISSUER = any_of(
    # what the reader may ask for
    r"\b(?:you|data subjects?|individuals?|customers?|clients?|users?|subscribers?|recipients?|residents?|any(?:one| person)|members?|visitors?|people)\b(?: \w+){0,3}? "
    r"(?:may|can|have (?:the |a |certain |additional )*rights?|(?:are|is) (?:also )?(?:entitled|free|welcome))\b(?! not| never|not).{0,140}"
    r"\b(?:ask|request|require|demand|withdraw|revoke|object|opt|unsubscribe|exercise|lodge|complain|contact|write|obtain|rights?|restrict\w*|erasure|deletion|copy|have (?:\w+ ){0,4}(?:removed|deleted|put right|corrected|erased)|know|access|amend|inspect|see|e-?mail|tell us)\b|"
    # what the writer does with data
    rf"\b(?:personal|your|customer|client|member|such|these|the) (?:\w+ )?{_DATA}\b.{{0,80}}\b(?:is|are|will be|may be)(?: \w+){{0,3}} {_DONE}\b.{{0,60}}\b(?:us|we|years|months|days|law|unless|only|by)\b|"
    rf"\b{_DATA}\b(?: that| which)? (?:we|our \w+) {_DUTIES}\b|\bour (?:data protection|privacy) (?:team|officer|office|department|manager|lead)\b|\b(?:unser\w*|unsere[rnm]?) datenschutz\w+|\bnotre (?:dpo|délégué\w*)\b|\bnuestr[oa] (?:dpo|delegad\w+)\b|"
    r"\bdata protection (?:rights|officer|contact|team)\W*[:-]|\b(?:unsubscribing|unsubscribe|opting out|abmeldung|désinscription|désabonnement|baja)\b.{0,40}\b(?:click|link|per|par|en répondant|one|hier|mausklick|mail|ici|aquí)\b|"
    rf"\b(?:we|(?:our|the|this) (?:firm|company|office|team|practice|trust|school|charity|association|club|group|bank|clinic|university))\b(?: \w+){{0,3}}? {_DUTIES}\b.{{0,80}}\b{_DATA}\b|"
    rf"\b(?:your|customers?'?|clients?'?|visitors'?|members'?) (?:\w+ )?{_DATA}\b.{{0,80}}\b(?:is|are|will be|may be)(?: \w+){{0,3}} {_DONE}\b|"
    rf"\b(?:information|details|data)(?: that| which)? we {_DUTIES}\b|\b{_DATA} (?:you (?:give|send|provide|share with) us|(?:sent|given|provided) to us)\b|\bwe .{{0,20}}what you (?:send|tell|give) us\b|"
    rf"\b(?:how|why) (?:we|your|the|customer|personal)\b.{{0,60}}\b(?:{_DUTIES}|{_DONE}|processing)\b|\bnotice (?:at|to|under|pursuant|of)\b.{{0,80}}\b(?:collection|gdpr|art|eu|residents|clients|customers)\b|"
    r"^\W*(?:the )?(?:data controller|data protection officer|controller|legal notice|disclaimer)\b|\brights? (?:of|to)\b.{0,80}\b(?:can|may) be exercised\b|\bprocessing is based on\b|"
    r"\b(?:if|should) you(?:'d| would| do| no| wish| want| prefer| like|r)\b.{0,120}\b(?:tell|write|reply|contact|e-?mail|click|ask|call|let) (?:us|our|to|here|the|back|with)\b|"
    r"\b(?:to|don't want|no longer want|not interested)\b.{0,60}\b(?:stop hearing|these (?:e-?)?mails|withdraw|be forgotten|unsubscribe|opt out)\b.{0,60}\b(?:reply|click|link|here|write|use|hit)\b|"
    r"\b(?:write|reply|contact|e-?mail|call)\b.{0,60}\bif you\b|\b(?:opt out|unsubscribe) here\b|\b(?:reply|respond|answer|text)\b.{0,25}\b(?:stop|remove|unsubscribe)\b|\b(?:manage|change|update) .{0,40}\b(?:settings|preferences|notifications)\b|"
    r"^\W*for .{0,60}\b(?:requests?|questions|more|details|rights)\b.{0,30}\b(?:see|visit|contact|write|go to)\b|\byou (?:are receiving|receive|got|get|received) (?:this|these)\b.{0,40}\bbecause\b|"
    r"^\W*your (?:privacy|california|cookie) (?:choices|rights)\W*$|\b(?:click|tap)\b.{0,20}\bto (?:leave|unsubscribe|opt out)\b|"
    r"\bwe take .{0,20}privacy\b|\byour choices\b|\bread more about your\b|"
    # German
    r"\b(?:sie (?:können|dürfen|haben)|(?:können|dürfen|haben) sie|betroffene\w*|jede\w* (?:person|kund\w+)|kund(?:en|innen) (?:können|haben))\b.{0,160}\b(?:widersprech\w+|widerruf\w*|verlangen|rechte?|anspruch|auskunft|beschwer\w+|anfordern|abmelden|beantragen|wenden)\b|"
    r"\b(?:wir (?:\w+ ){0,3}?(?:speichern|verarbeiten|erheben|nutzen|verwenden|behandeln|nehmen|schützen|bewahren|löschen|entfernen)|(?:speichern|verarbeiten|löschen|entfernen|nutzen|bewahren|verwenden) wir)\b|"
    r"\b(?:ihre|die) (?:\w+ )?(?:daten|angaben|kontaktdaten|informationen)\b.{0,40}\b(?:werden|wird|bleiben)\b.{0,100}\b(?:gespeichert|verarbeitet|behandelt|gelöscht|genutzt|weitergegeben|verwendet|erhoben|bei uns)\b|"
    r"^\W*(?:verantwortliche[rn]?\b|hinweis\w* (?:nach|gemäß|zum|zur)|datenschutz\w*(?: nach| gemäß|:)|informationspflicht\w*|informationen? (?:nach|gemäß|zur)|beschwerderecht|widerruf der einwilligung und\b)|\bihre rechte\b|\b(?:wie|warum) wir\b|\b(?:lesen|finden|erfahren) sie\b.{0,40}\b(?:unter|auf|in|hier)\b|\bkönnen (?:auch |dort |jederzeit )*(?:löschungen|auskünfte|anträge)\b|\bdaten (?:verarbeitet|gespeichert|erhoben)\b.{0,40}\bdurch\b|"
    r"\b(?:auf wunsch|auf anfrage|möchten sie|wünschen sie|wenn sie|falls sie|sollten sie|(?:wollen|möchten) sie|sie (?:möchten|wollen|wünschen)|keine werbung)\b.{0,140}\b(?:genügt|antwort\w*|mitteilung|schreiben sie|melden sie|klick\w*|wenden sie|abmelden|entfernen wir|löschen wir|wir sie)\b|"
    r"\b(?:antwort\w*|mail)\b.{0,30}\b(?:stopp?|nein|abmelden)\b|\b(?:abmeldung|abmelden|widerruf)\b.{0,40}\b(?:einfach|genügt|hier|antworten)\b|\bdatenschutzerklärung finden sie\b|"
    # French
    r"\b(?:vous|toute personne|les (?:personnes|clients|intéressés)(?: concernées)?|chacun)\b.{0,40}\b(?:pouvez|peut|peuvent|disposez|dispose|avez|ont|bénéficiez)\b.{0,160}\b(?:retirer|demander|droits?|opposer|accéder|réclamation|exiger|exercer|désinscrire|obtenir)\b|"
    r"\bnous (?:conservons|traitons|collectons|utilisons|gardons|protégeons|respectons|recueillons|enregistrons)\b|\bdroits?\b.{0,120}\bs'exercent?\b|\bréclamation\b.{0,60}\b(?:cnil|autorité)\b|"
    r"\b(?:vos|les) (?:\w+ )?(?:données|coordonnées|informations)\b.{0,60}\b(?:(?:sont|seront) (?:\w+ ){0,2}(?:conserv|trait|utilis|collect|recueilli|destin|effac|enregistr)\w*|servent|restent chez nous|ne sont (?:jamais|pas) \w+)|"
    r"^\W*(?:le )?responsable d[eu] traitement\b|\bdispose d'un traitement\b|^\W*(?:vos droits|mentions? légales?|droits? d'accès)\b|\bnos fichiers\b|\btout(?:e)? (?:client|personne|usager|membre)\w*\b.{0,30}\b(?:a|dispose|peut)\b.{0,60}\b(?:droit|consulter|demander|exiger|obtenir)\b|^\W*données (?:trait|recueill|collect)\w+ par\b|"
    r"\b(?:pour (?:ne plus|exercer|toute)|si vous (?:ne )?(?:souhaitez|voulez|désirez|préférez)|sur simple demande|vous ne (?:voulez|souhaitez) plus|(?:se|vous) désabonner|désinscrire|pour (?:les|la|le) (?:faire )?(?:effacer|supprimer|rectifier|consulter))\b.{0,120}\b(?:écri\w+|répond\w+|contact\w+|cli\w+|adress\w+|stop|suffit|ici)\b|"
    # Spanish
    r"\b(?:usted|ustedes|puede|podrá|puedes|podrás|tiene|tienes|cualquier (?:persona|interesado|usuario|cliente)|(?:los|el) interesados?)\b.{0,140}\b(?:retirar|solicitar|pedir\w*|ejerc\w+|derechos?|oponer\w*|reclama\w+|consultar\w*|exigir|cancelar|revocar|darse)\b|"
    r"\b(?:conservamos|tratamos|guardamos|guardemos|recogemos|utilizamos|usamos|protegemos|almacenamos|respetamos)\b|"
    r"\b(?:sus|tus|los) (?:\w+ )?datos\b.{0,60}\b(?:se (?:tratan|conservan|usan|utilizan|incorporan)|(?:son|serán) (?:\w+ )?(?:tratad|conservad|utilizad|incorporad)\w+|forman parte)\b|"
    r"^\W*(?:el )?responsable del? (?:tratamiento|fichero)\b|^\W*información básica\b|\b(?:le|les) informamos\b|^\W*ejerza sus derechos\b|\bnuestros (?:archivos|ficheros)\b|"
    r"\b(?:si (?:usted )?(?:no )?(?:desea|quiere|quieres|deseas|prefiere)|para (?:dejar de|ejercer|no recibir|anular|cancelar)|no (?:quiere|desea|quieres) (?:más|recibir)|baja del?)\b.{0,120}\b(?:escrib\w+|respond\w+|contest\w+|pulse|clic|aquí|díga\w+|dilo|avis\w+|baja)\b"
)  # fmt: skip
_REGISTER = re.compile(
    r"\b(?:vat (?:reg\w* )?(?:no|number|id)|company (?:no|number|reg\w*)|registered (?:at|in|office|charity|company|number)|a registered charity|authori[sz]ed and regulated|limited by guarantee|calls (?:may|are)\b.{0,20}\brecorded|"
    r"e-?mails (?:are|may be)\b.{0,20}\b(?:archived|monitored|recorded|intercepted)|freedom of information act|list of (?:partners|directors|members)\b.{0,40}\b(?:open|available)|"
    r"ust\W?-?id\w*|umsatzsteuer\w*|steuernummer|registergericht|handelsregister|hrb|geschäftsführung:|vorstand:|aufsichtsrat|"
    r"siret|siren|rcs [a-zé]+|tva (?:intra\w* )?[a-z]{2}|au capital de|association (?:de la )?loi 1901|membre d'une association agréée|prudential regulation authority|firm reference|mitglied der \w+kammer|berufshaftpflicht|accepts? no (?:liability|responsibility)|"
    r"registro mercantil|cif [a-z]\d|nif \d|colegiad[oa] n|domicilio social|inscrita en)\b|^\W*p save paper\W*$"
)
_LETTER = (
    r"(?:e-?mails?|mails?|messages?|notes?|letters?|lines|correspondence|communications?|transmissions?|attachments?)"
)
_OF_READERS = any_of(
    rf"\b(?:this|the|these|our|contents? of)\b.{{0,30}}\b{_LETTER}\b.{{0,80}}\b(?:only|named|private|confidential|privileged|addressee|recipient|passed on)\b|"
    rf"\b(?:if|should|in case)\b.{{0,30}}\b(?:this|it|{_LETTER}|you)\b.{{0,60}}\b(?:astray|wrong (?:inbox|hands?|person|address)|not (?:be )?(?:meant|the person|the (?:right|intended|named))|by mistake|in error|intended reader)\b|"
    r"\b(?:any(?:one)?|no)(?: other)? (?:reader|person|than|else)\b.{0,80}\b(?:destroy|delete|erase|opens?|reads?|may|copies|recipient|addressee)\b|\bintended reader\b|\bnothing in it\b|\b(?:this|it) was not (?:for|meant for|intended for) you\b|\bunbefugte\w*\b|\brichtet sich (?:nur|ausschließlich)\b|\bne vous concerne pas\b|\bno era para usted\b|\bdifusión de este mensaje\b|\breached you\b.{0,20}\b(?:wrong|mistake|error)|\bfehlzustellung\b|\bgeschäftsgeheimnisse\b|\binformations protégées\b|\bsi vous n'(?:êtes|étiez) pas (?:concerné|la personne|le)|\b(?:si ce|ce) \w+ ne vous (?:concerne|est)|\bcontenido es reservado\b|\bquien no sea (?:su |el )?destinatario\b|"
    r"\b(?:diese?[rn]?|der inhalt|die) (?:mail|e-?mail|nachricht|zeilen|dieser \w+|schreiben)?\b.{0,80}\b(?:nur für|gedacht|vertraulich)\b|\bfalsche[nr]? (?:hände|adressat\w*|empfänger\w*|postfach)\b|\bnicht gemeint\b|\bweitergabe\b.{0,60}\b(?:nicht|untersagt|verboten)\b|"
    r"\b(?:ce|cet|cette|ces|présent)\b.{0,10}\b(?:message|courriel|mail|e-?mail|envoi|contenu)\b.{0,80}\b(?:confidentiel\w*|réservé|secret|mégarde|erreur|destinataires?)\b|^\W*(?:contenu réservé|message confidentiel)\b|\bsecret professionnel\b|\bpar (?:mégarde|erreur)\b|\bpas le destinataire\b|"
    r"\b(?:este|presente|de este)\b.{0,10}\b(?:mensaje|correo|e-?mail)\b.{0,80}\b(?:privado|confidencial|secreto|dirigido|destinatari\w+|sin ser)\b|\bquien lo reciba\b|\bsecreto profesional\b|\bsin ser (?:la persona|su|el)\b"
)  # fmt: skip
_ASKED_OF_READERS = re.compile(
    r"\b(?:delete|destroy|erase|bin|remove|shred|discard)(?: and (?:delete|destroy|bin|erase))? (?:it|this|them|all copies|any copies|the (?:message|e-?mail|mail|note|copy|original))\b|\bdo not share its content\b|\b(?:let|tell|ring|notify|inform|call) (?:us|the sender)(?: know)?\b|\bcop(?:y|ies)\b|\bplease\b|\bkindly\b|\bprivate\b|"
    r"\b(?:vernichten|löschen) sie (?:diese|die|sie)\b|\bvernichtung\b|\bbitte löschen\W*$|\bbitten wir\b|\bbitte\b|\bgeben sie uns bescheid\b|\bkopien?\b|"
    r"\b(?:détruisez|supprimez|effacez|jetez|oubliez)-l[ea]\b|\bl[ea] (?:supprimer|détruire|effacer)\b|\bmerci de\b|\bprévenez-nous\b|\bcopies?\b|"
    r"\b(?:destrúy|bórr|elimín)\w+l[oa]\b|\bborrarlo\b|\bdestruirlo\b|\bavísenos\b|\bcopias?\b"
)  # fmt: skip
_OF_A_REQUEST = any_of(
    r"\bplease (?!see|read|refer|note|visit|find|consult|click|check|review|contact)|\b(?:her|his|she|he|undersigned|hereby|herewith)\b|\bby this letter\b|\b(?:such|this is) a\b|\bon behalf\b|\bthis (?:letter|mail|e-?mail) does\b|"
    r"\bask you to\b|\bwe (?:\w+ ){0,2}?(?:ask|request|demand|object|withdraw|revoke|want|would|insist|require|exercise|expect|need|urge|wish|refuse|decline|never|did|didn't|instruct|seek|do not|don't|cannot|were|was|have not)\b|"
    r"\b(?:must|has to|have to|needs? to|should|shall|ought to|(?:is|are) to) (?:\w+ ){0,2}be (?:\w+ )?(?:delet|eras|remov|destroy|taken|correct|stopp|wip|forgot|purg|rectif)|"
    r"^\W*(?:may|can|shall|do) we\b|:\W*(?:no|yes|nein|ja|non|oui|sí)\W*$|^(?:\W*(?:and|so|then|kindly|just|now|also)\b)*\W*(?:delete|erase|remove|wipe|stop|send|confirm|correct|forget|cancel|take|tell|give|provide|destroy|purge|close|cease|withdraw|get rid|put|make|no longer|consent withdrawn|request for|objection|erasure of|(?:data )?subject access)\b|(?<!\ba )(?<!\bthe )(?<!\byour )\brequest for (?:the )?(?:erasure|deletion|removal)\b|\bconsent withdrawn\b|(?<!\ba )(?<!\ba data )\b(?:data )?subject access request\b|"
    r"(?:[;:,.] |\band |\bso |\bbut |\bthen )(?:kindly )?(?:delete|erase|remove|wipe|stop|send|confirm|cease|purge|destroy|forget|give|hand over) (?:the|all|any|it|this|that|every\w*|whatever|us|them)\b|[;:.] have (?:it|them|this|that|the)\b|"
    r"\byou (?:\w+ )??(?:still |also |currently |have |had |may not |must not |should not |no longer )*(?:hold|keep|store|process|collect|retain|sell|sold|shared|stored|kept|held|collected|processed|lost|leaked)\b|\byou may not\b|"
    r"\byour (?:website|site|company|firm|staff|database|systems?|servers?|records|files?|end|organisation|organization|side|list|privacy (?:policy|notice|statement|officer|team))\b|\babout (?:us|our|them)\b|\bof ours\b|"
    r"\bour (?:\w+ )?(?:client(?! data| information| details)|(?:former|late) |daughter|son|mother|father|children|employee|staff|account|consent|data(?! protection| retention)|personal|address(?! )|name|rights)\b|\b(?:the late|mr|mrs|ms|jane|john)\b|"
    r"\bwir (?:\w+ ){0,2}?(?:bitten|fordern|verlangen|widersprechen|widerrufen|beantragen|möchten|wollen|wünschen|erwarten|ersuchen|machen|haben)\b|\b(?:bitten|fordern|verlangen|widersprechen|widerrufen|beantragen|machen|möchten|wollen) wir\b|"
    r"\bbitte (?!beachten|lesen|entnehmen|sehen|finden|wenden)|\b(?:löschen|entfernen|senden|nehmen|streichen|berichtigen|stoppen|unterlassen|teilen|geben) sie (?!bescheid|uns bescheid)|\bzu (?:löschen|entfernen|berichtigen|vernichten|sperren)\b|"
    r"\b(?:müssen|muss|sollen|soll|sollten)\b.{0,60}\b(?:gelöscht|entfernt|verschwinden|vernichtet|berichtigt)\b|^\W*antrag\b|^\W*widerspruch (?:gegen|nach)\b|\bhiermit\b|\bmandant\w*|\bunsere[rnms]? (?!webseite|website|datenschutz|homepage|internetseite|seite|büro|beauftragt|adresse|verein|praxis|kanzlei)\w+|\bgeltend\b|\bim namen\b|\bfür (?:die )?familie\b|\bverstorben\w*|\bkein\w* recht\b|"
    r"\bsie (?:speichern|verarbeiten|führen|besitzen|halten|haben\b.{0,100}\bgespeichert|geben\b.{0,80}\bweiter)\b|"
    r"\bveuillez (?!consulter|lire|noter|trouver|vous référer|cliquer)|\bnous (?:vous )?(?:demandons|prions|exigeons|souhaitons|voulons|retirons|refusons|nous opposons|sollicitons|révoquons|exerçons|saurions|n)\b|\bil faut\b|\bdoi(?:t|vent|vez)\b|\bsoi(?:en)?t (?:effac|supprim|détruit)\w*|"
    r"^\W*(?:demande|opposition|retrait|suppression|requête) (?:d|de|au|à|du)\b|^\W*demande d|\b(?:supprimez|effacez|retirez|cessez|envoyez|corrigez|arrêtez|rectifiez)\b(?!-l)|\bnotre (?:client\w*|fils|fille|mère|père|adhérent\w*|salari\w*|compte|famille)\b|\bnos (?:données|droits)\b|\bla famille\b|"
    r"\bvous (?:conservez|détenez|traitez|gardez|avez (?:encore|toujours|vendu|transmis|donné|partagé))\b|\bpar la présente\b|\bà (?:corriger|supprimer|effacer|rectifier|retirer)\b|\bchez vous\b|\bau nom d|\bpour le compte\b|"
    r"\b(?:por favor(?!,? (?:lea|consulte|visite))|rogamos|solicitamos|pedimos|exigimos|retiramos|queremos|deseamos|revocamos|nos oponemos|retiro|revoco|ejerzo|ejercito|invoco|solicito|exijo|pido|quiero|formulo|reclamo|requiero|me opongo|deseo|necesito|quisiera|ruego|insto|ejercemos|instamos)\b|\bdeben\b|\bdebe (?:ser|eliminar|borrar|suprimir)\b|\btienen que\b|\bhay que\b|^\W*(?:solicitud|petición|oposición|retirada|revocación) (?:de|del|al)\b|"
    r"(?<!que se )\b(?:eliminen|borren|supriman|quiten|retiren|envíen|dejen)\b|\bnuestr[oa]s? (?:client|padre|madre|hij|trabajador|datos|derechos|cuenta|consentimiento|familia)\w*|\b(?:conservan|guardan|tratan|venden) (?:ustedes|los|sus|todav)|\ben nombre de\b|\b(?:de la señora|del señor|de la familia)\b|\bfallecid\w+|\bno (?:puede|pueden) \w+ (?:los|sus|nuestr)\w*|"
    r"\b(?:says?|said|states?|claims?|promise[sd]?|steht|sagt|dit|dice)\b|"
    r"\b(?:usun\w+|chc\w+|verwijder\w*|alstublieft|mijn|moj\w+|moich|cancellare|radera|apag\w+)\b"
)  # fmt: skip
_LINK = re.compile(
    r"\W*(?:(?:do not|don't) sell(?: or share)? my (?:personal )?info(?:rmation)?|unsubscribe from [\w ]{1,30})\W*"
)
_CALL = re.compile(
    r"\b(?:click|clic|klick\w*|mausklick|pulse|tap|answer|reply|respond\w*|antwort\w*|melden sie sich|abmeld\w+|répond\w+|contest\w+|suffit|genügt)\b"
)
_OPENER = re.compile(
    r"\W*(?:don't want|do not want|no longer (?:want|interested)|not interested|want to stop|tired of|opened by accident|(?:newsletter|werbung) nicht mehr|keine werbung|sie (?:wollen|möchten) keine|vous ne (?:voulez|souhaitez) plus|¿?no (?:quiere|desea|quieres)|¿?ya no)\b.{0,60}\?$"
)
_TOPIC = any_of(
    r"daten|angaben|adress|coordonn|informat|informaci|enquir|inquir|record|details|droits|recht|rights|derech|tratamiento|traitement|fichero|fichier|réclam|reclam|unsubscri|abmeld|werbung|désabonn|désinscri|\bbaja\b|\bstopp?\b|choices|mails?\b|preferences|newsletter|boletín|notice"
)
_END_OR_BAR = re.compile(rf"{SENTENCE_END}|()[ \t]+\|[ \t]+")
_MAX_SENTENCES = 40
_MAX_PENDING = 4
_MAX_LINK = 70
_LONG_LINE = 800
_MAX_PASSED_WORDS = 8


class _Part(NamedTuple):
    """A sentence, and the number of its line."""

    line: int
    text: str


def without_notices(text: str) -> str:
    """The text without the notices at its end; the text itself if fewer than three words were left."""
    lines = text.split("\n")
    seen: list[_Part] = []  # from the last one on
    gone: set[int] = set()
    pending: list[int] = []
    parts = _from_the_end(lines)
    for part in parts:
        place = len(seen)
        seen.append(part)
        kind = _kind(part.text)
        if kind == "link":  # the words of a request too: only beside another part of a notice
            is_before = place - 1 in gone and seen[place - 1].line == part.line
            kind = "notice" if is_before or _is_after_notice(lines, part) else "own"
        if kind == "opener" and pending[-1:] == [place - 1] and _kind(seen[place - 1].text) == "part":
            gone.add(pending.pop())
        if kind == "notice" or (kind == "opener" and place - 1 in gone):
            gone.add(place)
            gone.update(one for one in pending if seen[one].line == part.line and _kind(seen[one].text) != "short")
            pending = []
        elif kind in ("own", "opener") or len(pending) >= _MAX_PENDING:
            break
        elif kind == "short" or gone or (kind == "part" and not pending):
            pending.append(place)
        else:
            break
    if not gone:
        return text
    seen.extend(one for one in parts if one.line >= seen[-1].line)  # the rest of a line
    touched = {seen[place].line for place in gone}
    kept = lines[: min(touched)]
    for number in range(min(touched), len(lines)):
        if number not in touched:
            kept.append(lines[number])
        elif left := [one.text for place, one in enumerate(seen) if one.line == number and place not in gone]:
            kept.append(" ".join(reversed(left)))
    rest = "\n".join(kept)
    return rest if count(rest, 3) >= 3 else text


def _from_the_end(lines: list[str]) -> Iterator[_Part]:
    left = _MAX_SENTENCES
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].strip():
            for sentence in _sentences_from_the_end(lines[number]):
                yield _Part(number, sentence)
                left -= 1
        if left <= 0:
            return


def _sentences_from_the_end(line: str) -> Iterator[str]:
    """The sentences of a line; mostly only the last is asked for, so that a long line is not split as a whole."""
    if len(line) > _LONG_LINE and (begin := line.find(" ", len(line) - _LONG_LINE // 2)) > 0:
        first, *others = _parts(line[begin:])
        if others:
            yield from reversed(others)
            line = line[:begin] + first
    yield from reversed(_parts(line))


def _parts(line: str) -> list[str]:
    """The sentences of a line, and of a row what is between its bars."""
    return sentences(line, _END_OR_BAR) if "|" in line else sentences(line)


def _is_after_notice(lines: list[str], part: _Part) -> bool:
    before = lines[part.line][: lines[part.line].rfind(part.text)].rstrip(" |\t")
    return bool(before) and _kind(_parts(before)[-1]) == "notice"


def is_of_a_request(lower: str) -> bool:
    """Whether a lower-case sentence has the perspective of somebody whose data it is, or asks for something."""
    return _OF_A_REQUEST.search(lower) is not None


@functools.lru_cache(maxsize=1_024)  # the same footers come again and again
def _kind(sentence: str) -> str:
    """What a sentence is.

    Returns:
        "notice"; "link" for one of a row of links; "opener" for a question that one begins with; "part" for what may be of one, if it stands between two;
        "short" for one that says nothing of data; "own" for the customer's words.
    """
    lower = sentence.lower().replace("’", "'").strip(" \t*_#>|")
    if len(lower) > MAX_SENTENCE:
        return "own"
    if "?" in lower:
        return "opener" if _OPENER.match(lower) else "own"
    if len(lower) <= _MAX_LINK and _LINK.fullmatch(lower):
        return "link"
    if speaks_of_self(lower):
        return "short" if _is_short(lower) and not _has_topic(lower) else "own"
    found = stems.found(lower)
    if stems.NOTICES.isdisjoint(found) and stems.READERS.isdisjoint(found):
        return "short"
    if (
        not stems.READERS.isdisjoint(found)
        and _OF_READERS.search(lower)
        and not may_ask(_ASKED_OF_READERS.sub(" ", lower))
    ):
        return "notice"
    has_topic = _has_topic(lower)
    if _OF_A_REQUEST.search(lower):
        return "short" if _is_short(lower) and not has_topic else "own"
    if _REGISTER.search(lower) or (has_topic and _ISSUER.search(lower)):
        return "notice"
    return "part" if not _is_short(lower) and (has_topic or _CALL.search(lower)) else "short"


def _is_short(lower: str) -> bool:
    return count(lower, _MAX_PASSED_WORDS) < (5 if lower[-1:] in ".!" else _MAX_PASSED_WORDS)


def _has_topic(lower: str) -> bool:
    return may_ask(lower) or _TOPIC.search(lower) is not None
