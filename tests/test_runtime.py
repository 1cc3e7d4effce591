"""What the pages run in the browser: locked, checked, fetched once, and never needed to build."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import offline
import runtime

ROOT = Path(__file__).parents[1]
WANTED = [pattern.replace("*", "icons") for files in runtime.FILES.values() for pattern in files]


def faults(lock):
    """Packages of a lock that name an address, or no hash that the client could check."""
    for name, package in lock["packages"].items():
        if name and ("resolved" in package or "integrity" not in package):
            yield name


def npm(folder, body):
    """A stand-in for the npm client: a shell script."""
    client = folder / "npm-stand-in"
    client.write_text(f"#!/bin/sh\necho run >> '{folder}/calls'\n{body}\n")
    client.chmod(0o755)
    return str(client)


def installs(files):
    return "\n".join(
        f'mkdir -p "$(dirname node_modules/{file})"; echo "{file}" > node_modules/{file}'
        for file in files
    )


@pytest.fixture
def project(tmp_path):
    (tmp_path / "_build").mkdir()
    shutil.copytree(ROOT / "web", tmp_path / "web")
    return tmp_path


def test_lock_has_hashes_and_no_addresses():
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text())
    assert [*faults(lock)] == []
    package = json.loads((ROOT / "web" / "package.json").read_text())
    for kind in ("dependencies", "devDependencies"):
        assert lock["packages"][""][kind] == package[kind]


@pytest.mark.parametrize(
    "package", [{"version": "1"}, {"integrity": "sha512-x", "resolved": "https://example.org"}]
)
def test_a_faulty_lock_is_found(package):
    lock = {"packages": {"": {}, "a": package, "b": {"integrity": "sha512-x"}}}
    assert [*faults(lock)] == ["a"]


def test_files_are_fetched_once(project):
    client = npm(project, installs(WANTED))
    folder = runtime.fetch(project, npm=client)
    assert {path.name for path in (folder / "site" / "vendor").iterdir()} == {
        "tex-svg-full.js",
        "embed.js",
        "icons.woff2",
    }
    assert (folder / "tests" / "axe.min.js").read_text() == "axe-core/axe.min.js\n"
    runtime.fetch(project, npm=client)
    assert (project / "calls").read_text() == "run\n"


def test_a_changed_lock_fetches_anew_and_keeps_nothing_old(project):
    runtime.fetch(project, npm=npm(project, installs(WANTED)))
    lock = project / "web" / "package-lock.json"
    lock.write_text(lock.read_text() + "\n")
    with pytest.raises(runtime.NoRuntime, match="holds no @jupyter"):
        runtime.fetch(project, npm=npm(project, installs(WANTED[:1])))
    assert not (project / "_build" / "runtime" / "stamp").exists()


def test_no_client_is_said(project):
    with pytest.raises(runtime.NoRuntime, match="no npm client"):
        runtime.fetch(project, npm="no-such-client")


def test_what_the_client_says_is_passed_on(project):
    with pytest.raises(runtime.NoRuntime, match="failed: npm error code EINTEGRITY$"):
        runtime.fetch(project, npm=npm(project, "echo 'npm error code EINTEGRITY' >&2; exit 1"))


def test_without_files_there_is_a_notice_and_no_failure(monkeypatch, capsys):
    def fetch():
        raise runtime.NoRuntime("no network")

    monkeypatch.setattr(runtime, "fetch", fetch)
    runtime.main()
    assert capsys.readouterr().err.count("NOTICE") == 2


def configured(monkeypatch, folder):
    """The settings of Sphinx after the extension saw them, and the listeners it disconnected."""
    monkeypatch.setattr(offline, "RUNTIME", folder)
    disconnected = []
    thebe = SimpleNamespace(id=7, handler=SimpleNamespace(__module__="sphinx_thebe"))
    other = SimpleNamespace(id=8, handler=SimpleNamespace(__module__="sphinx_design.tabs"))
    app = SimpleNamespace(
        registry=SimpleNamespace(css_files=[("sphinx-thebe.css", {}), ("mine.css", {})]),
        events=SimpleNamespace(listeners={"builder-inited": [thebe, other]}),
        disconnect=disconnected.append,
    )
    config = SimpleNamespace(html_context={}, html_extra_path=["a"], mathjax_path="public")
    offline._configure(app, config)
    assert app.registry.css_files == [("mine.css", {})]
    return config, disconnected


def test_site_uses_the_fetched_files(monkeypatch, tmp_path):
    (tmp_path / "stamp").touch()
    config, disconnected = configured(monkeypatch, tmp_path)
    assert config.html_extra_path == ["a", str(tmp_path / "site")]
    for script in (config.mathjax_path, *config.nb_ipywidgets_js):
        folder, name = script.rsplit("/", 1)
        assert folder == "../vendor"
        assert any(file.endswith("/" + name) for file in runtime.FILES["site/vendor"])
    assert disconnected == [7]


def test_site_falls_back_to_public_copies(monkeypatch, tmp_path):
    config, disconnected = configured(monkeypatch, tmp_path)
    assert (config.mathjax_path, config.html_extra_path) == ("public", ["a"])
    assert disconnected == [7]
