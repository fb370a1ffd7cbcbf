"""Inputs to judge the networks by: crops of real images, and tones whose pitch is known exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .networks import MissingError, package_folder

__all__ = ["image_crops", "pitch_accuracy", "pitch_cents", "tones"]

CREPE_SAMPLES = 1024
CREPE_RATE = 16000
CENTS_PER_BIN = 20
CENTS_OF_BIN_0 = 1997.3794084376191  # above 10 Hz


def image_crops(
    count: int = 320, seed: int = 0, size: int = 224, images: slice = slice(None)
) -> npt.NDArray[np.float32]:
    """(count, 3, size, size) float32, (x - 127) / 128: crops, scaled and flipped, of foolbox's 20 ImageNet images.

    ``images``: which of them, in the order of their names.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise MissingError("needs pillow: pip install pillow", name="PIL") from None
    files = sorted((package_folder("foolbox") / "data").glob("imagenet_*.jpg"))[images]
    if not files:
        raise MissingError("needs foolbox with its images: pip install --no-deps foolbox", name="foolbox")
    pictures = [Image.open(file).convert("RGB") for file in files]
    random = np.random.default_rng(seed)
    crops = np.empty((count, 3, size, size), np.float32)
    for i in range(count):
        image = pictures[i % len(pictures)]
        side = min(image.size) * random.uniform(0.7, 1.0)
        left, top = random.uniform(0, image.width - side), random.uniform(0, image.height - side)
        crop = image.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        if random.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        crops[i] = (np.asarray(crop, np.float32).transpose(2, 0, 1) - 127) / 128
    return crops


def tones(count: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """(count, 1024) normalised frames of harmonic tones, and their pitch in cents above 10 Hz.

    Each tone is 40 Hz to 1.9 kHz, of up to 11 harmonics, in white noise of up to 1.5 times its strength.
    """
    random = np.random.default_rng(seed)
    time = np.arange(CREPE_SAMPLES) / CREPE_RATE
    frames, cents = np.empty((count, CREPE_SAMPLES), np.float32), np.empty(count)
    for i in range(count):
        pitch = np.exp(random.uniform(np.log(40), np.log(1900)))
        harmonics = np.arange(1, random.integers(2, 12))
        harmonics = harmonics[harmonics * pitch < CREPE_RATE / 2]
        strength = harmonics ** -random.uniform(0.5, 2.0) * random.uniform(0.5, 1.0, harmonics.size)
        phase = random.uniform(0, 2 * np.pi, harmonics.size)
        wave = (strength[:, None] * np.sin(2 * np.pi * pitch * harmonics[:, None] * time + phase[:, None])).sum(0)
        wave += random.normal(0, random.uniform(0.0, 1.5) * wave.std(), wave.size)
        frames[i] = (wave - wave.mean()) / max(wave.std(), 1e-10)
        cents[i] = 1200 * np.log2(pitch / 10)
    return frames, cents


def pitch_cents(activations: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Pitch in cents above 10 Hz of (count, 360) activations: the mean of the nine bins around the strongest, weighted
    by activation (Kim et al., 2018, "CREPE", section 2)."""
    bins = np.arange(activations.shape[1])
    near = np.abs(bins - activations.argmax(1)[:, None]) <= 4
    weights = activations * near
    return np.asarray((weights * (CENTS_PER_BIN * bins + CENTS_OF_BIN_0)).sum(1) / weights.sum(1))


def pitch_accuracy(activations: npt.NDArray[np.float32], cents: npt.NDArray[np.float64], within: float = 50.0) -> float:
    """The share of frames whose pitch is right to ``within`` cents."""
    return float((np.abs(pitch_cents(activations) - cents) <= within).mean())
