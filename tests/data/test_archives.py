"""An archive where a folder is wanted: the words of the refusal do what they say."""

import io
import random
import subprocess
import tarfile
import zipfile

import pytest

from vit.data.folder import existing_folder
from vit.data.formats import archives
from vit.data.formats.archives import only_folder


def packed(file, names):
    with tarfile.open(file, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
                member.mode = 0o755
            else:
                member.size = 1
            archive.addfile(member, None if name.endswith("/") else io.BytesIO(b"x"))
    return file


def test_an_archive_is_refused_by_the_command_that_unpacks_it(tmp_path):
    file = packed(tmp_path / "my sounds.tar.gz", ["recordings/", "recordings/7_a_1.wav"])
    with pytest.raises(ValueError, match="is an archive; wanted a folder") as refused:
        existing_folder(str(file), "data.root")
    command, then = str(refused.value).splitlines()[1:]
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=20)
    assert then.strip() == "then data.root='my sounds/recordings'"
    assert (tmp_path / "my sounds" / "recordings" / "7_a_1.wav").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["./", "./all/cat/1.wav", "./all/dog/1.wav"], "all"),
        (["cat/1.wav", "dog/1.wav"], None),
        (["1.wav"], None),
        (["all/1.wav", "README"], None),
        ([], None),
    ],
)
def test_the_folder_that_holds_all_of_an_archive_is_known(names, folder, tmp_path):
    assert only_folder(packed(tmp_path / "some.tgz", names)) == folder
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "x")
        archive.writestr("__MACOSX/._x", "x")
    assert only_folder(tmp_path / "some.zip") == folder


def test_bytes_that_were_lost_in_the_middle_of_an_archive_are_no_error(tmp_path):
    with tarfile.open(tmp_path / "some.tar.xz", "w:xz") as archive:
        for number in range(8):
            content = random.Random(number).randbytes(20_000)
            member = tarfile.TarInfo(f"all/{number}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    content = bytearray((tmp_path / "some.tar.xz").read_bytes())
    content[80_000:80_200] = bytes(200)
    (tmp_path / "some.tar.xz").write_bytes(content)
    assert only_folder(tmp_path / "some.tar.xz") == "all"


def test_of_a_broken_or_very_large_archive_no_folder_is_claimed(tmp_path, monkeypatch):
    (tmp_path / "broken.tar.gz").write_bytes(b"none")
    (tmp_path / "broken.zip").write_bytes(b"none")
    assert only_folder(tmp_path / "broken.tar.gz") is only_folder(tmp_path / "broken.zip") is None
    monkeypatch.setattr(archives, "LOOKED_AT", 2)
    assert only_folder(packed(tmp_path / "large.tgz", ["a/1", "a/2", "a/3"])) is None
