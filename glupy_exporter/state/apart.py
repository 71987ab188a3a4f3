"""Asks disks and programs that may never answer, each in a process of its own.

No signal ends a process that waits for a hung disk, and a thread that waits keeps its process from
ending. So a child puts each question. A child that does not answer in time is killed and left
behind. It holds a lock until it ends, and meanwhile nobody puts its question again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

AT_ONCE = 8
"""The most children at a time."""
MAX_ANSWER = 2**20
"""The most bytes of an answer."""


class Answers(NamedTuple):
    """The answers, and the questions without one."""

    found: dict[str, Any]
    """The answers by question, as JSON has them."""
    problems: dict[str, str]
    """The reason why there is no answer, by question."""


Question = Callable[[], Any]
"""Gives an answer that JSON can hold, or raises OSError or ValueError."""


class _Child(NamedTuple):
    name: str
    pid: int
    deadline: float
    answer: bytearray


def ask(
    questions: Mapping[str, Question],
    seconds: float,
    most: float,
    locks: Path | None = None,
) -> Answers:
    """Put all questions.

    Args:
        questions: what to ask, by names for the answers.
        seconds: how long one answer may take.
        most: how long all of them may take.
        locks: a directory for the locks; without one, questions are put again each time.
    """
    answers = Answers({}, {})
    waiting = list(questions.items())[::-1]
    end = time.monotonic() + most
    with selectors.DefaultSelector() as running:
        while waiting or running.get_map():
            while waiting and len(running.get_map()) < AT_ONCE:
                name, question = waiting.pop()
                if time.monotonic() >= end:
                    answers.problems[name] = "no time was left to ask"
                    continue
                started = _start(name, question, locks)
                if isinstance(started, str):
                    answers.problems[name] = started
                    continue
                pid, pipe = started
                deadline = min(time.monotonic() + seconds, end)
                running.register(
                    pipe, selectors.EVENT_READ, _Child(name, pid, deadline, bytearray())
                )
            _listen(running, answers, seconds)
    return answers


def _start(name: str, question: Question, locks: Path | None) -> tuple[int, int] | str:
    """The child's pid and the pipe to read its answer from, or why there is no child."""
    with contextlib.ExitStack() as stack:
        if locks:
            try:
                lock = _locked(locks, name)
            except BlockingIOError:
                return "has not answered since an earlier time"
            except OSError as error:
                return f"cannot be locked: {error.strerror}"
            stack.callback(os.close, lock)
            os.set_inheritable(lock, True)  # a program that the child runs holds it as well
        readable, writable = os.pipe()
        stack.callback(os.close, writable)
        pid = os.fork()
        if not pid:
            _answer(question, writable)
        return pid, readable


def _locked(directory: Path, name: str) -> int:
    mark = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(directory / f".{mark}.lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _answer(question: Question, pipe: int) -> NoReturn:
    """Put the question and write the answer. Runs in the child, and never returns to its caller."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):  # whoever reads the parent's output must not wait for a child
            os.dup2(nothing, descriptor)
        try:
            found = {"found": question()}
        except (OSError, ValueError) as error:
            found = {"problem": str(error)}
        with os.fdopen(pipe, "wb") as file:
            file.write(json.dumps(found).encode())
    finally:
        os._exit(0)


def _listen(running: selectors.DefaultSelector, answers: Answers, seconds: float) -> None:
    """Wait until a child says something or its time is over."""
    children = [key.data for key in running.get_map().values()]
    if not children:
        return
    first = min(child.deadline for child in children)
    for key, _ in running.select(max(0.0, first - time.monotonic())):
        part = os.read(key.fd, 2**16)
        key.data.answer.extend(part)
        if not part or len(key.data.answer) > MAX_ANSWER:
            _end(running, key.fd, key.data)
            _keep(answers, key.data.name, bytes(key.data.answer))
    for key in list(running.get_map().values()):
        if key.data.deadline <= time.monotonic():
            _end(running, key.fd, key.data)
            answers.problems[key.data.name] = f"did not answer in {seconds:g} s"


def _end(running: selectors.DefaultSelector, pipe: int, child: _Child) -> None:
    running.unregister(pipe)
    os.close(pipe)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)


def _keep(answers: Answers, name: str, text: bytes) -> None:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {"problem": "gave no answer" if not text else "gave too long an answer"}
    if "found" in answer:
        answers.found[name] = answer["found"]
    else:
        answers.problems[name] = answer["problem"]
