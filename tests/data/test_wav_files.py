"""What can be heard is read, whatever the sizes in a wav file say; what cannot is named."""

import os
import struct

import numpy as np
import pytest
from scipy.io import wavfile

from vit.data.core.images import BadImage
from vit.data.formats.wav_files import read_wav
from vit.data.wav_folder import WavFolder

TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(1600) / 8000)
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
GUID = b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"


def stored(sound, bits=16, kind=PCM, order="<"):
    """Samples as a wav file has them."""
    if kind == FLOAT:
        return sound.astype(f"{order}f{bits // 8}").tobytes()
    if bits == 8:
        return (sound * 127 + 128).round().astype(np.uint8).tobytes()
    whole = (sound * (2 ** (bits - 1) - 1)).round().astype(np.int64)
    wide = whole.astype(f"{order}i8").tobytes()
    step = bits // 8
    cut = slice(0, step) if order == "<" else slice(8 - step, 8)
    return b"".join(wide[at : at + 8][cut] for at in range(0, len(wide), 8))


def wav(
    data,
    *,
    bits=16,
    kind=PCM,
    channels=1,
    rate=8000,
    size=None,
    riff=None,
    before=b"",
    after=b"",
    head=None,
    name=b"RIFF",
    order="<",
    block=None,
):
    """A wav file of these parts; sizes are the true ones where none are given."""
    block = block or channels * bits // 8
    form = struct.pack(f"{order}HHIIHH", kind, channels, rate, rate * block, block, bits)
    form = form if head is None else head
    body = b"WAVE" + before + b"fmt " + struct.pack(f"{order}I", len(form)) + form
    body += b"data" + struct.pack(f"{order}I", len(data) if size is None else size) + data + after
    return name + struct.pack(f"{order}I", len(body) if riff is None else riff) + body


def chunk(name, content, pad=True):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (pad and len(content) % 2)


DATA = stored(TONE)
EXTENDED = struct.pack("<HHIIHHHHI", EXTENSIBLE, 1, 8000, 16000, 2, 16, 22, 16, 4)
HEARD = {
    "plain": wav(DATA),
    "zero size": wav(DATA, size=0),
    "zero sizes": wav(DATA, size=0, riff=0),
    "as ffmpeg to a pipe": wav(DATA, size=0xFFFFFFFF, riff=0xFFFFFFFF),
    "with its list": wav(
        DATA, size=0xFFFFFFFF, before=chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf60.3.100\0\0")
    ),
    "as sox to a pipe": wav(DATA, size=0x7FFFFFDB, riff=0x7FFFFFFF),
    "odd without pad": wav(DATA, before=chunk(b"LIST", b"INFOabc", pad=False)),
    "odd with pad": wav(DATA, before=chunk(b"LIST", b"INFOabc")),
    "odd unknown": wav(DATA, before=chunk(b"xyz ", b"abc")),
    "list behind": wav(DATA, after=chunk(b"LIST", b"INFOabc")),
    "list of more than the sound": wav(DATA, after=chunk(b"iXML", b"<a>" * 4000)),
    "notes of a player behind": wav(DATA, after=b"TAG" + bytes(125)),
    "wrong riff size": wav(DATA, riff=36),
    "extensible": wav(DATA, head=EXTENDED + struct.pack("<H", PCM) + GUID),
    "extensible with another id": wav(DATA, head=EXTENDED + struct.pack("<H", PCM) + bytes(14)),
    "long format": wav(DATA, head=struct.pack("<HHIIHHH", PCM, 1, 8000, 16000, 2, 16, 0)),
    "wrong block": wav(DATA, block=7),
    "half a sample more": wav(DATA + b"\x01"),
    "big-endian": wav(stored(TONE, order=">"), name=b"RIFX", order=">"),
    "big file": wav(
        DATA,
        size=0xFFFFFFFF,
        riff=0xFFFFFFFF,
        name=b"RF64",
        before=chunk(b"ds64", struct.pack("<QQQI", 0, len(DATA), len(TONE), 0)),
    ),
    "8 bits": wav(stored(TONE, 8), bits=8),
    "24 bits": wav(stored(TONE, 24), bits=24),
    "24 bits big-endian": wav(stored(TONE, 24, order=">"), bits=24, name=b"RIFX", order=">"),
    "24 in 32 bits": wav(stored(TONE, 32), bits=24, block=4),
    "32 bits": wav(stored(TONE, 32), bits=32),
    "floats": wav(stored(TONE, 32, FLOAT), bits=32, kind=FLOAT),
    "long floats": wav(stored(TONE, 64, FLOAT), bits=64, kind=FLOAT),
    "offset": wav(stored(TONE + 0.2)),
}


