"""As much of a W&B server as the client asks for, on this machine's loopback."""

import gzip
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Keeps what it was told: `runs` (upserts), `history` rows by run, `exit_codes` by run."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.runs: list[dict] = []
        self.history: dict[str, list[dict]] = {}
        self.exit_codes: dict[str, int] = {}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_):
        return None

    def do_PUT(self):
        self._body()
        self._answer({})

    def do_POST(self):
        body = self._body()
        if self.path.endswith("/graphql"):
            asked = json.loads(body)
            name = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])[1]
            told = getattr(self, f"_{name}", lambda variables: {})(asked.get("variables") or {})
            self._answer({"data": told})
            return
        if self.path.endswith("/file_stream"):
            self._stream(self.path.split("/")[-2], json.loads(body))
        self._answer({})

    def _stream(self, run, told):
        rows = told.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
        self.server.history.setdefault(run, []).extend(map(json.loads, rows))
        if told.get("complete"):
            self.server.exit_codes[run] = told["exitcode"]

    def _Viewer(self, _):
        return {"viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}"}}

    def _UpsertBucket(self, told):
        self.server.runs.append(told)
        project = {"id": "p", "name": told["project"], "entity": {"id": "e", "name": "me"}}
        bucket = {"id": "b", "name": told["name"], "displayName": "n", "project": project}
        return {"upsertBucket": {"bucket": {**bucket, "historyLineCount": 0}, "inserted": True}}

    def _CreateRunFiles(self, told):
        files = [{"name": f, "uploadUrl": f"{self.server.url}/upload/{f}"} for f in told["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}

    def _body(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, told):
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving():
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
