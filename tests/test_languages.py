"""The language of a message: told offline, else `unknown`, and marked where the model does not know it."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.features import languages

DATA = Path(__file__).parents[1] / "data"
MESSAGES = {
    "cs": "Prosím o smazání mého účtu a všech osobních údajů.",
    "da": "Slet venligst min konto og alle mine personoplysninger.",
    "de": "Bitte löschen Sie mein Konto und alle meine Daten.",
    "en": "Please delete my account and all of my personal data.",
    "es": "Por favor, eliminen mi cuenta y todos mis datos personales.",
    "fi": "Poistakaa tilini ja kaikki henkilötietoni.",
    "fr": "Merci de supprimer mon compte et toutes mes données personnelles.",
    "it": "Il mio pacco non è ancora arrivato, dove si trova?",
    "ja": "私のアカウントと個人情報をすべて削除してください。",
    "nl": "Er is twee keer betaald voor dezelfde bestelling.",
    "pl": "Proszę o usunięcie konta i wszystkich moich danych.",
    "pt": "A minha encomenda ainda não chegou, onde está?",
    "sv": "Jag har debiterats två gånger för samma order.",
    "tr": "Siparişim henüz gelmedi, şu anda nerede?",
    "zh": "请删除我的账户和所有个人数据。",
}


@pytest.mark.parametrize(("language", "text"), MESSAGES.items())
def test_language_is_told(language: str, text: str) -> None:
    assert languages.detect([text]) == [language]


@pytest.mark.parametrize(
    "text",
    ["", "ok", "thanks!", "12345 67890 #### 10:02", "https://example.com/die/das/der/und", "[NAME] [EMAIL_ADDRESS]"],
)
def test_language_of_next_to_nothing_is_unknown(text: str) -> None:
    assert languages.detect([text]) == [languages.UNKNOWN]


def test_capitals_are_no_other_language() -> None:
    assert languages.detect([text.upper() for text in MESSAGES.values()]) == list(MESSAGES)


def test_addresses_and_placeholders_do_not_count() -> None:
    around = "[PERSON_NAME] <EMAIL_ADDRESS> https://example.com/your/account/and/all/of/the/things a.b@example.com "
    assert languages.detect([around + MESSAGES["pl"]]) == ["pl"]


def test_each_text_has_the_language_at_its_place() -> None:
    assert languages.detect(list(MESSAGES.values())) == list(MESSAGES)


@settings(deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec=None), max_size=60), max_size=5))
def test_any_text_has_a_language(texts: list[str]) -> None:
    told = languages.detect(texts)
    assert len(told) == len(texts)
    assert all(language.isascii() and language for language in told)


def test_shares_are_in_order_and_sum_to_one() -> None:
    assert languages.shares(["de", "en", "en", "unknown"]) == {"en": 0.5, "de": 0.25, "unknown": 0.25}
    assert list(languages.shares(["de", "en", "en"])) == ["en", "de"]


def test_shares_of_nothing_are_empty() -> None:
    assert languages.shares([]) == {}


def test_languages_not_in_training_are_marked() -> None:
    trained = {"en": 0.7, "de": 0.29, "it": 0.0003}
    assert languages.untrained(["en", "pl", "it", "unknown", "de"], trained) == [None, "pl", "it", None, None]


def test_model_without_languages_marks_nothing() -> None:
    assert languages.untrained(["en", "pl"], None) == [None, None]


def _languages_of(folder: str) -> Counter[str]:
    lines = [line for path in (DATA / folder).glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    return Counter(json.loads(line)["lang"] for line in lines)


def test_starter_model_marks_languages_of_few_messages() -> None:
    """A few messages in a language help, but not enough to trust its labels without a look."""
    counts = _languages_of("messages")
    few = sorted(counts.keys() - {"en", "de", "fr", "es"})
    assert few == ["it", "ja", "nl", "pl", "pt", "sv"]
    assert languages.untrained(few, languages.shares(counts)) == few


def test_evaluation_has_languages_that_no_training_message_is_in() -> None:
    assert _languages_of("evaluation").keys() - _languages_of("messages").keys() == {"cs", "da", "fi", "ro", "tr"}
