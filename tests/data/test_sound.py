"""Wav files as pictures: the transform, the folder, bad input, augmentation."""

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from vit.cli.compose import compose
from vit.data.augment_sound import SpecAugment
from vit.data.core.images import BadImage
from vit.data.core.sampling import Key
from vit.data.formats.spectrograms import Spectrogram
from vit.data.formats.wav_files import read_wav
from vit.data.wav_folder import WavFolder
from vit.jobs.prediction import predict
from vit.runs.directory import RunFolder

SOUND = {
    "sample_rate": 8000,
    "window_ms": 16.0,
    "hop_ms": 8.0,
    "mels": 16,
    "seconds": 0.128,
    "range_db": 60.0,
}


def tone(hertz, rate=8000, seconds=0.1, loudness=0.5):
    return loudness * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def write(file, sound, rate=8000):
    file.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(file, rate, (sound * 32767).astype(np.int16))
    return file


@pytest.fixture
def sounds(tmp_path):
    root = tmp_path / "sounds"
    for group, rate in (("ann", 8000), ("bob", 8000), ("eve", 11025)):
        for take in range(3):
            for name, hertz in (("high", 2500), ("low", 400)):
                heard = tone(hertz + 20 * take, rate)
                write(root / f"{name}_{group}_{take}.wav", heard, rate)
    return root


def data_of(root, **options):
    names = {"pattern": "{class}_{group}_{take}", "test_groups": ("eve",)}
    return WavFolder(root=str(root), batch_size=4, **{**SOUND, **names, **options})


def test_a_tone_is_white_in_the_row_of_its_mel():
    spectrogram = Spectrogram(**SOUND)
    mel = 2595 * np.log10(1 + np.array([400, 2500, 4000]) / 700)
    for hertz, row in zip((400, 2500), (mel / mel[2] * 17)[:2], strict=True):
        levels = spectrogram.levels(tone(hertz, seconds=0.5))
        assert levels.shape == (16, 16) and levels.max() == 1
        assert abs(levels.mean(axis=1).argmax() + 1 - row) < 1


def test_levels_are_decibels_and_loudness_does_not_count():
    spectrogram = Spectrogram(**SOUND)
    one, ten = tone(400), np.concatenate([tone(400), tone(400, loudness=0.05)])
    assert np.allclose(spectrogram.levels(one), spectrogram.levels(one / 7))
    long = Spectrogram(**{**SOUND, "seconds": 0.2}).levels(ten)
    row = long.mean(axis=1).argmax()
    assert long[row, 5] - long[row, -5] == pytest.approx(20 / 60, abs=0.01)


def test_the_part_with_most_energy_of_a_long_sound_is_seen_and_a_short_one_is_centred():
    spectrogram = Spectrogram(**SOUND)
    long = np.concatenate([np.zeros(9000), tone(400), np.zeros(5000)])
    assert (spectrogram.levels(long).max(axis=0) > 0.9).sum() >= 10
    short = spectrogram.levels(tone(400, seconds=0.03))
    assert short[:, :4].max() == 0 and short[:, -4:].max() == 0 and short[:, 8].max() > 0.9


def test_other_rates_other_kinds_and_stereo_give_the_same_picture(tmp_path):
    spectrogram, heard = Spectrogram(**SOUND), tone(400)
    wanted = np.asarray(spectrogram.picture(write(tmp_path / "a.wav", heard)), dtype=float)
    louder = wanted > 100  # what is faint differs by the rounding of 8 bits
    assert louder.sum() > 20
    both = np.stack([heard * 0.5, heard * 1.5], axis=1)
    wavfile.write(tmp_path / "stereo.wav", 8000, both.astype(np.float32))
    wavfile.write(tmp_path / "bytes.wav", 8000, (heard * 127 + 128).round().astype(np.uint8))
    write(tmp_path / "rate.wav", tone(400, 16000), 16000)
    for name, most in (("stereo", 3), ("bytes", 6), ("rate", 12)):
        found = np.asarray(spectrogram.picture(tmp_path / f"{name}.wav"), dtype=float)
        assert np.abs(found - wanted)[louder].max() <= most, name


def test_bad_files_are_named_with_what_is_wrong(tmp_path):
    good = write(tmp_path / "good.wav", tone(400)).read_bytes()
    rate = bytearray(good)
    rate[24:32] = (5).to_bytes(4, "little") + (10).to_bytes(4, "little")
    bad = {
        "empty": (b"", "an empty file"),
        "text": (b"no sound at all" * 9, "no wav file"),
        "cut": (good[:-301], "breaks off|no wav file"),
        "header": (good[:30], "no wav file"),
        "rate": (bytes(rate), "says 5 samples a second"),
    }
    for name, (content, result) in bad.items():
        file = tmp_path / f"{name}.wav"
        file.write_bytes(content)
        with pytest.raises(BadImage, match=f"{name}.wav: .*({result})"):
            read_wav(file)
    wavfile.write(tmp_path / "nan.wav", 8000, np.array([0.1, np.nan], dtype=np.float32))
    for name, sound, said in (
        ("still", np.zeros(99), "silent"),
        ("none", np.zeros(0), "no sound"),
    ):
        with pytest.raises(BadImage, match=f"{name}.wav: .*{said}"):
            read_wav(write(tmp_path / f"{name}.wav", sound))
    with pytest.raises(BadImage, match="not finite"):
        read_wav(tmp_path / "nan.wav")
    with pytest.raises(BadImage, match=r"gone\.wav: No such file"):
        read_wav(tmp_path / "gone.wav")


