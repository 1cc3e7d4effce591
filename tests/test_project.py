"""The project's files agree with each other, and hold nothing of the machine they were made on."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PYTHONS = ["3.11", "3.12", "3.13"]
PLATFORMS = [
    ("linux", "Linux", "x86_64"),
    ("linux", "Linux", "aarch64"),
    ("darwin", "Darwin", "arm64"),
]


def pins():
    """The lock as (requirement, number of hashes), one an entry."""
    entries = LOCK.replace("\\\n", " ").strip().splitlines()
    return [
        (
            Requirement(entry.split("--hash")[0].strip()),
            len(re.findall(r"--hash=sha256:[0-9a-f]{64}", entry)),
        )
        for entry in entries
    ]


def environment(python, platform=PLATFORMS[0]):
    sys_platform, system, machine = platform
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": sys_platform,
        "platform_system": system,
        "platform_machine": machine,
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def applies(requirement, where):
    return requirement.marker is None or requirement.marker.evaluate(where)


def locked(where):
    """Versions by name in one environment; an entry pinned twice there is an error."""
    versions = {}
    for requirement, _ in pins():
        if applies(requirement, where):
            name = canonicalize_name(requirement.name)
            assert name not in versions, f"{name} is pinned twice for {where}"
            (exact,) = requirement.specifier
            assert exact.operator == "=="
            versions[name] = exact.version
    return versions


def unmet(requirements, versions, where):
    """The requirements that the versions do not satisfy."""
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        version = versions.get(name)
        if applies(requirement, where) and (
            version is None or version not in requirement.specifier
        ):
            yield f"{requirement} (locked: {version})"


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: "-".join(platform[::2]))
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_the_project(python, platform):
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras["book"] + extras["test"]
    where = environment(python, platform)
    assert list(unmet(wanted, locked(where), where)) == []


def test_unmet_requirements_are_found():
    where = environment("3.11")
    versions = {"jax": "0.5.0", "a-b": "1.0"}
    wanted = ["jax>=0.4", "A_b<2", "absent; python_version < '3'"]
    assert list(unmet(wanted, versions, where)) == []
    assert len([*unmet(["jax>=0.6", "gone", "a-b>1"], versions, where)]) == 3


def test_lock_is_closed():
    """Nothing that a locked package needs is missing: the lock is installed without resolving."""
    where = environment(".".join(map(str, sys.version_info[:2])))
    versions = locked(where)
    needs = [need for name in versions for need in importlib.metadata.requires(name) or []]
    assert list(unmet(needs, versions, where)) == []


def test_environment_is_the_locked_one():
    versions = locked(environment(".".join(map(str, sys.version_info[:2]))))
    assert {name: importlib.metadata.version(name) for name in versions} == versions


def test_lock_holds_hashes_and_no_address():
    assert all(hashes >= 1 for _, hashes in pins())
    assert all(requirement.url is None for requirement, _ in pins())
    assert not re.search(r"://|^\s*-(?!-hash)|--(?!hash)", LOCK, re.MULTILINE)


def test_build_tools_are_locked():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    where = environment("3.11")
    assert list(unmet([*build["requires"], "editables"], locked(where), where)) == []


def test_conda_environment_is_the_lock():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *names, pip = conda["dependencies"]
    assert pip == {"pip": ["--require-hashes", "-r requirements.lock"]}
    assert [name.split()[0] for name in names] == ["python", "pip"]
    accepted = SpecifierSet(names[0].removeprefix("python").strip())
    for python in PYTHONS:
        assert f"{python}.5" in accepted
    assert "3.10.9" not in accepted and "3.14.0" not in accepted
    assert "--no-deps --no-build-isolation -e ." in (ROOT / "postBuild").read_text()


def test_python_versions_agree():
    classified = [c.split(" :: ")[-1] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text())
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert PYTHONS == classified == tested
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    first, last = (f"(3, {python.split('.')[1]})" for python in (PYTHONS[0], PYTHONS[-1]))
    assert f"{first} <= sys.version_info[:2] <= {last}" in (ROOT / "Makefile").read_text()


def test_citation_and_package_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    book = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["title"] == book["title"]


@pytest.mark.parametrize("script", [".ci/run", "postBuild"])
def test_scripts_can_be_run(script):
    assert (ROOT / script).stat().st_mode & 0o111


# Machine paths below a home, work or scratch folder, and hosts that packages are fetched from.
TRACES = re.compile(
    r"""(?<![\w.~-])/(?:home|Users|root|work|tmp|mnt|scratch)/\w+"""
    r"""|https?://[^\s/"')]*(?:pypi|pythonhosted|anaconda|npmjs|registry|artifact|mirror|proxy)"""
    r"""|--(?:extra-)?index-url|--find-links""",
    re.IGNORECASE,
)


def tracked():
    """The files that git has or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_holds_a_trace_of_a_machine():
    files = tracked()
    assert ROOT / "pyproject.toml" in files
    found = {}
    for path in files:
        if path == Path(__file__):
            continue
        text = path.read_bytes().decode("utf-8", errors="ignore")
        if traces := TRACES.findall(text):
            found[path.name] = traces[:3]
    assert found == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("File /home/somebody/x.py", True),
        ('"/Users/me/book"', True),
        ("https://pypi.example.org/simple", True),
        ("https://my-mirror.example/npm", True),
        ("pip install --index-url x", True),
        ("book/home/x", False),
        ("https://creativecommons.org/licenses/by/4.0/", False),
    ],
)
def test_traces_are_found(text, found):
    assert bool(TRACES.search(text)) is found
