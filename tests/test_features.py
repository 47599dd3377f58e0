"""Text to vectors: the same for training and scoring, whatever the text."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.cases import content, faults, schemas
from beam_pcc.errors import ModelError, RunError
from beam_pcc.errors.bisecting import FAILURES
from beam_pcc.features import cleaning, tfidf
from beam_pcc.features import featurizer as features
from beam_pcc.features.encoders.export import export
from beam_pcc.features.encoders.package import EncoderRef
from beam_pcc.features.featurizer import Features, Featurizer, Runtime, embed_bisecting, featurize, slices
from beam_pcc.features.windows import WindowLimits
from tests.encoders import toy
from tests.inputs import TIME
from tests.messages import HOSTILE, SECRET, any_text, labelled_messages, long_messages

TEXTS, LABELS = labelled_messages(120)
TERMS = tfidf.fit(TEXTS, LABELS, analyzer="char_wb", ngrams=(3, 5))


@pytest.fixture(scope="module")
def featurizer(tmp_path_factory: pytest.TempPathFactory) -> Featurizer:
    folder = tmp_path_factory.mktemp("encoder")
    made = export(str(toy.publish(folder / "published")), str(folder / "encoders"))
    terms = tfidf.fit(TEXTS, LABELS, analyzer="char_wb", ngrams=(3, 5))
    return Featurizer(
        EncoderRef(made.address, made.sha256), Features(made.sha256, terms, cleaning.VERSION), Runtime("onnx", 1)
    )


def batch(texts: list[str]) -> pa.RecordBatch:
    columns = [
        pa.array([f"c{i}" for i in range(len(texts))], pa.string()),
        pa.array(texts, pa.string()),
        pa.array([TIME] * len(texts), pa.timestamp("us", "UTC")),
        content.of_texts(pa.array(texts, pa.string())),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schemas.TEXTS)


def test_vector_is_embedding_then_tfidf(featurizer: Featurizer) -> None:
    vectors, cleaned = featurizer.vectors(TEXTS), featurizer.clean(TEXTS)

    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), schemas.VECTOR_DIM), np.float32)
    np.testing.assert_array_equal(vectors[:, schemas.BLOCKS["embedding"]], featurizer.embed(cleaned))
    expected = featurizer.features.tfidf.vectorizer().transform(cleaned).toarray().astype(np.float32)
    np.testing.assert_array_equal(vectors[:, schemas.BLOCKS["tfidf"]], expected)


def test_pickled_featurizer_gives_the_same_vectors(featurizer: Featurizer) -> None:
    copied = pickle.loads(pickle.dumps(featurizer))
    again = Features.from_json(json.loads(json.dumps(featurizer.features.to_json())))

    assert copied.features == again
    np.testing.assert_array_equal(copied.vectors(TEXTS), featurizer.vectors(TEXTS))
    assert len(pickle.dumps(featurizer)) < 20_000  # the encoder itself does not travel


def test_features_without_cleaning_are_of_version_0(featurizer: Featurizer) -> None:
    older = {name: value for name, value in featurizer.features.to_json().items() if name != "cleaning"}

    assert Features.from_json(older).cleaning == 0


def test_cleaning_of_a_later_release_is_refused(featurizer: Featurizer) -> None:
    later = {**featurizer.features.to_json(), "cleaning": cleaning.VERSION + 1}

    with pytest.raises(ValueError, match="cleaning 2 is not known to this release"):
        Features.from_json(later)


def test_both_halves_are_of_the_cleaned_text(featurizer: Featurizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "clean", lambda texts, version: ["where is my parcel"] * len(texts))

    cases, _ = featurize(batch(TEXTS[:1]), featurizer)
    cleaned = ["where is my parcel"]
    expected = features.join(featurizer.embed(cleaned), featurizer.features.tfidf, cleaned)
    np.testing.assert_array_equal(schemas.vectors_of(cases), expected)


def test_a_text_is_cleaned_once(featurizer: Featurizer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    real = cleaning.clean

    def count(texts: list[str], version: int) -> list[str]:
        calls.append((len(texts), version))
        return real(texts, version)

    monkeypatch.setattr(cleaning, "clean", count)
    terms = tfidf.fit(TEXTS, LABELS, analyzer="word", ngrams=(1, 2))
    shadow = Featurizer(featurizer.encoder, replace(featurizer.features, tfidf=terms), featurizer.runtime)
    featurize(batch(TEXTS), replace(featurizer, shadow=shadow))

    assert calls == [(len(TEXTS), cleaning.VERSION)]


@pytest.mark.parametrize("versions", [(0, cleaning.VERSION), (cleaning.VERSION, 0)])
def test_a_shadow_of_another_cleaning_has_its_own_texts(featurizer: Featurizer, versions: tuple[int, int]) -> None:
    first, second = (replace(featurizer, features=replace(featurizer.features, cleaning=one)) for one in versions)
    messages = [f"{text}\n\nSent from my iPhone" for text in TEXTS[:5]]
    cases, _ = featurize(batch(messages), replace(first, shadow=second))

    np.testing.assert_array_equal(schemas.vectors_of(cases), first.vectors(messages))
    np.testing.assert_array_equal(schemas.vectors_of(cases, schemas.SHADOW_VECTOR), second.vectors(messages))


def test_a_batch_keeps_its_ids_and_times(featurizer: Featurizer) -> None:
    cases, rejected = featurize(batch(TEXTS), featurizer)

    assert cases.select(schemas.CASES.names).schema.equals(schemas.CASES)
    assert cases.column("case_id").to_pylist() == [f"c{i}" for i in range(len(TEXTS))]
    np.testing.assert_array_equal(schemas.vectors_of(cases), featurizer.vectors(TEXTS))
    assert rejected.num_rows == 0


@settings(max_examples=60)
@given(texts=st.lists(any_text, max_size=4))
def test_any_text_is_scored_or_rejected_with_a_reason(featurizer: Featurizer, texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    cases, rejected = featurize(batch(texts), featurizer)

    assert cases.num_rows + rejected.num_rows == len(texts)
    assert np.isfinite(schemas.vectors_of(cases)).all()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_have_vectors(featurizer: Featurizer, text: str) -> None:
    cases, _ = featurize(batch([text]), featurizer)
    assert cases.num_rows == 1


def test_text_that_cannot_be_encoded_is_not_quoted(featurizer: Featurizer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Featurizer.embed

    def choke(self: Featurizer, texts: list[str]) -> np.ndarray:
        if any(SECRET in text for text in texts):
            raise RuntimeError(f"cannot encode {texts}")
        return real(self, texts)

    monkeypatch.setattr(Featurizer, "embed", choke)
    texts = [*TEXTS[:5], SECRET, *TEXTS[5:9]]
    cases, rejected = featurize(batch(texts), featurizer)

    assert cases.column("case_id").to_pylist() == [f"c{i}" for i in range(10) if i != 5]
    np.testing.assert_allclose(schemas.vectors_of(cases), featurizer.vectors(TEXTS[:9]), atol=2e-6)
    (row,) = rejected.to_pylist()
    assert (row["case_id"], row["reason"]) == ("c5", faults.MODEL_ERROR.code)
    assert row["detail"] == "the text could not be made a vector (RuntimeError)"


def test_missing_encoder_rejects_no_text(featurizer: Featurizer, tmp_path: Path) -> None:
    lost = Featurizer(EncoderRef(str(tmp_path / "none"), "0" * 64), featurizer.features)
    with pytest.raises(ModelError, match=r"holds no model\.onnx"):
        embed_bisecting(lost, TEXTS)


def test_encoder_that_fails_on_every_text_is_the_cause(featurizer: Featurizer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(_: Featurizer, texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        raise RuntimeError(f"cannot encode {texts}")

    monkeypatch.setattr(Featurizer, "embed", fail)
    address = featurizer.encoder.address
    with pytest.raises(RunError, match=rf"^the encoder {address} fails on every text \(RuntimeError\): make it again"):
        embed_bisecting(featurizer, [SECRET] * 2_000)
    assert len(calls) < 4 * FAILURES


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("bad allocation"), OSError(5, "x")], ids=repr)
def test_fault_of_the_machine_rejects_no_text(
    featurizer: Featurizer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Featurizer, "embed", fail)
    with pytest.raises(type(error)):
        embed_bisecting(featurizer, TEXTS)


def test_text_beyond_100_000_characters_is_ignored(featurizer: Featurizer) -> None:
    text = "delete my data " * 7_000
    assert len(text) > features.MAX_CHARACTERS
    np.testing.assert_array_equal(
        featurizer.vectors([text]), featurizer.vectors([text[: features.MAX_CHARACTERS] + "where is the parcel"])
    )


def test_a_shadow_gets_vectors_of_its_own_terms(featurizer: Featurizer) -> None:
    terms = tfidf.fit(TEXTS, LABELS, analyzer="word", ngrams=(1, 2))
    shadow = Featurizer(featurizer.encoder, Features(featurizer.encoder.sha256, terms), featurizer.runtime)
    both = Featurizer(featurizer.encoder, featurizer.features, featurizer.runtime, shadow)
    cases, _ = featurize(batch(TEXTS), both)

    np.testing.assert_array_equal(schemas.vectors_of(cases), featurizer.vectors(TEXTS))
    np.testing.assert_array_equal(schemas.vectors_of(cases, schemas.SHADOW_VECTOR), shadow.vectors(TEXTS))


@pytest.fixture
def splitting(featurizer: Featurizer) -> Featurizer:
    return replace(featurizer, features=replace(featurizer.features, windows=WindowLimits()))


def test_long_messages_have_windows_and_short_ones_do_not(featurizer: Featurizer, splitting: Featurizer) -> None:
    long = long_messages(3)
    cases, _ = featurize(batch([TEXTS[0], *long, TEXTS[1]]), splitting)
    vectors, counts, places = schemas.windows_of(cases)
    windows = splitting.split(splitting.clean(long))

    assert counts.tolist() == [1, *windows.counts, 1]
    np.testing.assert_allclose(vectors[1:-1], featurizer.vectors(windows.texts), atol=1e-5)
    np.testing.assert_allclose(vectors[[0, -1]], featurizer.vectors(TEXTS[:2]), atol=1e-5)
    assert places[0] is places[-1] is None
    assert places[1].startswith("sentences 1-")


def test_batch_of_short_messages_has_no_column_of_windows(splitting: Featurizer) -> None:
    assert schemas.WINDOWS not in featurize(batch(TEXTS), splitting)[0].schema.names


@pytest.mark.parametrize("own", ["windows", "whole"])
def test_a_shadow_has_windows_of_its_own(featurizer: Featurizer, splitting: Featurizer, own: str) -> None:
    first, second = (splitting, featurizer) if own == "windows" else (featurizer, splitting)
    long = long_messages(3)
    cases, _ = featurize(batch(long), replace(first, shadow=second))
    split = splitting.split(splitting.clean(long))
    name, vector = (schemas.WINDOWS, "vector") if own == "windows" else (schemas.SHADOW_WINDOWS, schemas.SHADOW_VECTOR)
    other = schemas.SHADOW_VECTOR if own == "windows" else "vector"

    assert {schemas.WINDOWS, schemas.SHADOW_WINDOWS} & set(cases.schema.names) == {name}
    assert schemas.windows_of(cases, vector, name)[1].tolist() == split.counts.tolist()
    np.testing.assert_allclose(schemas.vectors_of(cases, other), featurizer.vectors(long), atol=1e-5)


def test_shadow_with_another_discount_shares_the_vectors(splitting: Featurizer) -> None:
    windows = WindowLimits(discount=1.5)
    other = replace(splitting, features=replace(splitting.features, windows=windows))
    assert replace(splitting, shadow=other).shares_embeddings()
    fewer = replace(splitting, features=replace(splitting.features, windows=WindowLimits(most=8)))
    assert not replace(splitting, shadow=fewer).shares_embeddings()


def test_message_of_which_a_window_fails_is_rejected(splitting: Featurizer, monkeypatch: pytest.MonkeyPatch) -> None:
    long = long_messages(2)
    embed = Featurizer.embed

    def fail(self: Featurizer, texts: list[str]) -> np.ndarray:
        if any("erase my records" in text for text in texts):
            raise ValueError(SECRET)
        return embed(self, texts)

    monkeypatch.setattr(Featurizer, "embed", fail)
    cases, rejected = featurize(batch([*long, TEXTS[0]]), splitting)
    assert cases.column("case_id").to_pylist() == ["c1", "c2"]
    assert schemas.windows_of(cases)[1].tolist() == [*splitting.split(splitting.clean(long[1:])).counts, 1]
    assert rejected.column("case_id").to_pylist() == ["c0"]
    assert SECRET not in rejected.column("detail")[0].as_py()


@pytest.mark.parametrize("lengths", [[30_000] * 300, [10, 30_000, 500] * 200, [30_000], [150] * 2_000])
def test_parts_of_long_messages_have_few_windows(lengths: list[int]) -> None:
    texts = batch([("delete it. " * 3_000)[:length] for length in lengths])
    featurizer = Featurizer(EncoderRef("none", "0" * 64), Features("0" * 64, TERMS, 0, WindowLimits()))
    parts = list(slices(texts, featurizer))
    assert pa.Table.from_batches(parts) == pa.Table.from_batches([texts])
    for part in parts:
        split = featurizer.split(part.column("text").to_pylist())
        assert len(split.windows) <= features.MAX_BATCH_WINDOWS


def test_texts_of_a_model_without_windows_stay_one_batch(featurizer: Featurizer) -> None:
    texts = batch(["x" * 100_000] * 3)
    assert [part.num_rows for part in slices(texts, featurizer)] == [3]


def test_features_without_windows_are_those_of_an_older_model(splitting: Featurizer) -> None:
    written = splitting.features.to_json()
    assert Features.from_json(json.loads(json.dumps(written))) == splitting.features
    del written["windows"]
    assert Features.from_json(written).windows is None


def test_cases_of_messages_have_their_language(featurizer: Featurizer) -> None:
    cases, _ = featurize(
        batch(["Please delete my account and all of my data.", "Bitte löschen Sie mein Konto.", "ok"]), featurizer
    )
    assert cases.column(schemas.LANGUAGE).to_pylist() == ["en", "de", "unknown"]


def test_languages_of_the_training_survive_metadata(featurizer: Featurizer) -> None:
    trained = replace(featurizer.features, languages={"en": 0.9, "de": 0.1})
    assert Features.from_json(json.loads(json.dumps(trained.to_json()))) == trained


def test_metadata_of_earlier_versions_has_no_languages(featurizer: Featurizer) -> None:
    assert "languages" not in featurizer.features.to_json()
    assert Features.from_json(featurizer.features.to_json()).languages is None


def test_message_that_cleaning_fails_on_costs_its_batch_nothing(
    featurizer: Featurizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cleaning.encodings.decode

    def broken(text: str) -> str:
        if SECRET in text:
            raise RuntimeError(SECRET)
        return real(text)

    monkeypatch.setattr(cleaning.encodings, "decode", broken)
    cases, rejected = featurize(batch(["Hello there", SECRET, "Where is it?"]), featurizer)

    assert cases.column("case_id").to_pylist() == ["c0", "c1", "c2"]
    assert rejected.num_rows == 0
