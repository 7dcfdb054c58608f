"""The explorer's server without a browser: who gets an answer, and what is refused in a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
import xarray as xr
from bokeh.io.state import curstate

from xinsitu.app.network import HEADERS, origins, refusal
from xinsitu.app.serve import Explorer, explore
from xinsitu.cli import main
from xinsitu.errors import XinsituError
from xinsitu.recipe import Reading
from xinsitu.simulate import Truth

TOKYO = Reading(tz="Asia/Tokyo")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Panel and its parts, in threads that pytest does not own


@pytest.fixture(scope="module")
def local(experiment: Truth) -> Iterator[Explorer]:
    explorer = explore(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, browser=False)
    yield explorer
    explorer.stop()


@pytest.fixture(scope="module")
def public(experiment: Truth) -> Iterator[Explorer]:
    explorer = explore(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, browser=False, public=True)
    yield explorer
    explorer.stop()


def get(explorer: Explorer, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    port = urlsplit(explorer.url).port
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as fault:
        return fault.code, fault.read().decode(), dict(fault.headers)


def websocket(explorer: Explorer, path: str = "/ws", **headers: str) -> int:
    """Status of the answer to a websocket's opening: 101 where it is let in."""
    from bokeh.util.token import generate_jwt_token, generate_session_id

    port = urlsplit(explorer.url).port
    lines = {
        "Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": f"bokeh, {generate_jwt_token(generate_session_id())}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }  # fmt: skip
    text = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(text.encode())
        return int(connection.recv(4096).split()[1])


def raw(explorer: Explorer, lines: bytes) -> int:
    """Status of the answer to a request as it stands, head and all."""
    with socket.create_connection(("127.0.0.1", urlsplit(explorer.url).port), timeout=60) as connection:
        connection.sendall(lines)
        answer = connection.recv(4096)
    return int(answer.split()[1]) if answer else 0


async def sent(explorer: Explorer, *messages: tuple[str, object]) -> list[str]:
    """Open a page, send messages of the given types and contents as its scripts do, and return the types of answers."""
    from tornado.httpclient import HTTPRequest
    from tornado.websocket import websocket_connect

    address = f"127.0.0.1:{urlsplit(explorer.url).port}"
    page = await asyncio.to_thread(lambda: urllib.request.urlopen(explorer.url, timeout=60).read().decode())
    named = re.search(r'"token":"([^"]+)"', page)[1]
    line = await websocket_connect(
        HTTPRequest(f"ws://{address}/ws?token={explorer.token}", headers={"Origin": f"http://{address}"}),
        subprotocols=["bokeh", named],
    )
    kinds: list[str] = []

    async def read_until(last: str) -> None:
        while last not in kinds:
            part = await asyncio.wait_for(line.read_message(), 60)
            kinds.extend(re.findall(r'"msgtype":\s*"([A-Z-]+)"', part[:200]) if isinstance(part, str) else [])

    await read_until("ACK")
    for number, (kind, content) in enumerate((*messages, ("SERVER-INFO-REQ", {}))):
        for part in ({"msgid": str(number), "msgtype": kind}, {}, content):
            await line.write_message(json.dumps(part))
    await read_until("SERVER-INFO-REPLY")
    line.close()
    return kinds


OURS = "This explorer "
"""So begins each of our refusals."""


class TestLocal:
    def test_it_listens_on_this_machine_only(self, local: Explorer):
        port = urlsplit(local.url).port
        listening = []
        for kind in ("tcp", "tcp6"):
            with open(f"/proc/net/{kind}") as table:
                rows = [line.split() for line in table.readlines()[1:]]
            listening += [row[1] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port]
        assert listening == [f"0100007F:{port:04X}"]

    @pytest.mark.thorough
    def test_at_a_prompt_it_says_what_it_shows_and_where(self, local: Explorer):
        assert repr(local) == f"<xinsitu explorer of {local.source.name} at {local.url}>"

    @pytest.mark.thorough
    def test_the_page_comes_by_the_names_of_this_machine(self, local: Explorer):
        port = urlsplit(local.url).port
        for host in (f"127.0.0.1:{port}", "localhost:9999", "LocalHost"):  # the second: through a tunnel
            assert get(local, f"/?token={local.token}", Host=host)[0] == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "[abc]", "a b", "localhost:", ":80",
         "localhost:99999", "localhost:port", "localhost:80:80", "user@localhost", "localhost/", "0.0.0.0", "127.1",
         "l\xf6calhost", "localhost%00", "\x00"],
    )  # fmt: skip
    @pytest.mark.parametrize("path", ["/", "/ws", "/autoload.js", "/metadata", "/static/js/bokeh.min.js", "/nothing"])
    def test_a_name_bent_to_this_machine_gets_nothing(self, local: Explorer, host: str, path: str):
        lines = f"GET {path}?token={local.token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert raw(local, lines.encode("latin-1")) in (400, 403)

    def test_two_names_or_none_get_nothing(self, local: Explorer):
        start = f"GET /?token={local.token} HTTP/1.1\r\nConnection: close\r\n".encode()
        assert raw(local, start + b"\r\n") in (400, 403, 0)
        assert raw(local, start + b"Host: localhost\r\nHost: evil.example\r\n\r\n") in (400, 403, 0)

    @pytest.mark.parametrize("path", ["/", "/ws", "/static/js/bokeh.min.js"])
    def test_a_port_of_thousands_of_digits_prints_no_traceback(self, local: Explorer, caplog, path: str):
        host = f"Host: localhost:{'1' * 5000}\r\nConnection: close\r\n\r\n"
        assert raw(local, f"GET {path}?token={local.token} HTTP/1.1\r\n{host}".encode()) == 400
        assert not [line for line in caplog.records if line.exc_info]

    @pytest.mark.thorough
    def test_cookies_of_other_servers_do_not_matter(self, local: Explorer, caplog):
        assert get(local, f"/?token={local.token}", Host="localhost", Cookie="bytes=1")[0] == 200
        assert not [line for line in caplog.records if line.exc_info]

    def test_only_what_the_page_needs_is_there(self, local: Explorer):
        """Panel's own server imports any module that is asked for, embeds and describes."""
        import sys

        known = set(sys.modules)
        for path in ("/components/antigravity/x/css/y", "/components/this/x/_css/y", "/autoload.js", "/metadata",
                     "/index", "/liveness", "/admin", "/favicon.ico", "/panel_dist/x", "/ws/", "/rest", "/nothing",
                     "/static", "/static/"):  # fmt: skip
            status, text, headers = get(local, f"{path}?token={local.token}")
            assert (status, text) == (404, "This explorer has nothing here.\n"), path
            assert headers["X-Content-Type-Options"] == "nosniff"
            status, text, _ = get(local, path)
            assert (status, text.startswith(OURS)) == (403, True), path
        assert not {"antigravity", "this"} & (set(sys.modules) - known)

    @pytest.mark.thorough("/%ff")
    @pytest.mark.parametrize(
        "path",
        ["//", "/../etc/passwd", "/static/../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/static/js/%00",
         "/static/js//bokeh.min.js", "/static/.hidden", "/static/js/a%5cb", "/%ff", "/static/%ff", "/?%ff=%00", "/%",
         "/;", "/static/extensions/", "/static/extensions/panel/../../x", "*", "http://evil.example/", "/" + "a" * 5000,
         "/static/extensions/nothing/x.js", "/?bokeh-session-id=../../x", "/?view=%00%ff"],
    )  # fmt: skip
    def test_odd_paths_are_refused_and_never_fail(self, local: Explorer, path: str):
        host = f"Host: localhost:{urlsplit(local.url).port}\r\nConnection: close\r\n\r\n"
        both = "&" if "?" in path else "?"
        for asked in (path, f"{path}{both}token={local.token}"):
            assert raw(local, f"GET {asked} HTTP/1.1\r\n{host}".encode("latin-1")) in (200, 400, 403, 404), asked
            assert not (asked is path and raw(local, f"GET {asked} HTTP/1.1\r\n{host}".encode("latin-1")) == 200)

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
    def test_nothing_is_taken(self, local: Explorer, method: str):
        head = f"{method} /?token={local.token} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        assert raw(local, (head + "Content-Length: 0\r\n\r\n").encode()) == 405

    @pytest.mark.thorough
    def test_pages_of_strangers_get_no_websocket(self, local: Explorer):
        port = urlsplit(local.url).port
        path = f"/ws?token={local.token}"
        assert websocket(local, path, Origin=f"http://127.0.0.1:{port}") == 101
        assert websocket(local, path, Origin=f"http://localhost:{port}") == 101
        assert websocket(local, path, Host="localhost:9999", Origin="http://localhost:9999") == 101  # by a tunnel
        for origin in ("http://evil.example", f"http://evil.example:{port}", "http://127.0.0.1:1", "null", "http://[",
                       f"ftp://127.0.0.1:{port}", f"http://127.0.0.1:{port}@evil.example", "", "file://"):  # fmt: skip
            assert websocket(local, path, Origin=origin) == 403, origin
        assert websocket(local, path, Host=f"evil.example:{port}", Origin=f"http://127.0.0.1:{port}") == 403

    def test_without_the_token_there_is_nothing_here_either(self, local: Explorer):
        """Other users of this machine reach the port; what they do not have is the address."""
        port = urlsplit(local.url).port
        assert len(local.token) >= 32
        assert local.url == f"http://127.0.0.1:{port}/?token={local.token}"
        right = local.token
        other = "A" if right[-1] != "A" else "B"
        for guess in ("", right[0], right[:1] + "x" * (len(right) - 1), right[:-1], right[:-1] + other, right + "x",
                      right.swapcase(), "%ff", "%C3%A9"):  # fmt: skip
            status, text, _ = get(local, f"/?token={guess}")
            assert (status, text.startswith("This explorer is open only to those")) == (403, True), guess
            assert websocket(local, f"/ws?token={guess}", Origin=f"http://127.0.0.1:{port}") == 403, guess
        assert get(local, f"/?token={right}&token=x")[0] == 403
        assert get(local, "/", Cookie=f"token={right}", Authorization=f"token {right}")[0] == 403

    def test_tokens_are_compared_in_constant_time(self, monkeypatch):
        """How long a refusal takes says nothing of how much of a guess was right."""
        asked = []
        monkeypatch.setattr("hmac.compare_digest", lambda one, other: asked.append((one, other)) or one == other)
        assert refusal("localhost", "/", "guess", "secret")[0] == 403
        assert refusal("localhost", "/", "secret", "secret") is None
        assert asked == [(b"guess", b"secret"), (b"secret", b"secret")]

    def test_messages_leave_at_once(self, local: Explorer, monkeypatch):
        """Without TCP_NODELAY a frame that is there after 30 ms comes to the page after 60."""
        from tornado.websocket import WebSocketHandler

        found, plain = threading.Event(), WebSocketHandler.set_nodelay

        def noted(handler: WebSocketHandler, value: bool) -> None:
            plain(handler, value)
            connection = handler.ws_connection.stream.socket
            if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY):
                found.set()

        monkeypatch.setattr(WebSocketHandler, "set_nodelay", noted)
        path = f"/ws?token={local.token}"
        assert websocket(local, path, Origin=f"http://127.0.0.1:{urlsplit(local.url).port}") == 101
        assert found.wait(20)

    @pytest.mark.thorough
    def test_what_a_page_sends_of_a_wrong_kind_is_a_line_once_and_it_goes_on(self, experiment: Truth, caplog):
        one = explore(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, browser=False)
        with contextlib.closing(SimpleNamespace(close=one.stop)):
            patch = ("PATCH-DOC", {"events": [{"kind": "TitleChanged", "title": {"id": "x\n" * 999}}]})
            assert asyncio.run(sent(one, patch, patch)).count("ERROR") == 2
        lines = [line for line in caplog.records if line.levelno >= logging.WARNING]
        assert [len(line.getMessage().splitlines()) for line in lines] == [1]
        assert not lines[0].exc_info

    @pytest.mark.thorough
    def test_every_answer_forbids_the_world(self, local: Explorer):
        for path in (f"/?token={local.token}", "/", "/static/js/bokeh.min.js", "/nothing", "/favicon.ico"):
            headers = get(local, path)[2]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert "http" not in HEADERS["Content-Security-Policy"].split("frame-ancestors")[0]

    @pytest.mark.thorough
    def test_the_page_names_no_other_machine(self, local: Explorer):
        import re

        text = get(local, f"/?token={local.token}")[1]
        loaded = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", text)
        assert any(one.startswith("data:image/svg+xml;base64,PHN2Zy") for one in loaded)  # the tab's picture
        assert [one for one in loaded if one.startswith(("http:", "https:", "//"))] == []


