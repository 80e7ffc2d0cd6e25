"""Engines as processes that stay alive: each answers one statement after the other, timed from outside.

Either writes an answer as CSV on its standard output and, once all of it is there, a line `Time: … ms` on its standard error.
A time is that from sending a statement until this line is seen and all of the answer is read, so that both do the same: read a
text, plan, run, and write all rows into a pipe. No statement is needed to see an answer's end.

`blueshift sql` reads all of its standard input before it begins. Its process therefore runs a script whose every line says
`\\i PIPE`: the command reads a named pipe to the end of what one writer has for it, and runs that. It ends with the first
error, which it tells behind the time, so that an answer is good once the process reads the named pipe again.
"""

import atexit
import json
import os
import re
import selectors
import shutil
import subprocess
import tempfile
import time

from csv_rows import rows_of

# A statement that takes longer has failed.
LONGEST_SECONDS = 1800
# DuckDB's own writer of CSV takes 0.3 ms more than Python's for few rows, and is faster from some hundred on.
FEW_ROWS = 200
END = re.compile(rb"^Time: ([0-9.]+) ms\n", re.MULTILINE)


class EngineError(Exception):
    """What an engine said when it ended."""


class Answer:
    def __init__(self, seconds, own_seconds, csv):
        self.seconds = seconds
        # What the engine itself says that it took.
        self.own_seconds = own_seconds
        self.csv = csv


class Engine:
    """A process with pipes; the kinds of engines say what is run and how a statement is sent."""

    def __init__(self):
        self.most_resident = 0
        self.child = None
        self.start()
        self.ready()
        atexit.register(self.end)

    def launch(self, command, stdin):
        self.child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.selector = selectors.DefaultSelector()
        for pipe in (self.child.stdout, self.child.stderr):
            os.set_blocking(pipe.fileno(), False)
            self.selector.register(pipe, selectors.EVENT_READ)

    def ask(self, statement, **how):
        """Sends a statement and reads its answer."""
        began = time.perf_counter()
        self.send(statement, **how)
        answer, told = bytearray(), bytearray()
        while True:
            ready = self.selector.select(LONGEST_SECONDS)
            ended = not ready
            for key, _ in ready:
                into = answer if key.fileobj is self.child.stdout else told
                ended |= not drain(key.fileobj, into)
            end = END.search(told)
            if end:
                # It was all written before the line was.
                drain(self.child.stdout, answer)
                seconds = time.perf_counter() - began
                self.ready(told[end.end() :])
                return Answer(seconds, float(end[1]) / 1e3, bytes(answer))
            if ended:
                self.fail(told)

    def fail(self, told=b""):
        """Says why there is no answer, once the process has ended, by itself or not."""
        try:
            status = f"the process ended with status {self.child.wait(1)}"
        except subprocess.TimeoutExpired:
            status = f"no answer after {LONGEST_SECONDS} s"
            self.end()
        os.set_blocking(self.child.stderr.fileno(), True)
        told = bytes(told) + self.child.stderr.read()
        self.forget()
        raise EngineError(told.decode(errors="replace").strip() or status)

    def end(self):
        """At once, where something went wrong."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def forget(self):
        self.selector.close()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            if pipe:
                pipe.close()

    def restart(self):
        if self.child.poll() is None:
            self.stop()
        self.start()
        self.ready()

    def resident(self):
        """The most bytes that the process has had in memory, where the system tells."""
        try:
            with open(f"/proc/{self.child.pid}/status") as status:
                found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
        except OSError:
            found = None
        self.most_resident = max(self.most_resident, int(found[1]) * 1024 if found else 0)
        return self.most_resident


def drain(pipe, into):
    """Reads what there is; whether the pipe is still open."""
    while True:
        try:
            read = os.read(pipe.fileno(), 1 << 20)
        except BlockingIOError:
            return True
        if not read:
            return False
        into += read


class Blueshift(Engine):
    def __init__(self, binary, warehouse, threads, memory, statements):
        """For so many statements at most."""
        self.command = [binary, "sql", "-w", warehouse, "--threads", str(threads), "--format", "csv", "--timing"]
        if memory:
            self.command += ["--memory-limit", memory]
        self.statements = statements
        self.place = tempfile.mkdtemp(prefix="blueshift-compare-")
        atexit.register(shutil.rmtree, self.place, ignore_errors=True)
        self.pipe = os.path.join(self.place, "statements")
        os.mkfifo(self.pipe)
        super().__init__()

    def start(self):
        script = os.path.join(self.place, "script")
        with open(script, "w") as file:
            file.write(f"\\i {self.pipe}\n" * self.statements)
        self.writer = None
        self.launch(self.command + ["-f", script], subprocess.DEVNULL)

    def ready(self, told=b""):
        """Waits until the process reads the named pipe."""
        while self.writer is None:
            try:
                self.writer = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                if self.child.poll() is not None:
                    self.fail(told)
                time.sleep(0.0002)
        os.set_blocking(self.writer, True)

    def send(self, statement):
        os.write(self.writer, f"{statement};\n".encode())
        os.close(self.writer)
        self.writer = None

    def stop(self):
        self.resident()
        os.write(self.writer, b"\\q\n")
        os.close(self.writer)
        self.child.wait()
        self.forget()

    def plain(self):
        """Switches off what would answer from memory. There is neither now, in any build that has no such setting."""
        names = [row[0] for row in rows_of(self.ask("show all").csv)[1]]
        caches = [name for name in names if "result_cache" in name or "plan_cache" in name]
        for name in caches:
            self.ask(f"set {name} = false")
        return caches


class DuckDB(Engine):
    def __init__(self, python, file, threads, memory, access="read"):
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "duckdb_process.py")
        self.command = [python, program, file, str(threads), access] + ([memory] if memory else [])
        super().__init__()

    def start(self):
        self.launch(self.command, subprocess.PIPE)

    def ready(self, told=b""):
        """It always is: what it does not read yet waits in the pipe."""

    def send(self, statement, rows=None):
        """`rows` is how many to expect; `None` where nobody asks."""
        how = "none" if rows is None else "rows" if rows <= FEW_ROWS else "copy"
        self.child.stdin.write((json.dumps([statement, how]) + "\n").encode())

    def types(self, statement):
        """Those of the columns that the statement answers with."""
        return [row[1] for row in rows_of(self.ask(f"describe {statement}", rows=0).csv)[1]]

    def stop(self):
        self.resident()
        self.child.stdin.close()
        self.child.wait()
        self.forget()
