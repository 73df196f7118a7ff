"""The workbench: what it answers, what it refuses, and that nothing that is asked can hold it up.

Requests go through a real server; a check that hangs is a regular expression that backtracks for years.
"""

import asyncio
import hashlib
import http.client
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from starlette.datastructures import Headers

from growproof.reports.workbench import answering, app, serving
from growproof.reports.workbench.guard import names_of, refusal
from growproof.reports.workbench.work import BusyError, LateError, Workers
from growproof.symbolic.variant import catalogue, load

TEXT = load("mlp-expansion").text
FALSE = 'name = "Louder"\n[rewrite]\nW_V = "2*W_V"\nW_O = "[W_O]"\n'
MALFORMED = 'name = "Wrong"\n[rewrite]\nW_V = "2*W_W"\n'
HANGS = ("(a+)+$", "a" * 60 + "b")  # for re.fullmatch
JSON = {"Content-Type": "application/json"}
LIMIT = 30  # seconds, for what must come sooner than a check's own limit makes it


def head_of(request, **headers):
    """The beginning of a request, as bytes."""
    lines = (f"{name}: {value}" for name, value in {"Host": "localhost", **headers}.items())
    return "\r\n".join([f"{request} HTTP/1.1", *lines, "", ""]).encode()


@dataclass(frozen=True)
class Site:
    """A served workbench, and how to ask it."""

    port: int

    def ask(self, method="GET", path="/", body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def post(self, path="/check", headers=None, **given):
        return self.ask(
            "POST", path, json.dumps(given).encode(), {"Content-Type": "application/json", **(headers or {})}
        )

    def check(self, text, architecture=None):
        return self.post(text=text, architecture=architecture).json

    @contextmanager
    def left_waiting(self, **given):
        """A request whose client does not read, and then goes away."""
        body = json.dumps(given).encode()
        head = head_of("POST /check", **JSON, **{"Content-Length": len(body)})
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT) as client:
            client.sendall(head + body)
            yield


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@contextmanager
def served(course=None, **limits):
    """A workbench in a thread, with its own processes."""
    with serving.bound("127.0.0.1", 0) as place, Workers(answering.ready, **{"count": 1, **limits}) as workers:
        application = app.application(workers, names_of("127.0.0.1"), course)
        server = uvicorn.Server(serving.settings(application))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            yield Site(place.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "secret.txt").write_text("secret", encoding="utf-8")
    course = folder / "course"
    course.mkdir()
    (course / "index.html").write_text("<!DOCTYPE html><title>Lessons</title>", encoding="utf-8")
    (course / "lecturer.html").write_text("a solution", encoding="utf-8")
    for kind in ("student", "instructor"):
        (course / "notebooks" / kind).mkdir(parents=True)
        (course / "notebooks" / kind / "01.ipynb").write_text("a solution", encoding="utf-8")
    (course / "link.txt").symlink_to(folder / "secret.txt")
    with served(course) as site:
        yield site


# ---------------------------------------------------------------- answers


def without_time(found):
    return {key: value for key, value in found.items() if key not in ("seconds", "html")}


@pytest.mark.parametrize("text", [TEXT, FALSE, MALFORMED], ids=["true", "false", "malformed"])
def test_the_answer_is_that_of_the_command(site, run, tmp_path, text):
    path = tmp_path / "variant"
    path.write_text(text, encoding="utf-8")
    expected = json.loads(run("check", path, "--json").out)
    if "error" in expected:
        expected["error"]["file"] = answering.FILE
    assert without_time(site.check(text)) == without_time(expected)


def test_a_true_variant_comes_with_picture_derivation_and_what_learns(site):
    found = site.check(TEXT)
    assert found["verdict"] == "proved"
    for part in ("✓", 'class="picture"', 'class="chain"', "What learns", "at step 1"):
        assert part in found["html"]


def test_a_false_variant_comes_with_its_counterexample_and_repairs(site):
    found = site.check(FALSE)
    assert found["verdict"] == "refuted"
    assert 'class="board"' in found["html"]
    assert found["html"].count('class="repair"') == len(found["repairs"]) > 0


def test_a_malformed_variant_gets_the_place_and_what_was_expected(site):
    error = site.check(MALFORMED)["error"]
    assert (error["line"], error["column"], error["found"]) == (3, 10, "W_W")
    assert "W_V" in error["expected"]


