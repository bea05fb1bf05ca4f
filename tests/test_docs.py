"""Every Python and console block of the README and the docs runs, and prints what it says.

The blocks of a page run in order and share their names. The job ids of the examples stand for jobs
of a sandbox. A ``text`` block right after a ``python`` block is what that prints. In a ``console``
block a line of ``...`` stands for lines left out, and ``...`` within a line for the rest of a word.
A block with tests in it is run by pytest. A ``py`` block shows a part of the package, which it is
compared with.
"""

import ast
import builtins
import contextlib
import inspect
import io
import os
import re
import shlex
import shutil
import signal
import socket
import sys
import types
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

import asyncckpt
from asyncckpt.testing import Sandbox

from support.credentials import AsyncCredential
from support.programs import COMMAND, plugin_options, run_program
from support.programs import environment as environment_for_programs
from support.terminals import on_a_terminal, run_on_a_terminal

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CHECKPOINTS = 30
FENCE = re.compile(r"^```([a-z]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"^(async )?def test_", re.MULTILINE)


@attrs.frozen
class Block:
    language: str
    text: str
    line: int
    follows_directly: bool


def blocks_of(page: Path) -> Iterator[Block]:
    text, end = page.read_text("utf-8"), 0
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        yield Block(match[1], match[2], line, not text[end : match.start()].strip())
        end = match.end()


def pages_with(language: str) -> list[Any]:
    return [
        pytest.param(page, id=page.name)
        for page in PAGES
        if any(block.language == language for block in blocks_of(page))
    ]


@pytest.fixture
def small_pages() -> None:
    """Leave the page size as users have it."""


@pytest.fixture
async def environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[dict[str, str]]:
    """Set up the environment of an example; hand back what its ids and servers stand for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", sandbox.api_key)
    for name in ("AZURE_OPENAI_API_KEY", "NEBIUS_API_KEY", "PORTKEY_API_KEY"):
        monkeypatch.setenv(name, sandbox.api_key)
    monkeypatch.setattr(
        "azure.identity.aio.DefaultAzureCredential", lambda: AsyncCredential(sandbox.api_key)
    )
    finished = [job for job in sandbox.job_ids if len(sandbox.checkpoints_of(job)) == CHECKPOINTS]
    # Their jobs have the same ids.
    async with Sandbox(profile="azure") as azure, Sandbox(profile="nebius") as nebius:
        yield {
            "ftjob-abc123": finished[0],
            "ftjob-def456": finished[1],
            "https://my-resource.openai.azure.com": azure.origin,
            "https://my-resource.services.ai.azure.com": azure.origin,
            "https://api.tokenfactory.nebius.com": nebius.origin,
            "https://api.portkey.ai": sandbox.origin,
        }


def with_real_ids(text: str, ids: dict[str, str]) -> str:
    for example, real in ids.items():
        text = text.replace(example, real)
    return text


async def run_python(block: Block, page: Path, ids: dict[str, str], names: dict[str, Any]) -> str:
    """Run a block that may await at its top level; return what it printed."""
    # Empty lines in front make the lines of a traceback those of the page.
    source = "\n" * (block.line - 1) + with_real_ids(block.text, ids)
    code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = types.FunctionType(code, names)()
        if inspect.isawaitable(result):
            await result
    return printed.getvalue()


def run_tests_of(block: Block, folder: Path) -> None:
    (folder / "test_example.py").write_text(block.text, "utf-8")
    (folder / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"
    )
    arguments = ["-q", "--strict-markers", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *arguments, *plugin_options(), str(folder)]
    ran = run_program(command, cwd=folder)
    assert ran.code == 0, ran.out + ran.err
    assert " passed" in ran.out
    assert "skipped" not in ran.out


@pytest.mark.parametrize("page", pages_with("python"))
async def test_python_blocks_run(
    page: Path, environment: dict[str, str], leaks: None, tmp_path: Path
) -> None:
    names: dict[str, Any] = {"__builtins__": builtins}
    printed = ""
    for block in blocks_of(page):
        if block.language == "python" and TEST.search(block.text):
            run_tests_of(block, tmp_path)
        elif block.language == "python":
            printed = await run_python(block, page, environment, names)
        elif block.language == "text" and block.follows_directly:
            assert printed == with_real_ids(block.text, environment), f"{page.name}:{block.line}"


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which `asyncckpt` is the command of the tree under test."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "asyncckpt"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n', "utf-8")
    script.chmod(0o755)
    return environment_for_programs(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def with_free_port(text: str) -> str:
    """Replace the port of the examples, which another program may use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return text.replace("8765", str(server.getsockname()[1]))


def shown_by(command: str, expected: str, environment: dict[str, str]) -> str:
    """Run a command on a terminal, and return what it shows.

    A command that would wait for `timeout` to interrupt it is interrupted at the last line.
    """
    endless = re.match(r"timeout -s INT \d+ ", command)
    if endless is None:
        return run_on_a_terminal(["bash", "-c", command], environment)[1]
    program = ["bash", "-c", f"exec {command[endless.end() :]}"]
    with on_a_terminal(program, environment) as terminal:
        terminal.read_until(expected.splitlines()[-1])
        terminal.process.send_signal(signal.SIGINT)
        return terminal.read_to_end()


def matches(shown: str, expected: str) -> bool:
    parts = re.split(r"^\.\.\.\n", expected, flags=re.MULTILINE)
    patterns = (re.escape(part).replace(r"\.\.\.", r"\S*") for part in parts)
    return re.fullmatch("(?:.*\n)*".join(patterns), shown) is not None


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
@pytest.mark.parametrize("page", pages_with("console"))
def test_console_blocks_show_what_they_say(page: Path, commands: dict[str, str]) -> None:
    for block in blocks_of(page):
        if block.language == "console":
            text = with_free_port(block.text)
            for command, expected in commands_of(text):
                if command.startswith("jq ") and shutil.which("jq") is None:
                    continue
                shown = shown_by(command, expected, commands)
                assert matches(shown, expected), f"{page.name}:{block.line} {command}\n{shown}"


PACKAGE = ROOT / "asyncckpt"


def occurs(excerpt: str, source: str) -> bool:
    """Return whether the parts of an excerpt, between lines of ``...``, come in this order."""
    parts = re.split(r"^\.\.\.\n", excerpt, flags=re.MULTILINE)
    return re.search("(?:.*\n)*".join(map(re.escape, parts)), source) is not None


@pytest.mark.parametrize("page", pages_with("py"))
def test_excerpts_are_as_in_the_package(page: Path) -> None:
    modules = [*PACKAGE.rglob("*.py"), *(ROOT / "docs" / "examples").glob("*.py")]
    sources = [path.read_text("utf-8") for path in modules]
    for block in blocks_of(page):
        if block.language == "py":
            found = any(occurs(block.text, source) for source in sources)
            assert found, f"{page.name}:{block.line}"


def test_a_wrong_excerpt_would_be_seen() -> None:
    assert occurs("a\n...\nd\n", "0\na\nb\nc\nd\ne\n")
    assert not occurs("a\nc\n", "a\nb\nc\n")
    assert not occurs("c\n...\na\n", "a\nb\nc\n")


PACKAGES = [
    "cli",
    "contrib",
    "export",
    "protocol",
    "records",
    "resources",
    "streams",
    "testing",
    "transport",
    "web",
]


def test_the_architecture_says_what_each_module_does() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    modules = [
        f"{folder}/{path.name}"
        for folder in PACKAGES
        for path in (PACKAGE / folder).glob("[!_]*.py")
    ]
    modules += [path.name for path in PACKAGE.glob("[!_]*.py")]
    assert [module for module in modules if f"`{module}`" not in text] == []


def test_the_names_in_the_architecture_are_those_of_the_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    source = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    names = {name.rpartition(".")[2] for name in re.findall(r"`([\w.]+)`", text)} - {"py"}
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", source)] == []


def test_a_wrong_output_would_be_seen() -> None:
    assert matches("a\nb\nc\n", "a\n...\nc\n")
    assert matches("a\n", "a\n...\n")
    assert matches("a (req_1b2)\n", "a (req_...)\n")
    assert not matches("a (req_1 b)\n", "a (req_...)\n")
    assert not matches("a\nb\nd\n", "a\n...\nc\n")
    assert not matches("a\n", "")


LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_have_a_text_and_lead_somewhere(page: Path) -> None:
    # Sphinx would fill in a text; a repository's web page does not.
    for text, path, anchor in LINK.findall(page.read_text("utf-8")):
        target = page.parent / path if path else page
        assert text
        assert target.exists(), path
        assert not anchor or anchor in anchors_of(target), f"{path}#{anchor}"


DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)(\w+):: ([\w.]+)((?:\n   .*)*)", re.MULTILINE)
PUBLIC_MODULES = [
    "asyncckpt",
    "asyncckpt.contrib.opentelemetry",
    "asyncckpt.export",
    "asyncckpt.hooks",
    "asyncckpt.records",
    "asyncckpt.records.events",
    "asyncckpt.records.jobs",
    "asyncckpt.testing",
    "asyncckpt.testing.faults",
    "asyncckpt.testing.limiters",
    "asyncckpt.web",
]