class TestPublic:
    @pytest.mark.thorough
    def test_without_the_token_there_is_nothing(self, public: Explorer):
        tabs = len(public._models)
        for path in ("/", "/?token=", "/?token=guess", "/autoload.js", "/metadata", "/ws", "/nothing"):
            status, text, _ = get(public, path)
            assert (status, text.startswith("This explorer is open only to those")) == (403, True), path
        assert websocket(public) == 403
        assert websocket(public, "/ws?token=guess") == 403
        assert len(public._models) <= tabs

    @pytest.mark.thorough
    def test_with_the_token_there_is_everything(self, public: Explorer):
        assert len(public.token) >= 32
        assert public.url.endswith(f"/?token={public.token}")
        status, text, _ = get(public, f"/?token={public.token}")
        assert status == 200
        assert "0884/time1" in text
        assert websocket(public, f"/ws?token={public.token}") == 101

    @pytest.mark.thorough
    def test_origins_hold_with_the_token_too(self, public: Explorer):
        path = f"/ws?token={public.token}"
        assert websocket(public, path, Origin="http://evil.example") == 403
        port = urlsplit(public.url).port
        assert websocket(public, path, Origin=f"http://{socket.gethostname()}:{port}") == 101
        assert f"{socket.gethostname()}:{port}" in origins(port, public=True)

    @pytest.mark.thorough
    def test_each_start_has_a_token_of_its_own(self, experiment: Truth, public: Explorer):
        other = explore(experiment.folders["time1"], reading=TOKYO, browser=False, public=True)
        other.stop()
        assert other.token != public.token


