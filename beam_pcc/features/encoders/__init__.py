"""The encoders of text, which compute 384 values: their runtimes (`onnx`, `openvino`), export and storage."""
