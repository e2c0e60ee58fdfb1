# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench.native.sound` compares the AAC encoder's two searches for scale factors: `make bench-sound`.

For each sound and bit rate: its level above that of what is wrong with it, and the change of its own level, both in dB,
and CPU seconds a minute. Writes build/bench/sound.json.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.bench.native.measure import WORK, Cost, run

SECONDS = 10
DELAY = 1024
"""Samples that AAC puts in front."""
TEXT = "No recorded byte is lost that a disk or a bucket could still hold and the status never says what is not true"
SPEECH = f"flite=text={TEXT},aresample=48000"
PARTIALS = "+".join(f"sin(2*PI*{tone * n}*t)/{n}" for tone in (220, 277, 330) for n in (1, 2, 3, 4, 5))
SOUNDS = {
    "speech": SPEECH,
    "speech in a room": f"{SPEECH}[s];anoisesrc=a=0.003:r=48000:seed=1[n];[s][n]amix=normalize=0:duration=shortest",
    "chords": f"aevalsrc='0.3*exp(-2*mod(t,1))*({PARTIALS})':s=48000",
    "DTMF": "aevalsrc='0.45*sin(2*PI*697*t)+0.45*sin(2*PI*1209*t)':s=48000",
    "tone at 0.3": "aevalsrc='0.3*sin(2*PI*440*t)':s=48000",
    "tone at 0.94": "aevalsrc='0.94*sin(2*PI*440*t)':s=48000",
}
MEASURE = "astats=measure_perchannel=none"
INVERSE = "[1:a]aeval=-val(0)[inverse];[0:a][inverse]amix=normalize=0:duration=shortest"
ROW = "{:<18} {:>5} {:<8} {:>8} {:>8} {:>6}"


def main() -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    print(ROW.format("sound", "kb/s", "search", "SNR", "level", "CPU"))
    for name, source in SOUNDS.items():
        original = WORK / "original.wav"
        _ffmpeg("-filter_complex", source, "-t", str(SECONDS), "-ac", "1", "-c:a", "pcm_f32le", str(original))
        level = _level("-i", str(original), "-af", MEASURE)
        minutes = float(_found(r"time=\d+:\d+:([\d.]+)", _ffmpeg("-i", str(original), "-f", "null", "-"))) / 60
        for kbps in (48, 128):
            for search in ("twoloop", "fast"):
                cost, decoded = _coded(original, kbps, search)
                row: dict[str, Any] = {
                    "sound": name,
                    "kbps": kbps,
                    "search": search,
                    **_likeness(original, level, decoded),
                }
                row["cpu_s_per_min"] = round(cost.cpu_seconds / minutes, 2)
                rows.append(row)
                print(ROW.format(*row.values()), flush=True)
    (WORK / "sound.json").write_text(json.dumps(rows, indent=2) + "\n")


def _coded(original: Path, kbps: int, search: str) -> tuple[Cost, Path]:
    """What encoding it costs, and what comes out of that again."""
    coded, decoded = WORK / "coded.aac", WORK / "decoded.wav"
    encoder = ["-c:a", "aac", "-aac_coder", search, "-b:a", f"{kbps}k", str(coded)]
    cost = run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(original), *encoder])
    trim = ["-af", f"atrim=start_sample={DELAY},asetpts=N/SR/TB", "-c:a", "pcm_f32le"]
    _ffmpeg("-i", str(coded), *trim, str(decoded))
    return cost, decoded


def _likeness(original: Path, level: float, decoded: Path) -> dict[str, float]:
    wrong = _level("-i", str(original), "-i", str(decoded), "-filter_complex", f"{INVERSE},{MEASURE}")
    changed = _level("-i", str(decoded), "-af", MEASURE) - level
    return {"snr_db": round(level - wrong, 1), "level_db": round(changed, 2)}


def _level(*arguments: str) -> float:
    """The root mean square in dB of full scale."""
    return float(_found(r"RMS level dB: (\S+)", _ffmpeg(*arguments, "-f", "null", "-")))


def _ffmpeg(*arguments: str) -> str:
    """What it printed."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-y", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def _found(pattern: str, text: str) -> str:
    found = re.findall(pattern, text)
    assert found, f"{pattern} is not in: {text}"
    return str(found[-1])


if __name__ == "__main__":
    main()