class TestLife:
    def test_a_port_that_is_taken_is_one_sentence(self, experiment: Truth, local: Explorer):
        port = urlsplit(local.url).port
        with pytest.raises(XinsituError, match=rf"port {port}\b.*taken"):
            explore(experiment.folders["time1"], reading=TOKYO, browser=False, port=port)

    @pytest.mark.thorough
    def test_stopping_gives_back_the_port_and_the_turns_of_threads(self, experiment: Truth):
        before = sys.getswitchinterval()  # of another explorer that is served
        sys.setswitchinterval(0.01)
        one = explore(experiment.folders["time1"], reading=TOKYO, browser=False)
        during = sys.getswitchinterval()
        one.stop()
        after = sys.getswitchinterval()
        sys.setswitchinterval(before)
        assert during < 0.005
        assert after == 0.01
        two = explore(experiment.folders["time1"], reading=TOKYO, browser=False, port=urlsplit(one.url).port)
        two.stop()
        assert not two._thread.is_alive()

    @pytest.mark.thorough
    def test_a_tab_that_is_gone_is_not_the_current_document(self, experiment: Truth, monkeypatch):
        monkeypatch.setattr("xinsitu.app.explorer.CLOSED_TAB", 1)
        plain = curstate().document
        explorer = explore(experiment.folders["time1"], reading=TOKYO, browser=False)
        urllib.request.urlopen(explorer.url, timeout=60).read()
        (session,) = explorer._sessions
        left = curstate().document = session.document  # as a page leaves it that is made while this tab is at work
        end = time.monotonic() + 60
        while explorer._sessions and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.2)
        kept = curstate().document
        curstate().document = plain
        explorer.stop()
        assert explorer._sessions == []
        assert kept is not left

    @pytest.mark.thorough
    def test_what_comes_late_is_silent(self, experiment: Truth, caplog):
        explorer = explore(experiment.folders["time1"], reading=TOKYO, browser=False)
        urllib.request.urlopen(explorer.url, timeout=60).read()
        (session,) = explorer._sessions

        def end() -> None:  # as a page does that sends while it is stopped
            for job in session.jobs:
                job.ask()
            explorer.stop()
            for job in session.jobs:
                job.ask()

        explorer._loop.call_soon_threadsafe(end)
        explorer._thread.join(30)
        assert not explorer._thread.is_alive()
        assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []

    @pytest.mark.thorough
    def test_its_documents_are_no_longer_current_ones(self, experiment: Truth):
        """A callback that fails leaves its document there for good (Bokeh 3.9); the end of the server takes it away."""
        from bokeh.io import doc as current

        one = explore(experiment.folders["time1"], rois=experiment.rois, reading=TOKYO, browser=False)
        assert get(one, f"/?token={one.token}")[0] == 200
        (document,) = one._documents
        current._PATCHED_CURDOCS.append(weakref.ref(document))
        one.stop()
        assert all(getattr(left(), "_doc", left()) is not document for left in current._PATCHED_CURDOCS)

    def test_a_figure_is_drawn_whatever_the_current_document_is(self, experiment: Truth, monkeypatch, tmp_path):
        """Even one that is taken apart already; it is nobody's: a live one is used by its callbacks meanwhile."""
        from bokeh.document import Document
        from bokeh.io import curdoc
        from bokeh.io import doc as current

        import xinsitu as xi

        gone = Document()
        monkeypatch.setattr(current, "_PATCHED_CURDOCS", [weakref.ref(gone)])
        del gone._theme, gone.callbacks
        times = np.datetime64("2014-05-28T08:00", "ns") + np.arange(9) * np.timedelta64(1, "s")
        series = xr.Dataset({"intensity": (("time", "roi"), np.ones((9, 1)))}, {"time": times, "roi": ["WZ"]})
        xi.save_plot(series, tmp_path / "figure.html")
        assert curdoc() is gone


