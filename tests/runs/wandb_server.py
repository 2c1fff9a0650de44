"""As much of a W&B server as the client asks for, on this machine's loopback.

An operation that is not among those below is answered with HTTP 400 and an error, and kept in
`unknown`: wandb that begins to ask for more is seen, and not answered with an empty yes.
"""

import base64
import gzip
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENTITY = "me"


class Server(ThreadingHTTPServer):
    """Keeps what it was told.

    `runs` are the upserts in their order, `kept` what a run has become by project and id,
    `history` its rows, `exit_codes` its end; `uploads` the files, `artifacts` the names and `views`
    the workspaces; `asked` each operation in its order.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.runs: list[dict] = []
        self.kept: dict[tuple[str, str], dict] = {}
        self.history: dict[str, list[dict]] = {}
        self.exit_codes: dict[str, int] = {}
        self.uploads: dict[str, bytes] = {}
        self.artifacts: list[dict] = []
        self.views: list[dict] = []
        self.asked: list[str] = []
        self.unknown: list[str] = []
        self.key = "a" * 40

    def environment(self):
        """What points a client to this server."""
        told = {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": self.key}
        return {**told, "WANDB_ERROR_REPORTING": "false"}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_):
        return None

    def do_PUT(self):
        self.server.uploads[self.path.removeprefix("/upload/")] = self._body()
        self._answer({})

    def do_GET(self):
        self._answer({"errors": [{"message": f"no such page {self.path}"}]}, 404)

    def do_POST(self):
        body = self._body()
        if self.path.endswith("/file_stream"):
            project, run = self.path.split("/")[-3:-1]
            self._stream(project, run, json.loads(body))
            self._answer({})
            return
        asked = json.loads(body)
        name = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])[1]
        self.server.asked.append(name)
        answers = getattr(self, f"_{name}", None)
        if not self._is_known():
            self._answer({"errors": [{"message": "user is not logged in"}]}, 401)
        elif answers is None:
            self.server.unknown.append(name)
            self._answer({"errors": [{"message": f"no operation {name} here"}]}, 400)
        else:
            self._answer({"data": answers(asked.get("variables") or {})})

    def _is_known(self):
        told = self.headers.get("Authorization", "").removeprefix("Basic ")
        return base64.b64decode(told).decode().endswith(f":{self.server.key}")

    def _stream(self, project, run, told):
        files = told.get("files", {})
        rows = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
        kept = self.server.history.setdefault(run, [])
        first, content = rows["offset"], [_row(line) for line in rows["content"]]
        kept[first : first + len(content)] = content  # sent again is not written twice
        kept = self.server.kept[project, run]
        for line in files.get("wandb-summary.json", {}).get("content", [])[-1:]:
            kept["summaryMetrics"] = line
        if told.get("complete"):
            self.server.exit_codes[run] = told["exitcode"]
            kept["state"] = "failed" if told["exitcode"] else "finished"

    def _Viewer(self, _):
        return {"viewer": {"id": "u", "entity": ENTITY, "username": ENTITY, "flags": "{}"}}

    def _GetDefaultEntity(self, _):
        return {"viewer": {"id": "u", "entity": ENTITY}}

    def _OrganizationCoreWeaveOrganizationID(self, _):
        return {"entity": {"organization": None}}

    def _ServerFeaturesQuery(self, _):
        return {"serverInfo": {"features": []}}

    def _UpsertBucket(self, told):
        self.server.runs.append(told)
        name, project = told["name"], told["project"]
        fresh = (project, name) not in self.server.kept
        kept = self.server.kept.setdefault((project, name), {"name": name, "state": "running"})
        renamed = {"groupName": "group", "program": "program", "summaryMetrics": "summaryMetrics"}
        same = ("config", "displayName", "jobType", "commit", "tags", "notes", "state")
        for theirs, ours in {**renamed, **{key: key for key in same}}.items():
            if told.get(theirs) is not None:
                kept[ours] = told[theirs]
        lines = len(self.server.history.get(name, []))
        bucket = {
            **{"id": f"id-{name}", "name": name, "displayName": kept.get("displayName")},
            **{"config": kept.get("config"), "historyLineCount": lines},
            "project": {"id": "p", "name": project, "entity": {"id": "e", "name": ENTITY}},
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": fresh}}

    def _RunResumeStatus(self, told):
        project = {"id": "p", "name": told["project"], "entity": {"id": "e", "name": ENTITY}}
        kept = self.server.kept.get((told["project"], told["name"]))
        if kept is None:
            return {"model": {**project, "bucket": None}}
        rows = self._rows(told["name"])
        bucket = {
            **{"id": f"id-{told['name']}", "name": told["name"], "config": kept["config"]},
            **{"displayName": kept.get("displayName"), "tags": []},
            **{"summaryMetrics": kept.get("summaryMetrics", "{}"), "wandbConfig": "{}"},
            **{"historyLineCount": len(rows), "eventsLineCount": 0, "logLineCount": 0},
            **{"historyTail": json.dumps([json.dumps(row) for row in rows[-1:]])},
            "eventsTail": "[]",
        }
        return {"model": {**project, "bucket": bucket}}

    def _CreateRunFiles(self, told):
        run = told["run"]
        files = [{"name": f, "uploadUrl": self._upload_url(f"{run}/{f}")} for f in told["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}

    def _upload_url(self, name):
        return f"{self.server.url}/upload/{name}"

    def _ArtifactType(self, _):
        return {"project": {"artifact": None}}  # no artifact of this name yet

    def _CreateArtifact(self, told):
        self.server.artifacts.append(told)
        kept = {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s"}}
        return {"createArtifact": {"artifact": kept}}

    def _UpsertView2(self, told):
        self.server.views.append(told)
        kept = {"id": "v", "name": told.get("name", ""), "type": "project-view"}
        return {"upsertView": {"view": kept, "inserted": True}}

    def _Runs(self, told):
        kept = [run for (project, _), run in self.server.kept.items() if project == told["project"]]
        if not kept:
            return {"project": None}
        first = int(told.get("cursor") or 0)
        some = kept[first : first + told["perPage"]]
        edges = [
            {"node": self._run(told, run), "cursor": str(at)}
            for at, run in enumerate(some, first + 1)
        ]
        more = first + len(some) < len(kept)
        page = {"endCursor": str(first + len(some)), "hasNextPage": more}
        runs = {"edges": edges, "pageInfo": page}
        project = {"internalId": "1", "readOnly": False, "runCount": len(kept), "runs": runs}
        return {"project": project}

    def _Run(self, told):
        run = self.server.kept.get((told["project"], told["name"]))
        return {"project": {"run": None if run is None else self._run(told, run)}}

    def _run(self, told, run):
        kept = {"id": f"id-{run['name']}", "projectId": "1", "readOnly": False, "tags": []}
        kept |= {"createdAt": "2026-01-01T00:00:00", "heartbeatAt": "2026-01-01T00:10:00"}
        kept |= {"summaryMetrics": "{}", "systemMetrics": "{}", "config": "{}", "sweepName": None}
        kept |= {"group": None, "jobType": None, "displayName": None, "commit": None, "notes": ""}
        kept |= {"historyLineCount": len(self._rows(run["name"])), "description": "", **run}
        return {**kept, "user": {"name": ENTITY, "username": ENTITY}, **self._keys(run["name"])}

    def _rows(self, run):
        return self.server.history.get(run, [])

    def _keys(self, run):
        rows = self._rows(run)
        last = max((row.get("_step", at) for at, row in enumerate(rows)), default=-1)
        keys = {key: {"typeCounts": [{"type": "number"}]} for row in rows for key in row}
        return {"historyKeys": {"sets": [], "keys": keys, "lastStep": last}}

    def _RunHistoryKeys(self, told):
        return {"project": {"run": self._keys(told["name"])}}

    def _RunParquetHistory(self, told):
        # What has not been exported yet is all there is.
        live = self._rows(told.get("runName") or told.get("name"))
        return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": live}}}}

    def _HistoryPage(self, told):
        rows = self._rows(told.get("run") or told.get("runName") or told.get("name"))
        wanted = [
            json.dumps(row)
            for at, row in enumerate(rows)
            if told["minStep"] <= row.get("_step", at) < told["maxStep"]
        ]
        return {"project": {"run": {"history": wanted}}}

    def _RunFullHistory(self, told):
        rows = self._rows(told["name"])
        return {"project": {"run": {"history": [json.dumps(row) for row in rows]}}}

    def _body(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, told, code=200):
        data = json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _row(line):
    """The client sends NaN and Infinity as JSON has them not; the server gives strings back."""
    return json.loads(line, parse_constant=str)


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