@pytest.mark.parametrize("name", HEARD)
def test_what_can_be_heard_is_read_to_its_end(tmp_path, name):
    file = tmp_path / "x.wav"
    file.write_bytes(HEARD[name])
    sound = read_wav(file)
    wanted = TONE + 0.2 if name == "offset" else TONE
    assert sound.rate == 8000 and not sound.cancelled and len(sound.samples) == len(TONE)
    assert np.abs(sound.samples - wanted).max() < (0.02 if name == "8 bits" else 1e-3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"RIFF", "no wav file"),
        (b"OggS" + bytes(99), "no wav file .it begins with b'OggS'"),
        (wav(DATA)[:30], "no format|format is cut off"),
        (wav(DATA)[:40], "it has no sound"),
        (wav(DATA)[:1000], "breaks off before its end: 956 of the 3,200 bytes"),
        (wav(b""), "holds no sound"),
        (wav(b"", size=0, after=chunk(b"LIST", b"INFOabc")), "holds no sound"),
        (wav(b"\x01"), "holds no sound"),
        (wav(DATA, size=8), "says that its sound has 8 bytes, and 3,200 are there"),
        (wav(DATA, kind=7), "is compressed, .*µ-law"),
        (wav(DATA, kind=0x55), "is compressed, .*MP3"),
        (wav(DATA, kind=EXTENSIBLE), "is compressed, or of a kind that is not read .format 0xfffe"),
        (wav(DATA, channels=0), "says 0 channels"),
        (wav(DATA, bits=0, block=2), "of 0 bits"),
        (wav(DATA, rate=5), "says 5 samples a second"),
        (wav(DATA, bits=16, kind=FLOAT), "floating-point numbers of 16 bits"),
        (wav(stored(TONE * 0)), "is silent."),
        (wav(stored(TONE * 0 + 0.3)), "is silent .each sample is 0.3 of full scale"),
        (wav(stored(np.where(TONE > 0.4, np.nan, TONE), 32, FLOAT), bits=32, kind=FLOAT), "NaN"),
        (wav(stored(TONE * 1e30, 32, FLOAT), bits=32, kind=FLOAT), "times full scale"),
    ],
)
def test_what_cannot_be_heard_names_its_file(tmp_path, content, said):
    file = tmp_path / "x.wav"
    file.write_bytes(content)
    with pytest.raises(BadImage, match=rf"x\.wav: .*({said})"):
        read_wav(file)


