"""From a wav file to a picture of it: log-mel levels, time to the right, high notes above.

No torchaudio: SciPy resamples.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.signal import resample_poly

from vit.data.formats.wav_files import RATES, read_wav


@dataclass(frozen=True)
class Spectrogram:
    """How sound becomes a picture of 8 bits; plain values.

    The picture has `mels` rows, evenly spaced on the mel scale from 0 Hz to half of `sample_rate`,
    and a column for each hop. White is the loudest place of the sound, black what is `range_db`
    below it or less: loudness does not count. Of a longer sound the `seconds` with the most energy
    are taken; a shorter one stands in the middle of silence.

    Source of the mel scale: O'Shaughnessy 1987, "Speech Communication", m = 2595 lg(1 + f / 700).
    """

    sample_rate: int
    window_ms: float
    hop_ms: float
    mels: int
    seconds: float
    range_db: float

    def __post_init__(self) -> None:
        lowest, highest = RATES
        if not lowest <= self.sample_rate <= highest:
            raise ValueError(
                f"data.sample_rate={self.sample_rate}; wanted {lowest} to {highest} Hz."
            )
        if not 0 < self.hop_ms <= self.window_ms:
            raise ValueError(
                f"data.window_ms={self.window_ms} and data.hop_ms={self.hop_ms}; wanted "
                "0 < hop_ms <= window_ms, or sound between two windows is lost."
            )
        if self.hop < 1 or self.frames < 1:
            raise ValueError(
                f"data.seconds={self.seconds} and data.hop_ms={self.hop_ms} give a picture of "
                f"{self.frames} columns; wanted at least one hop of one sample."
            )
        if self.range_db <= 0:
            raise ValueError(f"data.range_db={self.range_db}; wanted more than 0, such as 80.")
        if self.mels < 1 or not self._filters().any(axis=1).all():
            raise ValueError(
                f"data.mels={self.mels}; wanted 1 or more, and so few that each has a frequency of "
                f"its own: a window of {self.window_ms} ms at {self.sample_rate} Hz tells "
                f"{self._transform // 2 + 1} apart. Take fewer, or a longer data.window_ms."
            )

    @property
    def hop(self) -> int:
        """In samples."""
        return round(self.sample_rate * self.hop_ms / 1000)

    @property
    def window(self) -> int:
        """In samples."""
        return round(self.sample_rate * self.window_ms / 1000)

    @property
    def frames(self) -> int:
        return round(self.seconds * 1000 / self.hop_ms)

    @property
    def _transform(self) -> int:
        """The next power of two and twice that: low mels are narrower than a window tells."""
        return 2 ** (math.ceil(math.log2(max(self.window, 2))) + 1)

    def picture(self, file: Path) -> Image.Image:
        """Of a wav file of any rate and number of channels. Raises BadImage naming the file."""
        heard = read_wav(file)
        return self.drawn(heard.rate, heard.samples)

    def drawn(self, rate: int, sound: Float[np.ndarray, " samples"]) -> Image.Image:
        """Of samples at a rate in Hz."""
        if rate != self.sample_rate:
            common = math.gcd(rate, self.sample_rate)
            sound = resample_poly(sound, self.sample_rate // common, rate // common)
        levels = self.levels(sound)
        return Image.fromarray((levels[::-1] * 255).round().astype(np.uint8))

    def levels(self, sound: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "mels frames"]:
        """0 to 1, in proportion to decibels; the lowest notes first."""
        padded = self._fitted(sound)
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        shape = np.hanning(self.window + 1)[:-1]
        power = np.abs(np.fft.rfft(frames[: self.frames] * shape, self._transform)) ** 2
        mels = self._filters() @ power.T
        decibels = 10 * np.log10(np.maximum(mels, 1e-20) / max(mels.max(), 1e-20))
        return (1 + decibels / self.range_db).clip(0, 1)

    def _fitted(self, sound: np.ndarray) -> np.ndarray:
        """Of the length that gives `frames` windows."""
        wanted = (self.frames - 1) * self.hop + self.window
        if len(sound) > wanted:
            energy = np.concatenate([[0.0], np.cumsum(sound**2)])
            first = int((energy[wanted:] - energy[:-wanted]).argmax())
            return sound[first : first + wanted]
        before = (wanted - len(sound)) // 2
        return np.pad(sound, (before, wanted - len(sound) - before))

    def _filters(self) -> Float[np.ndarray, "mels frequencies"]:
        return _triangles(self.sample_rate, self._transform, self.mels)


@functools.cache
def _triangles(sample_rate: int, transform: int, mels: int) -> np.ndarray:
    """Each rises from its neighbour's middle to its own and falls to the next one's."""
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, highest, mels + 2) / 2595) - 1)  # Hz
    frequencies = np.fft.rfftfreq(transform, 1 / sample_rate)
    widths = np.diff(corners)[:, None]
    away = frequencies - corners[:, None]  # [mels + 2, frequencies]
    return np.minimum(away[:-2] / widths[:-1], -away[2:] / widths[1:]).clip(0)
