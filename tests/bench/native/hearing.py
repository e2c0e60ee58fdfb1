# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench.native.hearing` compares the AAC encoder's two searches by what of their noise can be heard.

The measure is the noise-to-mask ratio: in each critical band (Bark), the power of the difference to the original over
the power that the original hides there. Lower is better; above 0 dB it may be heard.
"""

import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.bench.native.measure import run
from tests.cluster.layout import REPOSITORY

Samples = npt.NDArray[np.float64]

WORK = REPOSITORY / "build" / "bench"
RATE = 48_000
HALF = 1024
BANDS = 25
MASKED = 10**-1.4
"""Noise 14 dB below the sound in its band is hidden."""

SOUNDS = {
    "voice": "0.25*(0.5+0.5*sin(2*PI*3*t))*(sin(2*PI*140*t)+0.6*sin(2*PI*280*t)+0.5*sin(2*PI*700*t)"
    "+0.3*sin(2*PI*1120*t)+0.2*sin(2*PI*2520*t))+0.05*gt(mod(t,0.7),0.55)*(random(0)-0.5)",
    "chords": "0.3*exp(-3*mod(t,0.5))*(sin(2*PI*220*t)+sin(2*PI*277*t)+sin(2*PI*330*t)+0.5*sin(2*PI*880*t)"
    "+0.3*sin(2*PI*3520*t))+0.1*exp(-20*mod(t,0.25))*(random(0)-0.5)",
}
PROFILES = {"48k": 1, "128k": 1, "192k": 2}


def main() -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"{'sound':<8} {'rate':<6} {'search':<8} {'noise to mask':>14} {'kbit/s':>8} {'CPU s':>6}")
    for name, expression in SOUNDS.items():
        original = WORK / f"{name}.wav"
        make = [
            "ffmpeg",
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            f"aevalsrc='{expression}':s={RATE}:d=30",
        ]
        subprocess.run([*make, str(original)], check=True)
        for rate, channels in PROFILES.items():
            for search in ("twoloop", "fast"):
                print(_line(name, original, rate, channels, search), flush=True)


def _line(name: str, original: Path, rate: str, channels: int, search: str) -> str:
    encoded = WORK / "encoded.aac"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(original), "-ac", str(channels), "-c:a", "aac"]
    cost = run([*command, "-aac_coder", search, "-b:a", rate, str(encoded)])
    reference, decoded = _samples(original), _samples(encoded)
    kbps = encoded.stat().st_size * 8 / (len(reference) / RATE) / 1000
    ratio = _noise_to_mask(reference, decoded)
    return f"{name:<8} {rate:<6} {search:<8} {ratio:>11.2f} dB {kbps:>8.1f} {cost.cpu_seconds:>6.2f}"


def _samples(file: Path) -> Samples:
    command = ["ffmpeg", "-v", "error", "-i", str(file), "-af", "pan=mono|c0=c0", "-f", "f32le", "-"]
    output = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(output, np.float32).astype(np.float64)


def _noise_to_mask(reference: Samples, decoded: Samples) -> float:
    reference, decoded = _aligned(reference, decoded)
    sound, noise = _band_powers(reference), _band_powers(reference - decoded)
    mask = sound @ _spreading() * MASKED + 1e-7
    audible = sound.sum(axis=1) > 1e-3
    return float((10 * np.log10((noise[audible] / mask[audible]).mean(axis=1))).mean())


def _aligned(reference: Samples, decoded: Samples) -> tuple[Samples, Samples]:
    """Cuts what the encoder put before the sound, as far as the best correlation tells."""
    length = min(len(reference), len(decoded))
    spectrum = np.fft.rfft(reference[:length], 2 * length) * np.conj(np.fft.rfft(decoded[:length], 2 * length))
    shift = int(np.argmax(np.fft.irfft(spectrum)))
    shift -= 2 * length if shift > length else 0
    reference, decoded = reference[max(shift, 0) :], decoded[max(-shift, 0) :]
    length = min(len(reference), len(decoded))
    return reference[:length], decoded[:length]


def _band_powers(samples: Samples) -> Samples:
    count = len(samples) // HALF - 1
    frames = np.stack([samples[index * HALF : (index + 2) * HALF] for index in range(count)])
    powers = np.abs(np.fft.rfft(frames * np.hanning(2 * HALF))) ** 2
    hertz = np.fft.rfftfreq(2 * HALF, 1 / RATE)
    bands = np.clip(13 * np.arctan(0.00076 * hertz) + 3.5 * np.arctan((hertz / 7500) ** 2), 0, BANDS - 1).astype(int)
    return np.stack([powers[:, bands == band].sum(axis=1) for band in range(BANDS)], axis=1)


def _spreading() -> Samples:
    """How much of one band's power masks in another: 15 dB less for each band above, 27 dB for each below."""
    distance = np.arange(BANDS)[None, :] - np.arange(BANDS)[:, None]
    return np.asarray(10 ** -np.where(distance > 0, 1.5 * distance, -2.7 * distance), dtype=np.float64)


if __name__ == "__main__":
    main()
