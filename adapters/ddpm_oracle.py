"""Asks the reference from Python: one file, standard library only. docs/client.md shows its use.

    with Oracle() as oracle:
        truth = oracle.ask("q_sample", schedule=schedule, t=500, x0=tensor(x0), noise=tensor(noise))
        truth["x"]  # nested lists
"""

import json
import math
import os
import queue
import subprocess
import threading

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src", "cli", "oracle.ts")


class OracleError(Exception):
    """A request that the reference refused; `code` is one of docs/protocol.md."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class OracleBroken(Exception):
    """The oracle did not start, ended, or did not answer in time. It is not asked again."""


def tensor(value):
    """Nested lists of numbers, or an array of numpy or torch, as requests have tensors."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    shape, level = [], value
    while isinstance(level, (list, tuple)):
        shape.append(len(level))
        level = level[0] if level else None
    data = []
    _flatten(value, shape, data)
    return {"shape": shape, "data": data}


def _flatten(value, shape, data):
    if not shape:
        if isinstance(value, (list, tuple)):
            raise ValueError(f"Expected a number but got {value!r}")
        data.append(float(value))
    elif not isinstance(value, (list, tuple)) or len(value) != shape[0]:
        raise ValueError(f"Expected a list of {shape[0]} but got {value!r}")
    else:
        for part in value:
            _flatten(part, shape[1:], data)


def _nested(shape, data):
    if len(shape) < 2:
        return list(data) if shape else data[0]
    size = math.prod(shape[1:])
    return [_nested(shape[1:], data[i * size : (i + 1) * size]) for i in range(shape[0])]


def _plain(value):
    """A result with tensors as nested lists and the strings of infinities as numbers."""
    if isinstance(value, dict):
        if value.keys() == {"shape", "data"}:
            return _nested(value["shape"], value["data"])
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return float(value) if value in ("Infinity", "-Infinity") else value


def _default_command():
    run = ["deno", "run", "--quiet", "--no-prompt", "--allow-read", "--allow-write"]
    return run + ([PROGRAM] if os.path.exists(PROGRAM) else ["jsr:@ddpm/ddpm/cli", "oracle"])


class Oracle:
    """A running oracle; a context manager, or ended by `close`.

    command: what starts it. Default: the oracle beside this file, else the published package's.
    timeout: seconds that an answer may take; the first one gets at least 60, to start.
    """

    def __init__(self, command=None, timeout=30):
        self._timeout, self._id, self._broken = timeout, 0, None
        command = command or _default_command()
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
        except OSError as error:
            raise OracleBroken(f"Expected to start {command[0]} but got: {error}") from error
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def ask(self, op, **fields):
        """The result of a request. Raises OracleError if it is refused, OracleBroken if none comes."""
        if self._broken:
            raise OracleBroken(self._broken)
        self._id += 1
        line = json.dumps({"id": self._id, "op": op, **fields}, allow_nan=False)
        limit = self._timeout if self._id > 1 else max(self._timeout, 60)
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            said = self._lines.get(timeout=limit)
        except queue.Empty:
            said = self._break(f"Expected an answer to {op} within {limit} s but got none")
        except OSError:
            said = None
        if said is None:
            self._break(f"Expected an answer to {op} but the oracle ended")
        answer = json.loads(said)
        if answer["id"] != self._id:
            self._break(f"Expected the answer with id {self._id} but got {answer['id']}")
        if not answer["ok"]:
            raise OracleError(answer["error"]["code"], answer["error"]["message"])
        return _plain(answer["result"])

    def _break(self, message):
        self._broken = message
        self._process.kill()
        raise OracleBroken(message)

    def close(self):
        """Ends it; it can be called again."""
        try:
            self._process.stdin.close()
        except OSError:
            pass  # It has gone already.
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._broken = self._broken or "Expected an open oracle but it is closed"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
