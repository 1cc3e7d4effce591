"""The graded problem sets: the solutions pass every test, a student's copy none, and wrong answers fail."""

import re

import matplotlib
import nbformat
import pytest

import assignments

SOURCES = {path.stem: nbformat.read(path, as_version=4) for path in assignments.assignments()}
NAMES = sorted(SOURCES)
MARKERS = ("### BEGIN", "### END", "Rubric", "**Solution")

# Mistakes that students make: (assignment, solution cell, what is replaced, by what, the test that sees it).
MISTAKES = [
    ("assignment1", "hermite", "weights / weights.sum()", "weights", "hermite-public"),
    ("assignment1", "hermite", "np.sqrt(k) * below", "k * below", "hermite-hidden"),
    ("assignment1", "exponent", "range(1, n)", "range(n)", "exponent-hidden"),
    ("assignment1", "exponent", "> 1e-8", "> 0", "exponent-hidden"),
    (
        "assignment1",
        "velocity",
        " - jnp.sum(W * u, axis=1, keepdims=True) * W",
        "",
        "velocity-public",
    ),
    ("assignment1", "velocity", "F_slope(W[:, :1])", "g_slope(W[:, :1])", "velocity-hidden"),
    ("assignment1", "rates", "jnp.mean(rates *", "jnp.sum(rates *", "rates-hidden"),
    ("assignment1", "rates", "jnp.mean(rates *", "jnp.mean(rates**2 *", "rates-hidden"),
    ("assignment1", "speed", "(1 - alpha**2) * F_slope", "F_slope", "speed-public"),
    ("assignment1", "speed", "edge = min(1.0, 12 / np.sqrt(d))", "edge = 0.5", "speed-hidden"),
    ("assignment2", "nodes", "(d - 3) / 2, (d - 3) / 2", "d / 2, d / 2", "nodes-public"),
    ("assignment2", "nodes", "(d - 3) / 2, (d - 3) / 2", "4.5, 4.5", "nodes-hidden"),
    ("assignment2", "limit", "c.tau - c.a * p", "c.tau * (1 - p)", "limit-hidden"),
    ("assignment2", "limit", "2 * c.tau @ p", "2 * c.a @ p", "limit-hidden"),
    ("assignment2", "limit", "c.tau", "c.a", "limit-hidden"),  # in both functions alike
    ("assignment2", "escape", "2 * eps + 4 * square", "eps + 4 * square", "escape-hidden"),
    ("assignment2", "gronwall", " - s * F.deriv(1)(s)", "", "gronwall-public"),
    ("assignment2", "gronwall", "np.linspace(-1, 1", "np.linspace(0, 1", "gronwall-hidden"),
    ("assignment3", "function", "own - 2 * cross", "own - cross", "function-public"),
    ("assignment3", "function", "ddof=1) / np.sqrt(seeds)", "ddof=1)", "function-hidden"),
    ("assignment3", "function", "a.size - 1, problem.dim", "a.size - 1, 8", "function-hidden"),
    ("assignment3", "hessian", "return P @ np.array", "return np.array", "hessian-public"),
    ("assignment3", "hessian", "/ (2 * h)", "/ h", "hessian-hidden"),
    ("assignment3", "stretch", "np.cos(phi) * slope", "slope", "stretch-hidden"),
    ("assignment3", "delay", " / np.sqrt(1 - alpha**2)", "", "delay-hidden"),
    ("assignment3", "delay", "return -along", "return along", "delay-hidden"),
    ("assignment4", "carlo", "m * np.asarray", "np.asarray", "carlo-public"),
    ("assignment4", "carlo", "gaps.append(m *", "gaps.append(64 *", "carlo-hidden"),
    (
        "assignment4",
        "empirical",
        "problem.target(x)",
        "problem.activation(x[:, 0])",
        "empirical-hidden",
    ),
    ("assignment4", "width", '2 if kind == "bound" else 1', "1", "width-hidden"),
    ("assignment4", "frames", "q * signs[:, None, :]", "q", "frames-hidden"),
    ("assignment4", "frames", "jnp.mean(own) - a0", "jnp.mean(own) - 2 * a0", "frames-public"),
    ("assignment4", "empirical", "-len(W) *", "-", "empirical-hidden"),
    ("assignment4", "train", "W + step *", "W + 0.01 * step *", "train-public"),
]


def cells(name, *roles):
    return [cell for cell in SOURCES[name].cells if assignments.role(cell) in roles]


def run(source, name, cell, namespace):
    exec(compile(source, f"{name}:{cell}", "exec"), namespace)


@pytest.fixture(scope="module")
def solved():
    """By assignment: the namespaces in which each test cell ran, and passed."""
    matplotlib.use("Agg")
    snapshots = {}

    def solve(name):
        if name not in snapshots:
            namespace, seen = {"__name__": name}, {}
            for cell in SOURCES[name].cells:
                if cell.cell_type == "code":
                    seen[cell.id] = dict(namespace)
                    run(cell.source, name, cell.id, namespace)
            snapshots[name] = seen
        return snapshots[name]

    return solve


@pytest.mark.parametrize("name", NAMES)
def test_the_solutions_pass_every_test(solved, name):
    assert {cell.id for cell in cells(name, "test")} <= set(solved(name))