class TestTheCommand:
    @pytest.mark.thorough
    def test_bad_input_is_one_sentence_each(self, experiment: Truth, local: Explorer, tmp_path, capsys):
        time1 = str(experiment.folders["time1"])
        (tmp_path / "empty").mkdir()
        (tmp_path / "rois.json").write_text("{")
        cases = {
            (str(tmp_path / "nothing"),): "there is no such folder",
            (str(tmp_path / "empty"),): "the folder is empty",
            (time1, "--rois", str(tmp_path / "rois.json")): "rois.json",
            (time1, "--rois", str(tmp_path / "none.json")): "none.json",
            (time1, str(tmp_path / "noflat")): "noflat",
            (time1, "--port", str(urlsplit(local.url).port)): "taken by another program",
            (time1, "--port", "99999"): "port 99999",
        }
        for words, said in cases.items():
            assert main(["explore", *words, "--no-browser", "--tz", "Asia/Tokyo"]) == 1, words
            lines = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
            lines = [line for line in lines if not line.startswith("xinsitu: correction: ")]
            assert len(lines) == 1, words
            assert lines[0].startswith("xinsitu: error: ")
            assert said in lines[0]

    def test_without_a_browser_there_is_the_address(self, experiment: Truth, monkeypatch, capsys):
        monkeypatch.setattr("webbrowser.open", lambda url: False)
        monkeypatch.setattr(Explorer, "wait", lambda self: self.stop())
        assert main(["explore", str(experiment.folders["time1"]), "--tz", "Asia/Tokyo"]) == 0
        assert capsys.readouterr().out.splitlines()[0].startswith("http://127.0.0.1:")
