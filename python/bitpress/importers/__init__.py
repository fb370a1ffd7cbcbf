"""The only places that see onnx, torch and safetensors files."""
