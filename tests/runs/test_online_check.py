"""Without a key or a network, online tracking is refused in seconds, before a folder is made."""

import socket
import time
from contextlib import closing

import pytest

from vit.check.preflight import preflight
from vit.cli import sync as sync_command
from vit.cli.compose import compose
from vit.faults import Refused
from vit.runs import online
from vit.runs.online import unreachable, why_not_online

KEY = "0123456789" * 4


@pytest.fixture
def listening():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody():
    """An address at which nothing listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def no_home(tmp_path, monkeypatch, nobody):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_BASE_URL", nobody)
    monkeypatch.chdir(tmp_path)


def test_a_key_is_looked_for_where_wandb_looks(tmp_path, monkeypatch, listening):
    monkeypatch.setenv("WANDB_BASE_URL", listening)
    assert f"no key for {listening}" in why_not_online()
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {listening.removeprefix('http://')}\nlogin user\npassword {KEY}\n")
    with monkeypatch.context() as patch:
        patch.setenv("NETRC", str(netrc))
        assert why_not_online() is None
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", "offline")  # of the shell; the run asked to be online
    assert why_not_online() is None
    monkeypatch.setenv("WANDB_API_KEY", "short")
    assert "cannot be used" in why_not_online() and KEY not in why_not_online()
    assert list(tmp_path.iterdir()) == [netrc]


def _slow(*_, **__):
    time.sleep(1)
    raise OSError


def test_without_a_network_it_is_told_within_seconds(monkeypatch, nobody):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    began = time.monotonic()
    assert f"{nobody} cannot be reached" in why_not_online()
    monkeypatch.setattr(online.socket, "create_connection", _slow)
    assert "no answer" in unreachable("https://somewhere.example", 0.2)
    assert time.monotonic() - began < 3


def test_what_counts_is_whether_the_proxy_answers(monkeypatch, listening, nobody):
    monkeypatch.setenv("https_proxy", listening)
    assert unreachable("https://somewhere.example") is None
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert unreachable(nobody.replace("http:", "https:")) is not None
    assert "no address" in unreachable("nonsense")


@pytest.mark.parametrize("asked", ["word", "environment"])
def test_the_check_refuses_to_go_online_without_a_key(monkeypatch, asked):
    if asked == "environment":
        monkeypatch.setenv("WANDB_MODE", "online")
    words = ["tracking.mode=online"] if asked == "word" else []
    report = preflight(compose(["experiment=digits", "trainer=cpu", *words]))
    (fault,) = report.faults
    assert fault.where == "tracking.mode" and "no key for" in fault.message
    assert "tracking.mode=offline" in fault.message and "vit sync" in fault.message


def test_offline_nothing_is_asked(monkeypatch):
    monkeypatch.setattr("vit.check.settings.why_not_online", lambda: pytest.fail("asked"))
    report = preflight(compose(["experiment=digits", "trainer=cpu", "tracking.mode=offline"]))
    assert report.faults == []


def test_sync_without_a_key_says_so_before_it_uploads(tmp_path, monkeypatch):
    part = tmp_path / "run" / "wandb" / "offline-run-1"
    part.mkdir(parents=True)
    monkeypatch.setattr(sync_command, "_upload", lambda *_: pytest.fail("uploaded"))
    with pytest.raises(Refused, match="no key for"):
        sync_command.main([str(tmp_path)])
    assert sync_command.main([str(tmp_path), "--dry-run"]) == 0
