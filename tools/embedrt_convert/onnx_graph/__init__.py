"""Encoders from ONNX graphs: read, brought to standard float32 operators, understood by structure."""
