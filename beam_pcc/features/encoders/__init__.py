"""The encoders of text, which compute 384 values.

Their runtimes (`onnx`, `openvino`, `sentence_transformers`), export and storage.
"""
