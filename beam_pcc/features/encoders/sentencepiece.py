"""Makes a tokenizer.json of a SentencePiece model as XLM-RoBERTa publishes it, for weights without a tokenizer.json.

Reads the file's protocol buffer by itself, since the few fields need no generated code.
"""

from __future__ import annotations

import functools
from typing import Any

FILE = "sentencepiece.bpe.model"
_UNIGRAM = 1
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # XLM-RoBERTa's first numbers; SentencePiece's own three are not used
_OWN = 3  # <unk>, <s>, </s> are SentencePiece's first pieces
_MASK = "<mask>"  # the last number


class SentencePieceError(ValueError):
    """The file is no SentencePiece model of this kind."""


def tokenizer(data: bytes) -> bytes:
    """The tokenizer.json of a SentencePiece model, with the numbers of XLM-RoBERTa. Raises SentencePieceError."""
    from google.protobuf.message import DecodeError
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    model = _message_class()()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise SentencePieceError(f"{FILE} is no SentencePiece model") from None
    if model.trainer_spec.model_type != _UNIGRAM:
        raise SentencePieceError(f"{FILE} is no Unigram model")
    if not model.HasField("normalizer_spec"):  # the last field: a file that was cut there would be a sound message
        raise SentencePieceError(f"{FILE} is cut off")
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    if [piece for piece, _ in pieces[:_OWN]] != ["<unk>", "<s>", "</s>"]:
        raise SentencePieceError(f"{FILE} does not begin with <unk>, <s>, </s> as XLM-RoBERTa's; save tokenizer.json")
    vocabulary = [*((special, 0.0) for special in _SPECIAL), *pieces[_OWN:], (_MASK, 0.0)]
    made = Tokenizer(models.Unigram(vocabulary, unk_id=_SPECIAL.index("<unk>"), byte_fallback=False))
    steps: list[Any] = [normalizers.Replace(Regex(" {2,}"), " ")]
    if model.normalizer_spec.precompiled_charsmap:
        steps.insert(0, normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap))
    made.normalizer = normalizers.Sequence(steps)
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    made.add_special_tokens([*_SPECIAL, _MASK])
    ends = [(name, _SPECIAL.index(name)) for name in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair=None, special_tokens=ends)
    return made.to_str().encode()


@functools.cache
def _message_class() -> Any:
    """The message ModelProto, with the fields that are read."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="beam_pcc_sentencepiece.proto", package="beam_pcc.sentencepiece")

    def message(name: str, *fields: tuple[str, int, int, str | None]) -> None:
        declared = file.message_type.add(name=name)
        for field_name, number, kind, of in fields:
            repeated = field_name == "pieces"
            declared.field.add(
                name=field_name,
                number=number,
                type=kind,
                type_name=of and f".{file.package}.{of}",
                label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL,
            )

    message("Piece", ("piece", 1, field.TYPE_STRING, None), ("score", 2, field.TYPE_FLOAT, None))
    message("Trainer", ("model_type", 3, field.TYPE_INT32, None))
    message("Normalizer", ("precompiled_charsmap", 2, field.TYPE_BYTES, None))
    message(
        "Model",
        ("pieces", 1, field.TYPE_MESSAGE, "Piece"),
        ("trainer_spec", 2, field.TYPE_MESSAGE, "Trainer"),
        ("normalizer_spec", 3, field.TYPE_MESSAGE, "Normalizer"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.Model"))
