"""Connections that ask for nothing, and those of TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from honed.errors import ParameterError
from running_server import RunningServer
from scripted_model import scripted_model

_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def test_connections_without_a_request_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.server.connections.FIRST_REQUEST_SECONDS", 0.3)
    with RunningServer({"scripted": lambda: scripted_model({})[0]}) as server:
        host, port = server.url.removeprefix("http://").split(":")
        silent = [socket.create_connection((host, int(port)), timeout=10) for _ in range(200)]
        begun = socket.create_connection((host, int(port)), timeout=10)
        begun.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        with server.client() as http:
            assert http.get("/live").status_code == 200
            time.sleep(0.5)
            assert http.get("/live").status_code == 200  # one that has asked is kept
        for connection in (*silent, begun):
            assert connection.recv(1) == b""
            connection.close()


def test_tls(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext"]
    made = subprocess.run(
        ["openssl", "req", *options, _NAMES, "-keyout", key, "-out", cert], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("there is no openssl here to make a certificate with")
    with RunningServer({"scripted": lambda: scripted_model({})[0]}, tls_cert=cert, tls_key=key) as server:
        trusted = ssl.create_default_context(cafile=str(cert))
        url = server.url.replace("http://", "https://")
        with httpx.Client(base_url=url, verify=trusted, trust_env=False) as http:
            assert http.get("/live").json() == {"status": "ok"}
    cert.write_text("none")
    with (
        pytest.raises(ParameterError, match="tls_cert"),
        RunningServer({"scripted": lambda: scripted_model({})[0]}, tls_cert=cert, tls_key=key),
    ):
        pass