def paths_of(reference: str) -> Iterator[str]:
    for kind, path, options in DIRECTIVE.findall(reference):
        module = re.search(r":module: ([\w.]+)", options)
        if kind == "module" and ":no-members:" not in options:
            yield path
            yield from (f"{path}.{name}" for name in import_module(path).__all__)
        elif kind != "module":
            yield f"{module[1]}.{path}" if module else path


def test_the_reference_has_every_public_name_by_its_path() -> None:
    documented = {*paths_of((ROOT / "docs" / "reference.md").read_text("utf-8"))}
    # What can be imported from `asyncckpt` is documented there alone.
    missing = [
        f"{module}.{name}"
        for module in PUBLIC_MODULES
        for name in import_module(module).__all__
        if not documented & {f"{module}.{name}", f"asyncckpt.{name}"}
    ]
    assert missing == ["asyncckpt.__version__"]


def test_the_list_of_public_modules_is_complete() -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8").partition("\n|")[0]
    assert re.findall(r"`(asyncckpt[\w.]*)`", text)[:-1] == PUBLIC_MODULES


def test_every_page_is_in_the_menu_once() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    listed = [
        line
        for menu in re.findall(r"^```\{toctree\}\n(.*?)^```$", index, re.MULTILINE | re.DOTALL)
        for line in menu.splitlines()
        if line and not line.startswith(":")
    ]
    pages = [page.stem for page in PAGES if page.stem not in {"README", "index"}]
    assert sorted(listed) == sorted(pages)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_other_sites_are_well_formed(page: Path) -> None:
    for url in re.findall(r"\]\((https?:[^)]*)\)", page.read_text("utf-8")):
        parts = urlsplit(url)
        assert parts.scheme == "https", url
        assert re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), url


def test_the_summary_of_the_reference_has_every_public_name() -> None:
    summary, _, _ = (ROOT / "docs" / "reference.md").read_text("utf-8").partition("## Client")
    errors = {name for name in asyncckpt.errors.__all__ if name != "APIError"}
    names = set(asyncckpt.__all__) - errors - {"__version__"}
    assert [name for name in names if not re.search(rf"\b{name}\b", summary)] == []


def test_entries_of_the_changelog_stand_beside_others_of_their_area() -> None:
    text = (ROOT / "docs" / "changelog.md").read_text("utf-8")
    unreleased = text.partition("## Unreleased\n")[2].partition("\n## ")[0]
    for section in unreleased.split("\n### ")[1:]:
        areas = [area for area, _ in groupby(re.findall(r"^- ([^:\n]+):", section, re.MULTILINE))]
        assert sorted(areas) == sorted({*areas}), section.partition("\n")[0]
        assert section.count("\n- ") == len(re.findall(r"^- [^:\n]+:", section, re.MULTILINE))
