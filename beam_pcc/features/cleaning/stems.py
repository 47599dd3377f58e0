"""The words that the patterns of other modules need, by their first six characters: which of them a text has, in one pass.

A text without any of them is not examined further, as most are.
"""

from __future__ import annotations

LENGTH = 6
"""Characters. A shorter stem is a whole word."""

_MARKS = "'’([{<*_\"“”„«»|•>/#.,:;!?)]"
"""They stand before and after words."""

FURNITURE = frozenset(
    "confid privil intend propri recipi addres error mistak errone unsubs receiv privac protec person data extern outsid cautio warnin © copyri reserv virus virus- virenf viren print printi "
    "prefer regist browse opinio views often click attach opt gdpr sender prohib forbid right rights unauth consen agree accept acknow hope trust finds advanc effort attent patien coope cooper submit tickin ticket reques "
    "vertra empfän adress irrtüm verseh datens dsgvo abmeld abbest außerh ausser umwelt drucke druck ausdru person erhalt geschä amtsge hrb einge eingeg klicke unters gestat verbot absend vorbeh zulä unzulä "
    "einver akzept stimme willig einwil kenntn gelese hoffe hoffen voraus mühe unters geprüf unterl "
    "destin erreur désabo désins donnée extéri enviro imprim receve recevo dispos bénéfi clique ouvrez interd prohib réserv rgpd expédi exerce vie accept lu autori polit politi avance espère remerc espéro "
    "error equivo baja datos fuera ambien recib recibi recibe clic derech prohib privac reserv dirigi acepto leído autori consie antema espero exteri exteri mensaj correo aviso solici regis "
    "☑ ✔ ✓".split()
)
"""A sentence without any of them is no furniture."""

NOTICES = frozenset(
    "becaus manage beschw object lawful sale enviro reply respon antwor mausk answer melden répond contes suffit genügt pulse withdr permis click anspru suscri recibe mitgli berufs receiv update access data detail inform partic record privac person gdpr ccpa consen right rights erasur deleti delete remove erase wiped unsubs opt stop confid privil addres recipi intend astray wrong reader destro regist vat compan regula author calls archiv dpo contro choice freedo charit "
    "daten angabe kontak dsgvo auskun lösche löschu widers widerr einwil datens verant vertra hände weiter gemein vernic ust-id steuer hrb vorsta geschä abmeld werbun antwor wunsch rechte recht betrof "
    "donnée coordo inform rgpd droits droit consen effac efface suppri suppri retire désabo désins récla réclam respon siret rcs tva capita secret mégard destin erreur réserv stop "
    "datos inform rgpd lopd lopdgd derech supres consen respon recla baja privad secret destin regist cif nif colegi domici borrar elimin protec loi".split()
)
"""Words of notices at the end of a message."""

READERS = frozenset(
    "confid reache wrongl privil privat letter corres inhalt schrei brief unbefu addres recipi intend intent astray wrong mistak error reader passed meant person messag email e-mail mail mails nothin "
    "vertra hände adress empfän postfa gemein weiter gedach zeilen unbefu richte fehlzu geschä nachri schrei "
    "réserv secret mégard erreur destin concer messag courri conten protég "
    "privad secret dirigi destin quien ser usted difusi conten mensaj correo".split()
)
"""Words of notices to a wrong reader."""

POINTERS = frozenset(
    "below beneat attach forwar fwd fyi earlie previo unten unters untens nachfo weiter info zk zkn vorher ci-des dessou ci-apr apres plus transf pour préced précéd preced abajo contin reenv reenvi reenví anteri para zur".split()
)
"""Words that send a reader to what stands below."""

ALL = FURNITURE | NOTICES | READERS | POINTERS

_SPACES = bytes.maketrans(
    "".join(filter(str.isascii, _MARKS)).encode(), b" " * len("".join(filter(str.isascii, _MARKS)))
)
_NOT_ASCII = "".join(mark for mark in _MARKS if not mark.isascii())

_others: set[str] = set()
"""Words that were seen, and have none of the stems: most words of a message."""
_MAX_OTHERS = 50_000
_MAX_WORD = 30


def found(lower: str) -> set[str]:
    """The stems that words of a lower-case text have."""
    if not lower.isascii():
        for mark in _NOT_ASCII:
            if mark in lower:
                lower = lower.replace(mark, " ")
    words = set(lower.encode("utf-8", "surrogatepass").translate(_SPACES).decode("utf-8", "surrogatepass").split())
    stems = set()
    for word in words - _others:
        stem = word[:LENGTH]
        if stem in ALL:
            stems.add(stem)
        elif len(word) <= _MAX_WORD:
            if len(_others) >= _MAX_OTHERS:
                _others.clear()
            _others.add(word)
    return stems