def test_the_architecture_can_be_chosen(site):
    assert site.check(TEXT, "llama")["architecture"] == "llama"
    assert "llama" in site.check(TEXT, "lama")["error"]["expected"]


def test_every_example_of_the_page_can_be_had_and_is_the_catalogues(site):
    page = site.ask().body.decode()
    for name in catalogue():
        assert f'value="{name}"' in page
        assert site.ask(path=f"/catalogue/{name}").body.decode() == load(name).text


def test_texts_of_a_variant_add_no_element(site):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    html = site.check(f'name = "{hostile}"\ndescription = "{hostile}"\n' + FALSE.split("\n", 1)[1])["html"]
    assert "<script" not in html
    assert "<img" not in html


# ---------------------------------------------------------------- what is given


@pytest.mark.parametrize("named", ["mlp-expansion", "/etc/passwd", "os:getcwd", "growproof.symbolic.variant:load"])
def test_a_text_is_never_a_name_a_path_or_an_object(site, named):
    assert "error" in site.check(named)
    assert "root:" not in json.dumps(site.check(named))


@pytest.mark.parametrize("name", ["..", "..%2f..%2f..%2fetc%2fpasswd", "mlp-expansion.toml", "%00", "../workbench.js"])
def test_an_example_is_looked_up_and_never_a_path(site, name):
    assert site.ask(path=f"/catalogue/{name}").status == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 90_000, 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"{}", 400),
        (b'{"text": 1}', 400),
        (b'{"text": "", "architecture": []}', 400),
        (b'{"text": "", "path": "/etc/passwd"}', 400),
        (b'{"text": "\\ud800"}', 400),
        (b'{"text": "\xff"}', 400),
        (b'{"text": "' + b" " * 99_000 + b'"}', 200),
        (b'{"text": "' + b" " * 200_000 + b'"}', 413),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else str(value),
)
def test_a_body_is_a_small_json_object(site, body, status):
    reply = site.ask("POST", "/check", body, JSON)
    assert reply.status == status
    assert (status == 200) or reply.json["error"]["message"]


def test_a_body_without_a_length_is_not_read_beyond_the_limit(site):
    pieces = (b" " * 10_000 for _ in range(10_000))
    with suppress(BrokenPipeError, ConnectionResetError):  # refused while it was still being sent
        assert site.ask("POST", "/check", pieces, JSON).status == 413
    assert next(pieces, None) is not None


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_of_another_site_is_no_json(site, kind):
    assert site.ask("POST", "/check", json.dumps({"text": TEXT}), {"Content-Type": kind}).status == 415


@pytest.mark.parametrize(("method", "path"), [("GET", "/check"), ("POST", "/"), ("PUT", "/check"), ("DELETE", "/")])
def test_other_methods_are_refused(site, method, path):
    assert site.ask(method, path).status == 405


# ---------------------------------------------------------------- who asks


@pytest.mark.parametrize(
    "host", ["rebound.example", "rebound.example:80", "127.0.0.1.rebound.example", "192.168.1.7", "", "[::1", "a@b"]
)
def test_another_name_for_this_machine_is_refused(site, host):
    assert site.ask(headers={"Host": host}).status == 421
    assert site.post(headers={"Host": host}, text=TEXT).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "[::1]:8000", "LOCALHOST"])
def test_its_own_names_are_answered(site, host):
    assert site.ask(headers={"Host": host}).status == 200


def test_two_host_headers_or_none_are_refused():
    names = names_of("127.0.0.1")
    one = (b"host", b"localhost")
    assert refusal("GET", Headers(raw=[one]), names) is None
    assert refusal("GET", Headers(raw=[one, one]), names)[0] == 421
    assert refusal("GET", Headers(raw=[]), names)[0] == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_a_page_of_another_origin_may_not_ask(site, headers):
    assert site.post(headers=headers, text=TEXT).status == 403
    assert site.post("/exercise", headers=headers).status == 403


def test_its_own_page_may_ask(site):
    own = {"Origin": f"http://127.0.0.1:{site.port}", "Sec-Fetch-Site": "same-origin"}
    assert site.post(headers=own, text=TEXT).json["verdict"] == "proved"


