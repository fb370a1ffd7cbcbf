"""Torch training loops: distillation, fine-tuning."""
