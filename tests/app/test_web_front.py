"""A web front of about twenty lines: it renders through the same call, with a reporter of its own."""

from __future__ import annotations

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import guidedstyle
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.progress import Update
from guidedstyle.results.record import Record
from guidedstyle.scene.scene import Scene


class WebFront(guidedstyle.SilentReporter):
    """Serves the progress of a render as JSON."""

    def __init__(self) -> None:
        self.progress, front = {"state": "planned"}, self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(front.progress).encode())

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def began(self, scene: Scene, plan: Plan) -> None:
        self.steps = sum(stage.steps for stage in plan.stages)

    def progressed(self, update: Update) -> None:
        self.progress = {"state": "rendering", "step": update.done, "of": self.steps}

    def ended(self, name: str, output: Path, record: Record, *, known: bool) -> None:
        self.progress = {"state": "ended", "output": output.name, "loss": record.losses.total}


def test_a_web_front_serves_the_progress_it_is_given(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    front, served = WebFront(), []

    def read() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{front.server.server_port}") as answer:
            served.append(json.load(answer))

    def read_at_every_step(update: Update) -> bool:
        read()
        return True

    read()
    options = guidedstyle.RenderOptions()
    result = guidedstyle.render(
        project / "recipe.yaml", read_at_every_step, options=options, reporter=front, device="cpu"
    )
    read()
    front.server.shutdown()
    front.server.server_close()
    assert result
    assert [one["state"] for one in served] == ["planned", *["rendering"] * 4, "ended"]
    assert [(one["step"], one["of"]) for one in served[1:-1]] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert served[-1] == {"state": "ended", "output": "recipe.png", "loss": result.record.losses.total}
    assert (project / "recipe.png").exists()
    assert capfd.readouterr() == ("", "")
