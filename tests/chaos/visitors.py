"""Those who use a web server in an attack: readers, slow clients, and guessers."""

import re
import secrets
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from threading import Event
from urllib.parse import urlsplit
from uuid import uuid4

import requests

from tests.operations.deployment import Browser

PATIENCE = 600
# Between two requests, or two bytes of a slow one.
PAUSE_SECONDS = 0.3
ADDRESSES = 40


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Reader:
    """Reads pages with the session of a browser, from several threads."""

    def __init__(self, browser: Browser) -> None:
        self.base, self.cookies = browser.base, browser.http.cookies.get_dict()
        # The lists that were answered before it was over.
        self.meanwhile = 0

    def get(self, path: str) -> Answer:
        began, url = time.monotonic(), self.base + path
        answer = requests.get(url, cookies=self.cookies, timeout=PATIENCE)
        return Answer(answer.status_code, answer.text, began, time.monotonic())

    def get_lists(self, over: Event, enough: float = inf) -> list[Answer]:
        """Get lists until it is over, or so many were answered."""
        answers = []
        while self.meanwhile < enough and not over.wait(PAUSE_SECONDS):
            answers.append(self.get("/devices/"))
            self.meanwhile += not over.is_set()
        return answers


class Guesser:
    """Signs in with unknown names from one of the addresses."""

    def __init__(self, base: str, number: int) -> None:
        self.url, self.http = f"{base}/accounts/login/", requests.Session()
        self.http.trust_env = False
        address = f"192.0.2.{number % ADDRESSES}"
        self.http.headers.update({"X-Forwarded-For": address, "Connection": "close"})
        self.form: dict[str, str] = {}

    def open(self) -> None:
        for _ in range(5):
            page = self.http.get(self.url, timeout=PATIENCE).text
        hidden = r'<input type="hidden" name="(\w+)" value="([^"]*)"'
        self.form = dict(re.findall(hidden, page))

    def attack(self, over: Event) -> "Counter[int]":
        """Sign in until it is over; return how often with which answer."""
        answers = Counter[int]()
        while not over.is_set():
            self.form |= {"username": secrets.token_hex(8), "password": "wrong"}
            answer = self.http.post(self.url, self.form, timeout=PATIENCE)
            answers[answer.status_code] += 1
        return answers


def freeze(operator: Browser, device: str) -> tuple[int, float]:
    """Freeze a device with its form; return the status and the seconds of both."""
    path, began = f"/devices/{device}/freeze/", time.monotonic()
    form = {"key": uuid4().hex} | operator.form(path) | {"reason": "chaos"}
    answer = operator.send(path, form)
    return answer.status_code, time.monotonic() - began


def send_slowly(base: str, number: int, connected: Event, over: Event) -> None:
    """Send requests that never end, byte by byte; connect again if cut off."""
    address = (urlsplit(base).hostname or "", urlsplit(base).port or 0)
    clients: dict[int, socket.socket] = {}
    while not over.wait(PAUSE_SECONDS if connected.is_set() else 0):
        for each in range(number):
            try:
                if each not in clients:
                    clients[each] = socket.create_connection(address, timeout=10)
                clients[each].send(b"x")
            except OSError:
                with suppress(KeyError):
                    clients.pop(each).close()
        connected.set()
    for client in clients.values():
        client.close()
