"""The notifier: what people are told, what is told again, and that URLs stay secret."""

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.notifier.delivery import FILE, URLS, destinations
from jobs.notifier.messages import MOST_LINES, messages, parse
from tests.monitoring import (
    HOST,
    Place,
    environment,
    notifier,
    notifier_command,
    place,
    post_json,
    request,
    until,
)
from udfs.errors import ConfigError, ContractError

SECRET = "s3cretT0ken"
JSON = {"Content-Type": "application/json"}


def alert(status: str = "firing", **labels: str) -> dict[str, Any]:
    """An alert as Alertmanager sends it."""
    return {
        "status": status,
        "labels": {
            "alertname": "UnrealizedDrawdown",
            "severity": "critical",
            "run": "live",
            **labels,
        },
        "annotations": {
            "summary": f"open positions of {labels.get('account')} lose 6250.50",
            "action": "`tradeflow status`",
            "runbook_url": "docs/runbooks.md#unrealizeddrawdown",
        },
        "startsAt": "2026-11-22T08:00:00Z",
        "generatorURL": "http://127.0.0.1:9190/graph",
        "fingerprint": "0a1b",
    }


def webhook(*alerts: object) -> bytes:
    return json.dumps({"version": "4", "alerts": alerts}).encode()


# ---- messages --------------------------------------------------------------------------------


def test_a_message_of_one_alert() -> None:
    (found,) = messages(parse(webhook(alert(account="main")), "https://example.org/"))
    assert found.title == "[FIRING critical] UnrealizedDrawdown main (run live)"
    assert found.body == (
        "open positions of main lose 6250.50\n"
        "\n"
        "`tradeflow status`\n"
        "\n"
        "https://example.org/docs/runbooks.md#unrealizeddrawdown"
    )


def test_what_is_over_says_so_and_asks_for_nothing() -> None:
    (found,) = messages(parse(webhook(alert("resolved", account="main")), ""))
    assert found.title == "[RESOLVED critical] UnrealizedDrawdown main (run live)"
    assert found.body.startswith("It is over. It was:\nopen positions of main lose 6250.50\n")
    assert "tradeflow status" not in found.body


def test_many_symbols_are_one_message_short_enough_for_any_service() -> None:
    many = [alert(alertname="SymbolStale", symbol=f"S{n:02}") for n in range(40)]
    for one in many:
        one["annotations"] |= dict.fromkeys(("summary", "action"), "long " * 1000)
    (found,) = messages(parse(webhook(*many), ""))
    assert found.title == "[FIRING critical] SymbolStale S00, S01, S02 and 37 more (run live)"
    assert f"and {40 - MOST_LINES} more" in found.body.splitlines()
    assert len(found.title) + len(found.body) < 4096


def test_firing_and_resolved_names_and_runs_are_apart() -> None:
    alerts = [
        alert(account="a"),
        alert("resolved", account="b"),
        alert(account="c", run="other"),
        alert(
            alertname="RowsRejected", severity="warning", table="price_1m_history", code="BAD_TS"
        ),
    ]
    assert [one.title for one in messages(parse(webhook(*alerts), ""))] == [
        "[FIRING critical] UnrealizedDrawdown a (run live)",
        "[RESOLVED critical] UnrealizedDrawdown b (run live)",
        "[FIRING critical] UnrealizedDrawdown c (run other)",
        "[FIRING warning] RowsRejected price_1m_history BAD_TS (run live)",
    ]


def test_a_bare_alert_of_amtool_has_a_message() -> None:
    bare = {"status": "firing", "labels": {"alertname": "Test"}}
    (found,) = messages(parse(webhook(bare), ""))
    assert (found.title, found.body) == ("[FIRING] Test", "Test")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no webhook"),
        (b'{"alerts": []}', "no webhook"),
        (b'{"version": "3", "alerts": []}', "no webhook"),
        (b'{"version": "4"}', "alerts: a list"),
        (webhook(), "alerts: a list"),
        (webhook("text"), "alerts[0]: an object"),
        (webhook({**alert(), "status": "maybe"}), "alerts[0].status"),
        (webhook(alert(), {**alert(), "labels": []}), "alerts[1].labels"),
        (webhook({**alert(), "labels": {"alertname": 1}}), "alerts[0].labels"),
        (webhook({**alert(), "labels": {}}), "alerts[0].labels.alertname"),
        (webhook({**alert(), "annotations": {"summary": None}}), "alerts[0].annotations"),
    ],
)
def test_garbage_is_named(body: bytes, problem: str) -> None:
    with pytest.raises(ContractError) as error:
        parse(body, "")
    assert problem in str(error.value)