def test_a_group_is_held_out_and_classes_come_from_names(sounds):
    data = data_of(sounds)
    assert not data.faults(full=True)
    assert data.facts.class_names == ("high", "low") and data.facts.image_size == (16, 16)
    tested = [data.sample_name("test", i) for i in range(data.lengths["test"])]
    assert len(tested) == 6 and all("_eve_" in name for name in tested)
    others = data.lengths["train"] + data.lengths["val"]
    assert others == 12 and not any(
        "_eve_" in data.sample_name(split, i)
        for split in ("train", "val")
        for i in range(data.lengths[split])
    )
    assert data.fingerprint() == data_of(sounds).fingerprint()
    assert data.fingerprint() != data_of(sounds, test_groups=("bob",)).fingerprint()


def test_folders_and_splits_are_read_by_the_pattern(tmp_path):
    for split in ("train", "val"):
        for name in ("high", "low"):
            write(tmp_path / split / name / "a.wav", tone(400))
    data = data_of(tmp_path, pattern="{split}/{class}/{name}", test_groups=())
    assert data.lengths == {"train": 2, "val": 2} and data.facts.class_names == ("high", "low")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_groups": ("ev",)}, "no 'ev' among ann, bob, eve.*eve"),
        (
            {"pattern": "{class}/{take}", "test_groups": ()},
            "18 of 18 files do not fit.*both kinds of quotes",
        ),
        ({"pattern": "{group}"}, "wanted {class}"),
        ({"pattern": "{class}"}, "want {group}"),
        ({"test_groups": ("ann", "bob", "eve")}, "no file is left"),
        ({"mels": 400}, "data.mels=400"),
        ({"hop_ms": 30.0}, "hop_ms <= window_ms"),
        ({"sample_rate": 8}, "data.sample_rate=8"),
        ({"seconds": 0.0}, "0 columns"),
    ],
)
def test_odd_settings_are_refused(sounds, options, message):
    with pytest.raises(ValueError, match=message):
        _ = data_of(sounds, **options).facts


def test_files_groups_and_splits_that_do_not_fit_are_said_at_once(sounds):
    (sounds / "odd.wav").write_bytes(b"")
    settings = {"pattern": "{class}_{group}_{split}", "test_groups": ("ev",)}
    faults = [str(fault) for fault in data_of(sounds, **settings).faults()]
    unfit, groups, splits = faults
    assert "1 of 19 files do not fit" in unfit and "odd.wav" in unfit
    assert groups.startswith("data.test_groups: no 'ev' among ann, bob, eve")
    assert "is none of train, val, test" in splits and "(18 in all)" in splits


def test_a_broken_file_is_found_by_the_check(sounds):
    (sounds / "low_ann_9.wav").write_bytes(b"")
    faults = [str(fault) for fault in data_of(sounds).faults()]
    assert any("low_ann_9.wav: an empty file" in fault for fault in faults)


def test_augmented_pictures_follow_seed_epoch_and_sample(sounds):
    data = data_of(sounds, augment=SpecAugment(time_shift=0.3), seed=3)
    one, two = (data.dataset("train", training=True) for _ in range(2))
    keys = [Key(1, 2), Key(1, 0), Key(2, 2)]
    found = one.__getitems__(keys).images
    assert torch.equal(found[:1], two.__getitems__(keys[:1]).images)
    assert not torch.equal(found[0], found[2])


def test_masks_cover_no_more_than_their_share(sounds):
    still = {"time_shift": 0.0, "pitch_shift": 0.0, "stretch": 0.0, "noise": 0.0}
    masks = SpecAugment(**still, time_width=0.25, frequency_masks=0)
    data = data_of(sounds, augment=masks)
    plain = data.dataset("train", training=False).__getitems__([Key(0, 0)]).images[0, 0]
    widths = set()
    for epoch in range(30):
        seen = data.dataset("train", training=True).__getitems__([Key(epoch, 0)]).images[0, 0]
        covered = (seen != plain).any(dim=0)
        assert seen[:, covered].numel() == 0 or seen[:, covered].std() < 1e-6
        widths.add(int(covered.sum()))
    assert max(widths) == 4 and len(widths) > 2  # of 16
    nothing = data_of(sounds, augment=SpecAugment(**still, time_masks=0, frequency_masks=0))
    same = nothing.dataset("train", training=True).__getitems__([Key(0, 0)]).images[0, 0]
    assert torch.equal(same, plain)


def test_a_run_that_reads_sounds_opens_them_and_says_so_of_images(sounds, tmp_path, monkeypatch):
    config = {
        **compose(["experiment=digits"]),
        "data": {"_target_": "vit.data.wav_folder.WavFolder", "root": str(sounds), **SOUND},
    }
    run = tmp_path / "run"
    RunFolder(run).freeze(config)
    picture = tmp_path / "photo.png"
    data_of(sounds).open_file(sounds / "low_ann_0.wav").save(picture)
    with pytest.raises(Exception, match=r"photo\.png: no wav file .*wanted uncompressed sound"):
        predict(str(run), [str(picture)], "best", "cpu")
    with pytest.raises(Exception) as result:  # the sound is read, and then the weights are missed
        predict(str(run), [str(sounds / "low_ann_0.wav")], "best", "cpu")
    assert "wav" not in str(result.value)
