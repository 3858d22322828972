"""The rules that hold for the whole tree: who may import whom, and what tools say about every file."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import orchestrator.errors
from orchestrator.errors import VanishpointError

ROOT = Path(__file__).parents[2]
PACKAGES = ("orchestrator", "probes", "lab", "bench")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST = 400
"""Lines. What needs more holds two jobs."""
PAGE = re.compile(r"^(?P<indent>[│ ]*)[├└]── (?P<name>\w+)(?:\s+exit (?P<code>\d+))?", re.MULTILINE)


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of this interpreter's environment at the top of the tree."""
    return subprocess.run([sys.executable, *argv], cwd=ROOT, check=False, capture_output=True, text=True, timeout=280)


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program *name* that stands beside this interpreter."""
    program = Path(sys.executable).with_name(name)
    return subprocess.run([program, *arguments], cwd=ROOT, check=False, capture_output=True, text=True, timeout=280)


def test_imports_point_one_way():
    """A folder is an import rule: the contracts stand in pyproject.toml."""
    done = tool("lint-imports", "--no-cache", "--no-logo")
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_is_content():
    """Every rule is on; what is off has its reason in pyproject.toml."""
    done = tool("ruff", "check", "--output-format", "concise", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_code_is_formatted():
    """The formatter decides, so nobody else has to."""
    done = tool("ruff", "format", "--check", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_is_content():
    """Strict, on everything that ships."""
    done = run("-m", "mypy")
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_knows_every_kernel():
    """Kernels are typed by numba; the two lists of mypy's settings are kept by hand."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    files = [path.relative_to(ROOT).with_suffix("") for path in MODULES if path.stem.endswith("_kernels")]
    kernels = {".".join(file.parts) for file in files}
    assert set(settings["untyped_calls_exclude"]) == kernels
    assert any(set(override["module"]) == kernels for override in settings["overrides"])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_for_and_stays_short(path):
    """A newcomer reads the first line of a file before the rest of it."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    documentation = ast.get_docstring(tree)
    assert documentation, "no docstring"
    assert "from __future__ import annotations" in text or path.name == "__init__.py"
    lines = text.count("\n")
    assert lines < LONGEST, f"{lines} lines"


def test_the_drawing_of_errors_is_true():
    """`errors.py` opens with a tree; classes, parents and exit codes are as drawn."""
    drawing = inspect.getdoc(orchestrator.errors) or ""
    parents = [VanishpointError]
    drawn: set[type[VanishpointError]] = {VanishpointError}
    for match in PAGE.finditer(drawing):
        depth = len(match["indent"]) // 4 + 1
        found = getattr(orchestrator.errors, match["name"])
        assert found.__base__ is parents[depth - 1], f"{match['name']} is drawn below another parent"
        assert match["code"] is None or found.exit_code == int(match["code"]), match["name"]
        parents[depth:] = [found]
        drawn.add(found)
    defined = {
        value
        for value in vars(orchestrator.errors).values()
        if isinstance(value, type) and issubclass(value, VanishpointError)
    }
    assert drawn == defined


def test_no_file_has_a_name_that_says_nothing():
    """What is in `utils`? Everything nobody found a place for."""
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "service"}
    assert [path for path in MODULES if path.stem in empty] == []