@pytest.mark.parametrize("path", ["/", "/workbench.js", "/workbench.css", "/icon.svg", "/nowhere", "/catalogue/no"])
def test_every_answer_has_the_strict_headers(site, path):
    for headers in ({}, {"Host": "rebound.example"}):
        found = site.ask(path=path, headers=headers).headers
        policy = dict(part.split(" ", 1) for part in found["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert "unsafe" not in found["Content-Security-Policy"]
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["Referrer-Policy"] == "no-referrer"
        assert found["Set-Cookie"] is None
        assert found["Server"] is None


def test_the_page_has_no_script_style_or_handler_within():
    found = page_source()
    assert re.findall(r"<script(?! src=)", found) == re.findall(r"<style", found) == []
    assert re.findall(r"\s(on\w+|style)=", found) == []


def page_source():
    return asyncio.run(app.page(True, None)).body.decode()


# ---------------------------------------------------------------- time


def test_a_check_that_hangs_is_killed_and_answered(monkeypatch):
    monkeypatch.setattr(answering, "check", re.fullmatch)
    with served(seconds=0.5) as site:
        before = {process.pid for process in multiprocessing.active_children()}
        start = time.perf_counter()
        assert site.check(*HANGS) == {"error": {"message": "the work took more than 0.5 s, and was stopped"}}
        assert time.perf_counter() - start < 10
        monkeypatch.undo()
        assert site.check(FALSE)["verdict"] == "refuted"
        after = {process.pid for process in multiprocessing.active_children()}
    [killed] = before - after
    with pytest.raises(ProcessLookupError):
        os.kill(killed, 0)


def test_a_client_that_goes_away_frees_the_process(monkeypatch):
    text, architecture = HANGS
    monkeypatch.setattr(answering, "check", re.fullmatch)
    with served(seconds=2 * LIMIT) as site:
        with site.left_waiting(text=text, architecture=architecture):
            time.sleep(1)
        monkeypatch.undo()
        assert site.check(FALSE)["verdict"] == "refuted"


def test_when_too_many_wait_the_next_is_told_when_to_come_back(monkeypatch):
    text, architecture = HANGS
    monkeypatch.setattr(answering, "check", re.fullmatch)
    with (
        served(seconds=2 * LIMIT, queue=2) as site,
        site.left_waiting(text=text, architecture=architecture),
        site.left_waiting(text=text, architecture=architecture + "b"),
    ):
        time.sleep(1)
        reply = site.post(text=TEXT)
        assert reply.status == 503
        assert int(reply.headers["Retry-After"]) > 0


def test_who_waits_too_long_in_the_queue_is_told_so(monkeypatch):
    monkeypatch.setattr(answering, "check", re.fullmatch)
    monkeypatch.setattr(app, "ANSWER_SECONDS", 0.5)
    with served(seconds=2 * LIMIT) as site:
        assert site.post(text=HANGS[0], architecture=HANGS[1]).status == 503


def test_a_body_that_does_not_come_is_not_waited_for(site, monkeypatch):
    monkeypatch.setattr(app, "BODY_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", site.port), timeout=LIMIT) as client:
        client.sendall(
            b"POST /check HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: loc", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /"]
)
def test_a_connection_that_says_nothing_more_is_closed(site, monkeypatch, sent):
    monkeypatch.setattr(serving, "CONNECTION_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", site.port), timeout=4) as client:
        client.sendall(sent)
        while client.recv(100_000):
            pass


def test_an_error_of_ours_is_one_line(monkeypatch, capfd):
    monkeypatch.setattr(answering, "check", os.path.relpath)
    with served() as site:
        reply = site.post(text="", architecture="x")
    assert (reply.status, reply.json["error"]["message"]) == (500, "an error of growproof itself: ValueError")
    assert capfd.readouterr().err.count("\n") == 1


# ---------------------------------------------------------------- the workers


def worked(*coroutines, **limits):
    """What some coroutines, made from the workers, give or raise, all at once."""

    async def main():
        return await asyncio.gather(*(one(workers) for one in coroutines), return_exceptions=True)

    with Workers(**{"count": 1, **limits}) as workers:
        return asyncio.run(main())


async def now(workers):
    return await workers.answer(time.time_ns)


