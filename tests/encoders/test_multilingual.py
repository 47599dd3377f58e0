"""multilingual-e5-small from its 4-bit weights, against the engine that they are made for. Needs `make encoders`."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from beam_pcc.features.encoders import package, serving
from beam_pcc.features.encoders.package import EncoderRef
from tests.encoders import environment

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("encoders")]

ROOT = Path(__file__).parent.parent.parent
REQUESTS = {
    "ar": "يرجى حذف حسابي وجميع بياناتي الشخصية.",
    "bg": "Моля, изтрийте профила ми и всички мои лични данни.",
    "cs": "Prosím o smazání mého účtu a všech osobních údajů.",
    "da": "Slet venligst min konto og alle mine personoplysninger.",
    "de": "Bitte löschen Sie mein Konto und alle meine Daten.",
    "el": "Διαγράψτε τον λογαριασμό μου και όλα τα προσωπικά μου δεδομένα.",
    "en": "Please delete my account and all of my personal data.",
    "es": "Por favor, eliminen mi cuenta y todos mis datos personales.",
    "et": "Palun kustutage minu konto ja kõik isikuandmed.",
    "fi": "Poistakaa tilini ja kaikki henkilötietoni.",
    "fr": "Merci de supprimer mon compte et toutes mes données personnelles.",
    "he": "אנא מחקו את החשבון שלי ואת כל הנתונים האישיים.",
    "hi": "कृपया मेरा खाता और मेरा सारा निजी डेटा हटा दें।",
    "hr": "Molim izbrišite moj račun i sve moje osobne podatke.",
    "hu": "Kérem, töröljék a fiókomat és minden személyes adatomat.",
    "it": "Vi chiedo di cancellare il mio account e tutti i miei dati.",
    "ja": "私のアカウントと個人情報をすべて削除してください。",
    "ko": "제 계정과 모든 개인 정보를 삭제해 주세요.",
    "lt": "Prašau ištrinti mano paskyrą ir visus asmens duomenis.",
    "nl": "Verwijder mijn account en alle persoonsgegevens alstublieft.",
    "pl": "Proszę o usunięcie konta i wszystkich moich danych.",
    "pt": "Peço a eliminação da minha conta e de todos os meus dados.",
    "ro": "Vă rog să ștergeți contul meu și toate datele personale.",
    "ru": "Пожалуйста, удалите мой аккаунт и все персональные данные.",
    "sv": "Radera mitt konto och alla personuppgifter om mig.",
    "th": "กรุณาลบบัญชีและข้อมูลส่วนบุคคลทั้งหมดของฉัน",
    "tr": "L\u00fctfen hesab\u0131m\u0131 ve tüm kişisel verilerimi silin.",
    "uk": "Будь ласка, видаліть мій обліковий запис.",
    "vi": "Vui lòng xóa tài khoản và mọi dữ liệu cá nhân của tôi.",
    "zh": "请删除我的账户和所有个人数据。",
    "odd": "[NAME] \U0001f600 \uff21\uff22\uff23 Ⅳ\tx　#### 10:02",
}


def messages() -> Iterator[str]:
    """Some of the evaluation set, and a request in each of 30 languages."""
    with (ROOT / "data/evaluation/messages.jsonl").open(encoding="utf-8") as lines:
        yield from [json.loads(line)["text"] for line in lines][::10]
    yield from REQUESTS.values()


def exported() -> str:
    (folder,) = (path for path in environment.encoders("multilingual").iterdir() if path.is_dir())
    return str(folder)


@pytest.fixture(scope="module")
def encoder() -> serving.Encoder:
    environment.require("multilingual")
    address = exported()
    return serving.open_encoder(EncoderRef(address, package.read(address).sha256), "onnx", 2)


def test_vectors_are_those_of_the_engine(encoder: serving.Encoder, tmp_path: Path) -> None:
    texts = list(messages())
    cosine = (encoder.encode(texts) * environment.engine_vectors(texts, tmp_path)).sum(axis=1)
    assert cosine.min() >= 0.999


def test_the_same_request_is_near_in_every_language(encoder: serving.Encoder) -> None:
    """English is nearer to each translation than to another English message."""
    requests = [text for language, text in REQUESTS.items() if language not in ("en", "odd")]
    english, other = encoder.encode([REQUESTS["en"], "The parcel arrived wet and one cup is broken."])
    vectors = encoder.encode(requests)
    assert (vectors @ english > vectors @ other).all()
    assert np.median(vectors @ english - english @ other) > 0.03


def test_its_input_is_that_of_the_published_files() -> None:
    environment.require("multilingual")
    address = exported()
    assert package.Input.from_json(package.read(address).input) == package.Input("query: ", 512)
    assert package.name_of(address) == "multilingual-e5-small"
