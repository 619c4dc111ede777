//! Networks and models to and from ONNX.