def test_what_is_asked_twice_is_done_once():
    async def later(workers):
        await now(workers)
        return await now(workers)

    assert len(set(worked(*[now] * 10, later))) == 1


def test_the_memory_ends():
    async def again(workers):
        first = await now(workers)
        for i in range(3):
            await workers.answer(str, i)
        return first != await now(workers)

    assert worked(again, memory=3) == [True]
    assert worked(again, memory=4) == [False]


def test_what_hears_no_signal_is_killed_at_once():
    async def deaf(workers):
        await workers.answer(str, 1)
        start = time.perf_counter()
        with pytest.raises(LateError):
            await workers.answer(hashlib.pbkdf2_hmac, "sha256", b"", b"", 2**31 - 1)
        return time.perf_counter() - start

    assert worked(deaf, ready=answering.ready, seconds=0.2)[0] < 2.5


def test_an_error_is_not_remembered_and_others_wait_no_longer_for_it():
    async def twice(workers):
        for _ in range(2):
            with pytest.raises(LateError):
                await workers.answer(time.sleep, 60)
        return await workers.answer(str, 1)

    assert worked(twice, seconds=0.2) == ["1"]


def test_one_that_leaves_stops_nothing_for_the_others():
    async def impatient(workers):
        await asyncio.wait_for(workers.answer(re.sub, "", "", "x"), 0.001)

    async def patient(workers):
        return await workers.answer(re.sub, "", "", "x")

    left, answered = worked(impatient, patient)
    assert (type(left), answered) == (TimeoutError, "x")


def test_more_than_the_queue_holds_is_refused():
    async def one(i, workers):
        return await workers.answer(str, i)

    found = worked(*(lambda workers, i=i: one(i, workers) for i in range(5)), queue=3)
    assert [type(one) for one in found] == [str, str, str, BusyError, BusyError]


def test_a_process_that_dies_while_idle_is_replaced():
    async def after(workers):
        await workers.answer(str, 0)
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)
        await asyncio.sleep(0.5)
        return await workers.answer(str, 1)

    assert worked(after) == ["1"]


# ---------------------------------------------------------------- the course


def test_the_lessons_are_served_and_get_nothing_from_elsewhere(site):
    reply = site.ask(path="/course/")
    assert "Lessons" in reply.body.decode()
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "http" not in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "//secret.txt", "link.txt"])
def test_nothing_outside_the_lessons_is_served(site, path):
    reply = site.ask(path=f"/course/{path}")
    assert reply.status == 404
    assert b"secret" not in reply.body.replace(b"secret.txt", b"")


@pytest.mark.parametrize(
    "path",
    [
        "lecturer.html",
        "./lecturer.html",
        "..%2fcourse%2flecturer.html",
        "notebooks/instructor/01.ipynb",
        "notebooks/student/..%2finstructor/01.ipynb",
        "notebooks//instructor/01.ipynb",
    ],
)
def test_what_is_the_lecturers_is_not_served(site, path):
    reply = site.ask(path=f"/course/{path}")
    assert reply.status == 404
    assert b"solution" not in reply.body


def test_what_is_the_students_is_served(site):
    assert site.ask(path="/course/notebooks/student/01.ipynb").status == 200


def test_the_workbench_leads_to_the_course_where_there_is_one(site):
    assert 'href="course/"' in site.ask().body.decode()
    with served() as alone:
        assert "course/" not in alone.ask().body.decode()


@pytest.mark.parametrize(("answer", "right"), [("(k_hat/k)^(1/2)", True), ("k_hat/k", False), ("what", False)])
def test_the_prover_judges_an_answer_to_an_exercise(site, answer, right):
    reply = site.post("/exercise", lesson="attention", exercise="scale", answer=answer)
    assert reply.json["right"] is right
    assert reply.json["text"]
    assert reply.json["html"]


@pytest.mark.parametrize("given", [{}, {"lesson": "../../secret", "exercise": "scale"}, {"lesson": 1, "exercise": []}])
def test_an_exercise_that_is_not_there_is_wrong_and_no_file(site, given):
    assert site.post("/exercise", **given).json["right"] is False


def test_without_a_course_there_is_none():
    with served() as site:
        assert site.ask(path="/course/").status == site.post("/exercise").status == 404


# ---------------------------------------------------------------- the command