# ---- destinations ----------------------------------------------------------------------------


def test_urls_of_both_variables(tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.write_text(f"# mine\n\n  json://{HOST}/c  \n#json://{HOST}/d\n")
    file.chmod(0o600)
    found = destinations({URLS: f"json://{HOST}/a\njson://{HOST}/b", FILE: str(file)})
    assert [one.name for one in found] == [
        f"{URLS}, URL 1 (JSON)",
        f"{URLS}, URL 2 (JSON)",
        f"{file}, line 3 (JSON)",
    ]
    assert destinations({}) == destinations({URLS: " \n", FILE: ""}) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "urls"
    file.write_text(f"json://{HOST}/a\n")
    file.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        destinations({FILE: str(file)})


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        destinations({FILE: str(tmp_path / "none")})
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xff")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="no text"):
        destinations({FILE: str(file)})


WRONG_URLS = (
    SECRET,
    f"nope://{SECRET}",
    f"tgram//{SECRET}",
    f"tgram://{SECRET}",
    f"slack://{SECRET}",
    f"http://[{SECRET}",
    f"mailto://{SECRET}",
)


@pytest.mark.slow
def test_wrong_urls_are_refused_at_the_start_and_not_told(tmp_path: Path) -> None:
    ends = [
        subprocess.Popen(
            notifier_command("--check"),
            env=environment(**{URLS: f"json://{HOST}/{SECRET} {url}"}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for url in WRONG_URLS
    ]
    for process in ends:
        said = process.communicate(timeout=60)[0]
        assert process.returncode == 2
        assert said.startswith(f"error: {URLS}, URL 2: no URL that apprise knows")
        assert SECRET not in said


# ---- the process -----------------------------------------------------------------------------


@pytest.fixture(name="service")
def _service() -> Iterator[Place]:
    with place() as server:
        yield server


def test_delivery(tmp_path: Path, service: Place) -> None:
    with notifier(
        tmp_path, **{URLS: service.url(), "TRADEFLOW_RUNBOOK_BASE": "https://example.org/"}
    ) as found:
        assert found.tell(alert(account="main")) == (200, "told\n")
        assert found.tell(alert("resolved", account="main")).code == 200
        assert found.tell(alert(severity="warning")).code == 200
        # Alertmanager repeats what goes on firing after hours: that is told again.
        assert found.tell(alert(severity="warning")).code == 200
    assert [(one["title"], one["type"]) for one in service.taken] == [
        ("[FIRING critical] UnrealizedDrawdown main (run live)", "failure"),
        ("[RESOLVED critical] UnrealizedDrawdown main (run live)", "success"),
        ("[FIRING warning] UnrealizedDrawdown (run live)", "warning"),
        ("[FIRING warning] UnrealizedDrawdown (run live)", "warning"),
    ]
    body = service.taken[0]["message"].splitlines()
    assert body[0] == "open positions of main lose 6250.50"
    assert body[-1] == "https://example.org/docs/runbooks.md#unrealizeddrawdown"
    assert "delivered to 1" in found.said()


def test_what_one_destination_did_not_take_is_told_again_to_it_alone(tmp_path: Path) -> None:
    with place() as one, place() as other:
        other.code = 503
        with notifier(tmp_path, **{URLS: f"{one.url()} {other.url()}"}) as found:
            answer = found.tell(alert(account="main"))
            assert answer.code == 503
            assert f"{URLS}, URL 2 (JSON): answered 503" in answer.text
            assert found.tell(alert(account="main")).code == 503
            other.code = 200
            assert found.tell(alert(account="main")).code == 200
            assert (len(one.taken), len(other.taken)) == (1, 1)
            # All know it: the next time is a new one.
            assert found.tell(alert(account="main")).code == 200
            assert (len(one.taken), len(other.taken)) == (2, 2)
            other.code = 404
            assert found.tell(alert("resolved", account="main")).code == 503
            # It fires again before the other was told that it was over.
            assert found.tell(alert(account="main")).code == 503
        assert [entry["title"][:5] for entry in one.taken] == ["[FIRI", "[FIRI", "[RESO", "[FIRI"]


def test_urls_are_in_no_output_and_no_argument(tmp_path: Path, service: Place) -> None:
    service.code = 500
    gone = f"json://user:{SECRET}@{HOST}:1/{SECRET}?+X-Token={SECRET}"
    unknown = f"json://{SECRET}.invalid/{SECRET}"
    there = service.url(SECRET, f"user:{SECRET}@") + f"?+X-Token={SECRET}"
    with notifier(tmp_path, **{URLS: " ".join((gone, unknown, there))}) as found:
        answer = found.tell(alert(account="main"))
        arguments = Path(f"/proc/{found.process.pid}/cmdline").read_bytes()
    assert answer.code == 503
    assert answer.text.count("not delivered") == 3  # in front, and of two without an answer
    assert "URL 3 (JSON): answered 500" in answer.text
    assert "answered 500" in found.said()
    for text in (answer.text, found.said(), arguments.decode()):
        assert SECRET not in text


def test_without_a_url_each_alert_is_a_line_of_the_log(tmp_path: Path) -> None:
    forged = alert(account="main\n2026-01-01 00:00:00 all is well\x1b[2J")
    with notifier(tmp_path) as found:
        assert found.tell(alert(account="a"), alert(account="b"), forged).code == 200
    lines = [line.split(" ", 2)[2] for line in found.said().splitlines()]
    assert lines[0].endswith("alerts go to this log alone: no URL is set")
    assert lines[1] == (
        "[FIRING critical] UnrealizedDrawdown a (run live): open positions of a lose 6250.50"
        " | `tradeflow status` | docs/runbooks.md#unrealizeddrawdown"
    )
    assert lines[2].startswith("[FIRING critical] UnrealizedDrawdown b (run live): ")
    assert lines[3].startswith("[FIRING critical] UnrealizedDrawdown main 2026-01-01 00:00:00 all")
    assert "\x1b" not in lines[3]
    assert len(lines) == 5


def test_requests_that_are_no_webhook(tmp_path: Path) -> None:
    with notifier(tmp_path) as found:
        base = f"http://{HOST}:{found.port}"
        good = webhook(alert())
        assert request(base + "/alerts", b"{", JSON) == (400, "the body is no JSON\n")
        assert post_json(base + "/alerts", [1]).code == 400
        assert request(base + "/alerts", good, {"Content-Type": "text/plain"}).code == 415
        assert request(base + "/other", good, JSON).code == 404
        assert request(base + "/alerts").code == 404
        assert raw(found.port, "POST", "").startswith("HTTP/1.0 411")
        for length in ("4000001", "9" * 5000):
            assert raw(found.port, "POST", f"Content-Length: {length}\r\n").startswith(
                "HTTP/1.0 413"
            )
        assert raw(found.port, "POST", "Content-Length: -1\r\n").startswith("HTTP/1.0 411")
        assert raw(found.port, "DELETE", "").startswith("HTTP/1.0 501")
        with socket.create_connection((HOST, found.port)) as short:  # says more than it sends
            short.sendall(b"POST /alerts HTTP/1.0\r\nContent-Type: application/json\r\n")
            short.sendall(b"Content-Length: 100\r\n\r\n{}")
        assert found.tell(alert()).code == 200
    assert "Traceback" not in found.said()


def raw(port: int, method: str, header: str) -> str:
    """The answer to a request without a body."""
    with socket.create_connection((HOST, port)) as connection:
        head = f"{method} /alerts HTTP/1.0\r\nContent-Type: application/json\r\n{header}\r\n"
        connection.sendall(head.encode())
        return connection.recv(1000).decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_though_a_delivery_hangs(
    tmp_path: Path, service: Place, number: signal.Signals
) -> None:
    service.go_on.clear()
    with notifier(tmp_path, **{URLS: service.url()}) as found:

        def tell() -> None:
            with contextlib.suppress(OSError):
                found.tell(alert())

        teller = threading.Thread(target=tell)
        teller.start()
        until(lambda: service.asked == 1, "delivery")
        began = time.monotonic()
        found.process.send_signal(number)
        assert found.process.wait(5) == 0
        assert time.monotonic() - began < 2
        teller.join()
    assert found.said().splitlines()[-1].endswith("asked to end")


def test_wrong_commands_are_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        cases = {
            (port,): "Address already in use",
            (): "usage: ",
            ("x",): "usage: ",
            ("0",): "usage: ",
            ("65536",): "usage: ",
        }
        for arguments, problem in cases.items():
            done = subprocess.run(
                notifier_command(*arguments),
                env=environment(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 2
            assert problem in done.stderr
            assert "Traceback" not in done.stderr