@pytest.mark.parametrize(
    "name, cell, old, new, test",
    MISTAKES,
    ids=[f"{m[0]}-{m[1]}-{n}" for n, m in enumerate(MISTAKES)],
)
def test_a_wrong_answer_fails(solved, name, cell, old, new, test):
    sources = {c.id: c.source for c in SOURCES[name].cells}
    assert sources[cell].count(old) >= 1
    order = [c.id for c in SOURCES[name].cells if c.cell_type == "code"]
    namespace = dict(solved(name)[cell])
    run(sources[cell].replace(old, new), name, cell, namespace)
    between = order[order.index(cell) + 1 : order.index(test)]
    for given in between:  # what the test builds on; the tests in between may well fail
        try:
            run(sources[given], name, given, namespace)
        except AssertionError:
            assert given.endswith("public")
    with pytest.raises(AssertionError):
        run(sources[test], name, test, namespace)


@pytest.mark.parametrize("name", NAMES)
def test_a_students_copy_holds_no_answer_and_passes_nothing(solved, name):
    copy = assignments.student(SOURCES[name])
    everything = "\n".join(cell.source for cell in copy.cells)
    assert not any(marker in everything for marker in MARKERS)
    for cell, theirs in zip(SOURCES[name].cells, copy.cells, strict=True):
        kind = assignments.role(cell)
        if kind == "proof":
            assert theirs.source == assignments.TEXT_STUB
        regions = [
            *assignments.SOLUTION.finditer(cell.source),
            *assignments.HIDDEN.finditer(cell.source),
        ]
        assert bool(regions) == (kind == "solution" or cell.id.endswith("-hidden"))
        for line in {line.strip() for region in regions for line in region[0].splitlines()[1:-1]}:
            # Short lines and beginnings of calls may stand elsewhere too.
            assert len(line) < 25 or line.endswith("(") or line not in everything
    namespace = {"__name__": name}
    for cell in copy.cells:
        kind = assignments.role(cell)
        if kind == "given" and cell.id in ("network", "problem"):
            namespace |= {
                k: v
                for k, v in solved(name)[cells(name, "test")[0].id].items()
                if k not in namespace
            }
        elif kind in ("given", "solution"):
            run(cell.source, name, cell.id, namespace)
        elif kind == "test" and cell.id.endswith("public"):
            with pytest.raises(NotImplementedError):
                run(cell.source, name, cell.id, namespace)
        elif kind == "test":
            assert cell.source.startswith("# Hidden test") and "assert" not in cell.source


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_what_the_grader_expects(name):
    ids = [
        cell.metadata.nbgrader.grade_id
        for cell in SOURCES[name].cells
        if "nbgrader" in cell.metadata
    ]
    assert ids == [cell.id for cell in SOURCES[name].cells if "nbgrader" in cell.metadata]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-z][a-z-]*", i) for i in ids)
    for solution in cells(name, "solution"):
        assert {f"{solution.id}-public", f"{solution.id}-hidden"} <= set(ids)
    for cell in SOURCES[name].cells:
        if cell.cell_type == "code":
            assert cell.execution_count is None and not cell.outputs
            assert not re.search(
                r"^\s*%|^\s*!", cell.source, re.M
            )  # plain Python: it is run by exec too
            assert ("### BEGIN HIDDEN TESTS" in cell.source) == cell.id.endswith("-hidden")


@pytest.mark.parametrize("name", NAMES)
def test_points_and_rubrics_add_up(name):
    graded = cells(name, "test", "proof")
    assert sum(cell.metadata.nbgrader.points for cell in graded) == 25
    for proof in cells(name, "proof"):
        rubric = proof.source.split("**Rubric.**")[1]
        points = [int(n) for n in re.findall(r"(?:^|\. |; |\) )(\d) points?:", rubric.strip())]
        assert sum(points) == proof.metadata.nbgrader.points, points
    # What the questions promise is what the cells give.
    promised = "\n".join(cell.source for cell in cells(name, "text"))
    assert sum(int(n) for n in re.findall(r"^## \d.*\((\d+) points\)", promised, re.M)) == 25


def test_four_assignments_make_a_hundred_points(tmp_path):
    assert NAMES == [f"assignment{n}" for n in (1, 2, 3, 4)]
    assignments.build(tmp_path)
    for name in NAMES:
        student = nbformat.read(tmp_path / "student" / f"{name}.ipynb", as_version=4)
        nbformat.validate(student)
        assert student == assignments.student(SOURCES[name])
        source = tmp_path / "nbgrader" / "source" / name / f"{name}.ipynb"
        assert nbformat.read(source, as_version=4) == SOURCES[name]


@pytest.mark.parametrize("work", assignments.WORK)
def test_a_folder_with_somebody_s_work_is_left_as_it_is(tmp_path, work):
    assignments.build(tmp_path)
    handed_in = tmp_path / "nbgrader" / work
    handed_in.write_text("mine")
    with pytest.raises(assignments.InUse, match=f"holds {work}, which would be deleted"):
        assignments.build(tmp_path)
    assert handed_in.read_text() == "mine"


def test_the_experiments_of_the_project_run_and_its_points_add_up():
    text = (assignments.ROOT / "course" / "project.md").read_text(encoding="utf-8")
    (frames,) = (cell for cell in SOURCES["assignment4"].cells if cell.id == "frames")
    namespace = {}
    exec(frames.source, namespace)
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.S)):
        # One start and three steps: that the numbers are what was seen is not for a test of seconds.
        small = re.sub(r"in range\(\d+\)", "in range(1)", block).replace("1200)", "3)")
        run(small, "project", f"block {number}", namespace)
    rubric = text.split("## Rubric")[1]
    assert sum(int(n) for n in re.findall(r"^\| (\d+) \|", rubric, re.M)) == 50
