"""What the code must never contain, and that docs/security.md names proofs that are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for floor in ("miner", "models", "neurons") for path in (ROOT / floor).rglob("*.py"))
RUNNING = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def trees() -> dict[Path, list[ast.AST]]:
    """Every file's nodes."""
    return {path: list(ast.walk(ast.parse(path.read_text(encoding="utf-8")))) for path in SOURCES}


def imported(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def called(nodes: list[ast.AST]) -> Iterator[str]:
    """Names of what is called, as far as they are plain: "eval", "torch.load"."""
    for node in nodes:
        if isinstance(node, ast.Call):
            func = node.func
            if isinstance(func, ast.Name):
                yield func.id
            elif isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
                yield f"{func.value.id}.{func.attr}"


def given(nodes: list[ast.AST], keyword: str) -> Iterator[object]:
    """Constants that calls give by a keyword."""
    for node in nodes:
        if isinstance(node, ast.keyword) and node.arg == keyword and isinstance(node.value, ast.Constant):
            yield node.value.value


def test_nothing_runs_what_it_reads(trees):
    for path, nodes in trees.items():
        assert not RUNNING & set(imported(nodes)), path
        assert not {"eval", "exec", "torch.load", "yaml.load"} & set(called(nodes)), path
        assert True not in given(nodes, "allow_pickle"), path
        assert True not in given(nodes, "trust_remote_code"), path


def test_no_shell_is_started(trees):
    shells = {"os.system", "os.popen", "asyncio.create_subprocess_shell"}
    for path, nodes in trees.items():
        assert not shells & set(called(nodes)) and not list(given(nodes, "shell")), path


def test_no_certificate_goes_unchecked(trees):
    for path, nodes in trees.items():
        assert False not in given(nodes, "verify"), path


def test_the_wire_cannot_sign(trees):
    """It is given an address, never a key: there is nothing in it that could sign."""
    for path, nodes in trees.items():
        if path.parent == ROOT / "miner" / "wire":
            words = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
            names = {node.id for node in nodes if isinstance(node, ast.Name)}
            assert not {"sign", "keypair", "Keypair"} & (words | names), path


@pytest.mark.parametrize("proof", sorted(set(re.findall(r"`(tests/[\w/]+(?:\.py)?(?:::\w+)?)`", PAGE))))
def test_every_proof_that_the_page_names_is_there(proof):
    path, _, name = proof.partition("::")
    assert (ROOT / path).exists()
    assert not name or re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


def test_every_command_that_the_page_names_is_there():
    for script in set(re.findall(r"(?<!/)bench/\w+\.py", PAGE)):
        assert (ROOT / script).is_file()
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make (\w+)`", PAGE)):
        assert f"\n{target}:" in makefile
