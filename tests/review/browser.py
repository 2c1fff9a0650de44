"""Chromium without a window, driven over a pipe: loads a file, evaluates, tells what went wrong."""

import json
import os
import shutil
import subprocess
import tempfile
import time


def chromium():
    return shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    """One page. `requests` are those that left it, `errors` what its console and policy said."""

    def __init__(self, width=1280, height=900):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        command += ["--remote-debugging-pipe", "--host-resolver-rules=MAP * ~NOTFOUND"]
        command += [f"--window-size={width},{height}", f"--user-data-dir={self._profile.name}"]
        # The pipe's ends must be 3 and 4 in the browser.
        wired = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", wired, "bash", *command, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        os.set_blocking(self._in, False)
        self._buffer, self._number, self._session = b"", 0, None
        self.requests, self.errors = [], []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", **size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def open(self, file, dark=False):
        """Seconds until the page has its leaderboard."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        began = time.monotonic()
        self._ask("Page.navigate", url=file.absolute().as_uri())
        self.wait("document.querySelectorAll('#leaderboard tbody tr').length > 0")
        return time.monotonic() - began

    def wait(self, expression, seconds=30):
        until = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < until, (expression, self.errors)
            time.sleep(0.05)

    def evaluate(self, expression):
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, (expression, answer)
        return answer["result"].get("value")

    def picture(self, whole=True):
        import base64

        answer = self._ask("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def _ask(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            answer = self._next()
            if answer is None:
                time.sleep(0.005)
            elif answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            elif "method" in answer:
                self._note(answer["method"], answer["params"])
        raise TimeoutError(method)

    def _next(self):
        if b"\0" not in self._buffer:
            try:
                self._buffer += os.read(self._in, 1 << 20)
            except BlockingIOError:
                return None
        if b"\0" not in self._buffer:
            return None
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def _note(self, method, event):
        if method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(event["exceptionDetails"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            self.errors.append(event["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning"):
            self.errors.append(str(event["args"]))
