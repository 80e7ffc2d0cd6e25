"""Queries that engines run in turn, one run untimed and then timed ones, all of whose answers are compared."""

import statistics
import sys

import answers
from engines import DuckDB, EngineError


class Contender:
    """A process with one engine's rows of one scale."""

    def __init__(self, name, engine, scale=None):
        self.name = name
        self.engine = engine
        self.scale = scale
        self.is_duckdb = isinstance(engine, DuckDB)

    def ask(self, statement, rows):
        """`rows` is how many the answer had before; DuckDB wants to know."""
        return self.engine.ask(statement, rows=rows) if self.is_duckdb else self.engine.ask(statement)


class Measured:
    """What the runs of one query found."""

    def __init__(self, name, contenders):
        self.name = name
        self.seconds = {contender.name: [] for contender in contenders}
        self.own_seconds = {contender.name: [] for contender in contenders}
        self.parameters = []
        self.rows = []
        # Of each engine that failed what it said, and where answers are not the same.
        self.errors = {}
        self.differences = []
        self.failures = []

    def median(self, *names):
        """The fastest one's; `None` without figures."""
        medians = [statistics.median(self.seconds[name]) for name in names if self.seconds[name]]
        return min(medians) if medians else None

    def ratio(self, ours, *theirs):
        a, b = self.median(ours), self.median(*theirs)
        return None if a is None or b is None else a / b

    def failed(self, what):
        parameters = ", ".join(value.strip() for value in self.parameters[-1])
        failure = f"query {self.name}" + (f" with {parameters}" if parameters else "") + f": {what}"
        self.failures.append(failure)
        print(f"FAILED: {failure}", file=sys.stderr, flush=True)


class Comparison:
    def __init__(self, contenders, runs):
        self.contenders = contenders
        self.runs = runs
        for contender in contenders:
            for cache in [] if contender.is_duckdb else contender.engine.plain():
                print(f"{contender.name}: {cache} is off")

    def measure(self, name, draw):
        """Runs one query. `draw` gives a run's parameters, and a function that gives a contender's statements with them, whose
        times add up. A contender has no figures after an error; the others go on."""
        measured = Measured(name, self.contenders)
        # Of each contender's statements, by their places: how many rows they gave, and of which types.
        rows, types = {}, {}
        for run in range(self.runs + 1):
            parameters, statements = draw()
            measured.parameters.append(parameters)
            given = {}
            for contender in self.turn(run):
                if contender.name in measured.errors:
                    continue
                try:
                    given[contender] = self.ask(contender, statements(contender), rows, types)
                except EngineError as error:
                    measured.errors[contender.name] = str(error)
                    measured.failed(f"{contender.name}: {error}")
                    measured.seconds[contender.name].clear()
                    measured.own_seconds[contender.name].clear()
                    contender.engine.restart()
            for ours, theirs in self.pairs(given):
                for i, statement in enumerate(statements(ours)):
                    if statement.gives_rows():
                        csv = given[ours][i].csv, given[theirs][i].csv
                        found = answers.difference(statement, types[theirs, i], *csv)
                        if found:
                            measured.differences.append(found)
                            measured.failed(f"{ours.name} against {theirs.name}: {found}")
            for contender, answered in given.items():
                for i, answer in enumerate(answered):
                    rows[contender, i] = len(answers.rows_of(answer.csv)[1]) if answer.csv else 0
                if run > 0:
                    measured.seconds[contender.name].append(sum(answer.seconds for answer in answered))
                    measured.own_seconds[contender.name].append(sum(answer.own_seconds for answer in answered))
            if given:
                first = next(contender for contender in self.contenders if contender in given)
                measured.rows.append(sum(rows[first, i] for i in range(len(given[first]))))
        return measured

    def ask(self, contender, statements, rows, types):
        """The answers. DuckDB's types are asked once, for parameters do not change them: at once, for a statement may read what
        only the one before it makes."""
        given = []
        for i, statement in enumerate(statements):
            given.append(contender.ask(statement.text, rows.get((contender, i), 0)))
            if contender.is_duckdb and statement.gives_rows() and (contender, i) not in types:
                types[contender, i] = contender.engine.types(statement.text)
        return given

    def turn(self, run):
        """The contenders, each first and last as often as the others."""
        first = run // 2 % len(self.contenders)
        turned = self.contenders[first:] + self.contenders[:first]
        return turned if run % 2 == 0 else turned[::-1]

    def pairs(self, given):
        """Ours with each of DuckDB's at the same scale."""
        for ours in self.contenders:
            for theirs in self.contenders:
                if theirs.is_duckdb and not ours.is_duckdb and theirs.scale == ours.scale and {ours, theirs} <= set(given):
                    yield ours, theirs
