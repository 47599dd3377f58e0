"""Text to 384 values: the serving encoders (`onnx`, `openvino`), how their file is made, and where it is kept."""
