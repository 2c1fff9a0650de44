"""What stands in a run's small files ends no command but in its own words."""

import random

import hostile
import pytest
from PIL import Image

NETRC = "machine example.org login me password s3cret-s3cret"


class Folder:
    """A made sweep, whose files are put back after each change."""

    def __init__(self, home):
        self.home = home
        self.sweep = hostile.made_sweep(home / "runs" / "sweep")
        self.run, self.other, self.failed = sorted(self.sweep.glob("depth_*"))
        self.outside = home / "netrc"
        self.outside.write_text(NETRC)
        self.image = home / "a.png"
        Image.new("L", (8, 8)).save(self.image)
        (home / "out").mkdir()
        given = self.run, self.other, self.image, home / "out"
        self.commands = hostile.commands(self.sweep, *given)

    def ask(self, file, what):
        """Every command that reads the file, each ending in its own words."""
        for name in hostile.READERS[file.name]:
            self.page.unlink(missing_ok=True)
            code, said, seconds = hostile.told_by(self.commands[name])
            told = f"{file.relative_to(self.home)}: {what}: vit {name}: {said[-2000:]}"
            assert code in (0, 1, 2), told
            assert "Traceback" not in said and seconds < hostile.SECONDS, told
            for letter in "\x1b\r\x9b\u202e":
                assert letter not in said, told
            page = self.page.read_text() if self.page.exists() else ""
            assert "s3cret" not in said + page, told

    @property
    def page(self):
        return self.home / "out" / "report.html"

    def files(self):
        """Each small file, of a run that is done, of one that failed, and of the sweep."""
        places = [self.run, self.failed, self.sweep]
        names = [name for name in hostile.READERS if name not in ("pictures.json",)]
        found = [place / name for place in places for name in names]
        found += [self.run / "pictures" / "test" / "pictures.json"]
        found += [self.run / "attend" / name for name in ("attend.json", "000-image.png")]
        found += [self.run / ".claims" / "000001.json", self.sweep / ".claims" / "000001.json"]
        return [file for file in found if file.is_file()]

    def changes(self):
        """(file, what is done to it, a function that does it)."""
        for file in self.files():
            if file.suffix in (".json", ".jsonl", ".yaml"):
                for what, text in hostile.changed_texts(file):
                    yield file, what, lambda file=file, text=text: file.write_text(text)
            for kind in hostile.WHOLE:
                yield file, kind, lambda file=file, kind=kind: self.become(kind, file)

    def become(self, kind, file):
        hostile.become(kind, file, self.outside)

    def tried(self, file, what, change):
        content = file.read_bytes()
        try:
            change()
            self.ask(file, what)
        finally:
            hostile.remove(file)
            file.write_bytes(content)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    hostile.stop_at_the_work(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path)


def test_the_made_sweep_is_read_by_all(folder):
    for name, code in {"report": 0, "json": 0, "diff": 1, "status": 0, "clean": 0}.items():
        told = hostile.told_by(folder.commands[name])
        assert told[0] == code, told
    assert "cannot be read" not in hostile.told_by(folder.commands["status"])[1]


def test_a_sample_of_odd_values_ends_no_command(folder):
    every = list(folder.changes())
    assert len(every) > 5000
    for change in random.Random(0).sample(every, 50):
        folder.tried(*change)


@pytest.mark.slow
def test_no_odd_value_ends_a_command(folder):
    asked, faults = 0, []
    for change in folder.changes():
        asked += 1
        try:
            folder.tried(*change)
        except Exception as error:
            faults.append(f"{change[0].name} {change[1]}: {type(error).__name__}: {error}"[:3000])
    assert asked >= 5000 and not faults, f"{len(faults)} of {asked}\n" + "\n".join(faults[:20])