def test_folders_and_pipes_are_no_sounds(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    for name in ("folder", "pipe"):
        with pytest.raises(BadImage, match=f"{name}.wav: is no regular file"):
            read_wav(tmp_path / f"{name}.wav")


def test_samples_are_those_that_scipy_reads(tmp_path):
    noise = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    for kind in (np.int16, np.int32, np.uint8, np.float32, np.float64):
        top = 1 if np.issubdtype(kind, np.floating) else np.iinfo(kind).max
        values = noise * 100 + 128 if kind is np.uint8 else noise * top
        wavfile.write(tmp_path / "x.wav", 8000, values.astype(kind))
        rate, theirs = wavfile.read(tmp_path / "x.wav")
        theirs = theirs.astype(np.float64)
        if kind is np.uint8:
            theirs = (theirs - 128) / 128
        elif top != 1:
            theirs /= -float(np.iinfo(kind).min)
        ours = read_wav(tmp_path / "x.wav")
        assert ours.rate == rate and np.array_equal(ours.samples, theirs.mean(axis=1))


def test_any_bytes_give_sound_or_one_refusal(tmp_path):
    generator = np.random.default_rng(0)
    file = tmp_path / "x.wav"
    heard = 0
    for whole in list(HEARD.values())[:20]:
        for _ in range(20):
            content = bytearray(whole[: int(generator.integers(12, len(whole) + 1))])
            for at in generator.integers(4, min(len(content), 60), 2).tolist():
                content[at] = int(generator.integers(0, 256))
            file.write_bytes(content)
            try:
                assert np.isfinite(read_wav(file).samples).all()
                heard += 1
            except BadImage as fault:
                assert "x.wav: " in str(fault)
    assert heard > 20


# Folders of them.


def folder(root, contents):
    for name, ones in contents.items():
        (root / name).mkdir(parents=True)
        for number, content in enumerate(ones):
            (root / name / f"{number}.wav").write_bytes(content)
    return WavFolder(root=str(root), sample_rate=8000, mels=16, seconds=0.128)


def test_opposite_phases_are_heard_and_reported(tmp_path):
    both = np.stack([TONE, -TONE * 0.99], axis=1)
    stereo = wav(stored(both.ravel()), channels=2)
    (tmp_path / "x.wav").write_bytes(stereo)
    sound = read_wav(tmp_path / "x.wav")
    assert sound.cancelled and np.abs(sound.samples - TONE).max() < 1e-3
    data = folder(tmp_path / "set", {"a": [stereo] * 10, "b": [wav(DATA)] * 10})
    assert data.faults() == []
    (warning,) = [line for line in data.warnings() if "same bytes" not in line]
    assert "10 sounds have channels of opposite phases" in warning and "a/0.wav" in warning


def test_one_channel_of_many_and_noise_in_all_are_no_opposite_phases(tmp_path):
    one = np.zeros((1600, 4))
    one[:, 2] = TONE
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1600, 8))
    for sound in (one, noise):
        (tmp_path / "x.wav").write_bytes(wav(stored(sound.ravel()), channels=sound.shape[1]))
        read = read_wav(tmp_path / "x.wav")
        assert not read.cancelled and np.abs(read.samples - sound.mean(axis=1)).max() < 1e-4


def test_rates_that_differ_are_reported(tmp_path):
    other = wav(DATA, rate=11025)
    data = folder(tmp_path / "set", {"a": [wav(DATA)] * 10, "b": [other] * 5 + [wav(DATA)] * 5})
    assert data.faults() == []
    (warning,) = [line for line in data.warnings() if "same bytes" not in line]
    assert "sounds of 2 rates (15 of 8,000 Hz, 5 of 11,025 Hz) are resampled to 8,000" in warning


def test_streamed_sounds_train_and_broken_ones_are_faults_by_name(tmp_path):
    ways = [
        {"size": 0xFFFFFFFF, "riff": 0xFFFFFFFF},
        {"size": 0},
        {"before": chunk(b"LIST", b"INFOabc", pad=False)},
    ]
    # Each as loud as no other: copies would be reported.
    sounds = [wav(stored(TONE * (1 - at / 50)), **ways[at % 3]) for at in range(24)]
    data = folder(tmp_path / "set", {"a": sounds[:12], "b": sounds[12:]})
    assert data.faults(full=True) == data.warnings() == []
    batch = next(iter(data.loader("train")))
    assert len(batch.images) == data.lengths["train"]
    (tmp_path / "set" / "a" / "1.wav").write_bytes(wav(DATA)[:500])
    found = [str(fault) for fault in folder(tmp_path / "set", {}).faults()]
    assert any("1.wav: breaks off before its end" in fault for fault in found)


def test_classes_that_differ_by_capitals_alone_are_reported(tmp_path):
    data = folder(tmp_path / "set", {"Dog": [wav(DATA)] * 8, "dog": [wav(DATA)] * 8})
    (warning,) = [line for line in data.warnings() if "same bytes" not in line]
    assert "the classes 'Dog', 'dog' differ by capitals" in warning


def test_a_pattern_that_makes_each_file_a_class_is_reported(tmp_path):
    data = folder(tmp_path / "set", {"a": [wav(DATA)] * 12, "b": [wav(DATA)] * 12})
    data.pattern = "{where}/{class}"
    for path in (tmp_path / "set").rglob("*.wav"):
        path.rename(path.with_name(f"{path.parent.name}{path.name}"))
    (fault,) = data.faults()
    assert "24 classes of 24 samples" in str(fault)
