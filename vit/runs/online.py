"""Whether W&B's server could be written to from here, found out in seconds."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

SECONDS = 2.0  # for the server's first answer, looking up its address included


def why_not_online() -> str | None:
    """What is missing, as the end of a sentence; None where there are a key and a way there.

    The key is looked for where wandb itself looks for it: in the environment, its settings,
    .netrc. The server is only connected to: whether it takes the key is not asked.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    with _asking():
        server = wandb.setup().settings.base_url
        try:
            has_key = wandb.login(verify=False, prompt=False)
        except wandb.errors.Error as error:  # of a key that cannot be one
            return f"the key for {server} cannot be used: {str(error).rstrip('.')}"
        finally:
            wandb.teardown()
    if not has_key:
        return f"there is no key for {server}; `wandb login`, or WANDB_API_KEY, says who you are"
    if (problem := unreachable(server)) is not None:
        return f"{server} cannot be reached: {problem}"
    return None


@contextmanager
def _asking() -> Iterator[None]:
    """Online, whatever is set, and silent; what wandb writes meanwhile goes nowhere."""
    names = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ARTIFACT_DIR")
    before = {name: os.environ.get(name) for name in (*names, "WANDB_MODE", "WANDB_SILENT")}
    with TemporaryDirectory() as home:
        os.environ.update(dict.fromkeys(names, home), WANDB_MODE="online", WANDB_SILENT="true")
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def unreachable(server: str, seconds: float = SECONDS) -> str | None:
    """Why nothing listens there, or at the proxy before it, or None; within `seconds`."""
    problem: list[str | None] = [f"no answer within {seconds:.0f} s"]

    def connect() -> None:
        try:
            with socket.create_connection(_first_stop(server), timeout=seconds):
                problem[0] = None
        except (OSError, ValueError) as error:
            problem[0] = str(error)

    # A look-up of a name cannot be given a time, so it may be left behind.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return problem[0]


def _first_stop(server: str) -> tuple[str, int]:
    parts = urlsplit(server)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.netloc):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if not parts.hostname:
        raise ValueError(f"{server!r} is no address of a server")
    return parts.hostname, parts.port or {"https": 443}.get(parts.scheme, 80)