def address_from(started):
    return json.loads("".join(started.stdout.readline() for _ in range(3)))["address"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_stops_with_its_processes_when_told(process, how):
    started = process("serve", "--port", "0", "--json", start_new_session=True)
    site = Site(int(address_from(started).rstrip("/").rsplit(":", 1)[1]))
    assert site.check(FALSE)["verdict"] == "refuted"
    os.killpg(started.pid, signal.SIGINT) if how == signal.SIGINT else started.terminate()
    assert started.communicate(timeout=LIMIT) == ("", "")
    assert started.returncode == 0
    assert ends(started.pid)


def test_an_interrupt_while_its_processes_start_brings_no_traceback(process):
    started = process("serve", "--port", "0", "--json", start_new_session=True)
    while started.poll() is None and len(children(started.pid)) < 2:
        time.sleep(0.01)
    time.sleep(0.2)
    os.killpg(started.pid, signal.SIGINT)
    address_from(started)
    started.send_signal(signal.SIGINT)
    assert started.communicate(timeout=LIMIT) == ("", "")


def children(pid):
    """The processes that a process has started."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.split()


def test_nothing_is_imported_from_the_current_folder(tmp_path):
    for name in ("growproof", "z3", "numpy", "signal"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    command = [Path(sys.executable).with_name("growproof"), "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as started:
        site = Site(int(address_from(started).rstrip("/").rsplit(":", 1)[1]))
        assert site.check(FALSE)["verdict"] == "refuted"
        started.terminate()
    assert not (tmp_path / "ran").exists()


def test_when_it_is_killed_no_process_stays(process):
    started = process("serve", "--port", "0", "--json", start_new_session=True)
    address_from(started)
    started.kill()
    started.wait(timeout=LIMIT)
    assert ends(started.pid)


def ends(group):
    """Whether every process of a group ends soon."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def one_line(ran):
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("growproof: ")
    assert ran.err.count("\n") == 1
    return ran.err


def test_a_port_in_use_is_one_line(run):
    with serving.bound("127.0.0.1", 0) as taken:
        found = one_line(run("serve", "--port", str(taken.getsockname()[1])))
    assert "Address already in use" in found
    assert "--port" in found


@pytest.mark.parametrize("arguments", [("--port", "65536"), ("--port", "-1"), ("--port", "x"), ("--host", "no such")])
def test_a_place_that_cannot_be_is_one_line(run, arguments):
    assert arguments[1].split()[0] in one_line(run("serve", *arguments))


def test_a_course_that_is_no_folder_is_one_line(run, tmp_path):
    assert str(tmp_path / "no") in one_line(run("serve", "--port", "0", "--course", tmp_path / "no"))


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "pebble"])
def test_without_the_packages_the_line_says_what_to_install(run, monkeypatch, package):
    for name in [name for name in sys.modules if name.startswith(("growproof.reports.workbench", package))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert 'pip install "growproof[serve]"' in one_line(run("serve"))


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_another_host_than_this_machine_is_warned_of(run, monkeypatch, host, warned):
    monkeypatch.setattr(serving, "serve", lambda host, port, course, announce: announce("http://localhost:1/"))
    assert ("warning" in run("serve", "--host", host).err) == warned


def test_both_addresses_are_printed_where_there_is_a_course(run, monkeypatch, tmp_path):
    monkeypatch.setattr(serving, "serve", lambda host, port, course, announce: announce("http://localhost:1/"))
    assert run("serve").out.count("http://") == 1
    assert "growproof course: http://localhost:1/course/" in run("serve", "--course", tmp_path).out
    assert json.loads(run("serve", "--course", tmp_path, "--json").out)["course"] == "http://localhost:1/course/"


@pytest.mark.parametrize(
    ("terminal", "arguments", "opened"), [(True, [], True), (True, ["--no-browser"], False), (False, [], False)]
)
def test_a_browser_opens_at_a_terminal_only(run, monkeypatch, terminal, arguments, opened):
    pages = []
    monkeypatch.setattr("growproof.reports.cli.open_browser", pages.append)
    monkeypatch.setattr(serving, "serve", lambda host, port, course, announce: announce("http://localhost:1/"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert run("serve", *arguments).status == 0
    assert bool(pages) == opened
