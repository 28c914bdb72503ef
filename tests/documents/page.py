"""One page: its fences, the commands in them, and running those."""

import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import tempfile

from demo import free_port
from output import difference

# `console` is run, and so is `sql`, by psql. The others are held against the code by tests of their own (`rust`, `toml`,
# `python`, `yaml`), or show what is no command (`text`, `json`).
LANGUAGES = {"console", "sql", "rust", "toml", "python", "yaml", "json", "text"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# An address of the documents. The first is the demo's; the others are whatever is free.
ADDRESS = re.compile(r"(127\.0\.0\.1|localhost):(50\d{3}|9\d{3})\b")
# How a page shows that a command fails.
FAILURE = re.compile(r'^rowstream(-server)?: |^\s*"code": |^ERROR')
DEMO = "127.0.0.1:50051"
SECONDS = 300


@dataclasses.dataclass
class Step:
    """A command and what the page says that it prints, if it says so."""

    line: int
    command: str
    expected: list


class Page:
    def __init__(self, path, text):
        self.name = str(path)
        self._fences = [(text.count("\n", 0, found.start()) + 1, *found.groups()) for found in FENCE.finditer(text)]
        self.steps = [step for line, language, body in self._fences for step in _steps(line, language, body)]

    def unmarked(self):
        """Fences that do not say what they hold, and so would be checked by nobody."""
        return [f"{self.name}:{line}: a fence of {language or 'no language'}; one of {', '.join(sorted(LANGUAGES))} would be checked"
                for line, language, _ in self._fences if language not in LANGUAGES]

    def run(self, served):
        """Runs all commands in one shell, and returns what differs from the page."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            home = folder / "home"
            home.mkdir()
            ports = _Ports(served.address)
            script = _script([ports.to_real(step.command) for step in self.steps], folder)
            environment = {**served.environment, "HOME": str(home), "APP_URL": served.app_url}
            shell = subprocess.Popen(["bash", "-c", script], cwd=home, env=environment, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, start_new_session=True)
            try:
                shell.wait(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                pass
            finally:
                # Whatever a page leaves running in the background ends with it.
                with_suppressed(os.killpg, shell.pid, signal.SIGKILL)
                shell.wait()
            return [failure for number, step in enumerate(self.steps) if (failure := self._failure(step, folder / str(number), ports))]

    def _failure(self, step, result, ports):
        where = f"{self.name}:{step.line}: {step.command.splitlines()[0]}"
        if not result.with_suffix(".status").exists():
            return f"{where}\n      did not end within {SECONDS} s, or was never reached"
        status, printed = int(result.with_suffix(".status").read_text()), ports.to_page(result.read_text())
        if status and not any(FAILURE.search(line) for line in step.expected):
            return f"{where}\n      status {status}: {printed}"
        found = step.expected and difference(step.expected, printed.splitlines())
        return found and f"{where}\n{found}"


def with_suppressed(act, *arguments):
    try:
        act(*arguments)
    except ProcessLookupError:
        pass


class _Ports:
    """The documents' addresses, and those that stand for them here."""

    def __init__(self, demo):
        self._real = {DEMO: demo}

    def to_real(self, text):
        return ADDRESS.sub(self._stand_in, text)

    def to_page(self, text):
        for page, real in self._real.items():
            text = text.replace(real, page)
        return text

    def _stand_in(self, found):
        page = f"127.0.0.1:{found.group(2)}"
        return self._real.setdefault(page, f"127.0.0.1:{free_port()}")


def _steps(line, language, body):
    """The commands of a fence, with the lines below each."""
    if language == "sql" and not body.startswith("-- description"):
        return [Step(line, f"psql -X -q -v ON_ERROR_STOP=1 \"$APP_URL\" <<'END_OF_SQL'\n{body}END_OF_SQL", [])]
    if language != "console":
        return []
    steps, open_ended = [], False
    for offset, text in enumerate(body.splitlines(), start=1):
        if text.startswith("$ "):
            steps.append(Step(line + offset, text[2:], []))
        elif open_ended and steps:
            steps[-1].command += "\n" + text
        elif steps:
            steps[-1].expected.append(text)
            continue
        open_ended = not _complete(steps[-1].command)
    return steps


def _complete(command):
    """Whether a shell would run this, and not wait for another line."""
    checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
    return not command.endswith("\\") and "unexpected E" not in checked.stderr and "delimited by end-of-file" not in checked.stderr


def _script(commands, folder):
    """Runs commands one after the other in one shell, and keeps what each printed and its status."""
    parts = []
    for number, command in enumerate(commands):
        parts.append(f"{{\n{command}\n}} >{folder}/{number} 2>&1; echo $? >{folder}/{number}.status")
        if command.rstrip().endswith("&"):
            # A server in the background: the next command needs it to listen.
            parts += [f"until (exec 3<>/dev/tcp/{real.replace(':', '/')}) 2>/dev/null; do sleep 0.05; done"
                      for real in re.findall(r"listen[ =](127\.0\.0\.1:\d+)", command)]
    return "\n".join(parts)
