"""What is checked before a change goes in: `nox` runs it all, `nox -s tests` the tests alone."""

import itertools
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
OLDEST, NEWEST = PYTHONS[0], PYTHONS[-1]
PROJECT = PYPROJECT["project"]
WITH_EXTRAS = f".[{','.join(PROJECT['optional-dependencies'])}]"

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
# One Python is enough to work on the project; what is missing is skipped, and said to be.
nox.options.error_on_missing_interpreters = False
nox.options.sessions = [
    "lint",
    "types",
    "tests",
    "tests_lowest",
    "tests_plugins",
    "coverage",
    "docs",
]


def group(name: str) -> list[str]:
    # pip before 25.1 has no `--group`.
    return nox.project.dependency_groups(PYPROJECT, name)


def lowest_direct() -> list[str]:
    """Pin every dependency of the package and its extras to its lower bound."""
    direct = [
        *PROJECT["dependencies"],
        *itertools.chain(*PROJECT["optional-dependencies"].values()),
    ]
    return [requirement.replace(">=", "==") for requirement in direct]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    session.install(WITH_EXTRAS, *group("tests"))
    session.run("pytest", *session.posargs)


@nox.session(python=OLDEST)
def tests_lowest(session: nox.Session) -> None:
    session.install(WITH_EXTRAS, *group("tests"), *lowest_direct())
    session.run("pytest", *session.posargs)


@nox.session(python=OLDEST)
def tests_plugins(session: nox.Session) -> None:
    """Run the tests of the pytest plugin beside the other plugins that run async tests."""
    session.install(".", *group("plugins"))
    session.run("pytest", "tests/testing/test_pytest_plugin.py", *session.posargs)


@nox.session(python=NEWEST)
def tests_next(session: nox.Session) -> None:
    """Run the tests with the newest pre-release of aiohttp that the package admits."""
    session.install(WITH_EXTRAS, *group("tests"))
    session.install("--pre", "--upgrade", "aiohttp<4")
    session.run("pytest", *session.posargs)


@nox.session(python=OLDEST)
def coverage(session: nox.Session) -> None:
    session.install(WITH_EXTRAS, *group("tests"))
    session.run("coverage", "erase")
    # The docs start and interrupt programs, which then complain that coverage is not saved.
    session.run("coverage", "run", "-m", "pytest", "--ignore=tests/test_docs.py", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session(python=OLDEST)
def types(session: nox.Session) -> None:
    session.install(WITH_EXTRAS, *group("types"))
    session.run("mypy")
    session.run("pyright")


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    session.install(WITH_EXTRAS, *group("docs"))
    out = Path("docs", "_build", "html")
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-b", "html", "docs", str(out))


@nox.session(python=OLDEST)
def cluster(session: nox.Session) -> None:
    """Archive accounts on a Dask cluster, and measure what an archive costs."""
    session.install(WITH_EXTRAS, *group("cluster"))
    session.run("pytest", "tests/cluster")
    session.run("python", "tests/cluster/archive_costs.py", *session.posargs or ["1000"])


def benchmarks(session: nox.Session, *options: str) -> None:
    session.install(".", *group("bench"))
    # They are a package beside the tests, not part of what is installed.
    session.run("python", "-m", "benchmarks", *options, env={"PYTHONPATH": "tests"})


@nox.session(python=OLDEST)
def bench(session: nox.Session) -> None:
    benchmarks(session, *session.posargs)


@nox.session(python=OLDEST)
def bench_short(session: nox.Session) -> None:
    benchmarks(session, "--short", *session.posargs)
