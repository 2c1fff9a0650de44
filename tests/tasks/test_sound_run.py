"""A training on wav files, cut off and gone on with."""

import numpy as np
from scipy.io import wavfile


def test_a_run_on_sounds_that_was_stopped_and_goes_on_ends_as_one_that_was_not(
    tmp_path, stopped_and_whole
):
    seconds = np.arange(1024) / 8000
    for name, hertz in (("high", 2500), ("low", 400)):
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for take in range(24):
            tone = 16000 * np.sin(2 * np.pi * (hertz + 20 * take) * seconds)
            file = tmp_path / "sounds" / name / f"{take}.wav"
            wavfile.write(file, 8000, tone.astype(np.int16))
    words = ["data=wav_folder", f"data.root={tmp_path / 'sounds'}", "data.sample_rate=8000"]
    words += ["data.window_ms=16", "data.hop_ms=8", "data.mels=16", "data.seconds=0.128"]
    words += ["data/augment=spec_augment", "data.val_fraction=0.34", "data.test_fraction=0"]
    words += ["backbone=vit", "backbone.dim=16", "backbone.depth=1", "backbone.heads=2"]
    words += ["backbone.patch_size=8", "backbone.dropout=0.1", "trainer=cpu", "threads=1"]
    stopped, whole = stopped_and_whole(words)
    assert stopped == whole and len(whole["seen"]) == 8
