"""A SentencePiece model of XLM-RoBERTa's kind becomes a tokenizer that gives SentencePiece's own pieces.

sentencepiece.model has 150 pieces; the expected pieces are what the library sentencepiece 0.2 makes of the texts.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from beam_pcc.errors import ConfigurationError
from beam_pcc.features.encoders import sentencepiece
from beam_pcc.features.encoders.export import export
from tests.encoders import toy

MODEL = (Path(__file__).parent / "sentencepiece.model").read_bytes()


def tokenizer() -> Tokenizer:
    return Tokenizer.from_str(sentencepiece.tokenizer(MODEL).decode())


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("please delete my data", [4, 14, 37, 9, 5, 7, 35, 37, 40, 58, 4, 75, 80]),
        (" two  spaces ", [4, 6, 30, 8, 4, 5, 14, 9, 63, 5]),
        ("delete\tme", [35, 37, 40, 55]),
        ("\uff21 caf\u00e9 \u2163\u00a0x", [4, 132, 124, 34, 41, 33, 3, 4, 118]),
        ("", []),
    ],
)
def test_pieces_are_those_of_sentencepiece(text: str, numbers: list[int]) -> None:
    """Each has the number of SentencePiece and one more, as XLM-RoBERTa has <pad> before them."""
    assert tokenizer().encode(text).ids == [0, *numbers, 2]


def test_unknown_characters_have_its_number() -> None:
    assert tokenizer().encode("\u65e5\u672c \u8a9e").ids == [0, 4, 3, 4, 3, 2]


def test_special_tokens_have_the_numbers_of_xlm_roberta() -> None:
    made = tokenizer()
    pieces = made.get_vocab_size()
    numbers = {name: made.token_to_id(name) for name in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")}
    assert numbers == {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": pieces - 1}


def test_encoder_is_exported_without_tokenizer_json(tmp_path: Path) -> None:
    published = toy.publish(tmp_path / "published", with_weights=toy.weights(words=200))
    (published / "tokenizer.json").unlink()
    (published / sentencepiece.FILE).write_bytes(MODEL)

    made = export(str(published), str(tmp_path / "encoders"))
    assert (Path(made.address) / "tokenizer.json").read_bytes() == sentencepiece.tokenizer(MODEL)


def test_other_sentencepiece_models_are_one_line(tmp_path: Path) -> None:
    published = toy.publish(tmp_path / "published")
    (published / "tokenizer.json").unlink()
    (published / "spiece.model").write_bytes(MODEL)
    with pytest.raises(ConfigurationError, match=r"spiece\.model does not say which number"):
        export(str(published), str(tmp_path / "encoders"))


@given(st.binary(max_size=200))
def test_malformed_models_are_an_error(data: bytes) -> None:
    with pytest.raises(sentencepiece.SentencePieceError):
        sentencepiece.tokenizer(data)


def test_model_cut_at_any_place_is_an_error() -> None:
    for length in range(len(MODEL)):
        with pytest.raises(sentencepiece.SentencePieceError):
            sentencepiece.tokenizer(MODEL[:length])
