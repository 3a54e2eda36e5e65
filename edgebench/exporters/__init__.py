"""Read a model; write ONNX and TFLite artifacts with manifests."""
