"""The house: imports only go down, the wall between ``io`` and ``physics`` holds, and nobody runs in circles."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
PACKAGE = SOURCE / "xinsitu"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("explanations", "beginning"),
    ("errors", "defaults", "digits"),
    ("epoch", "signatures", "native"),
    ("schema", "clock", "kernels"),
    ("variables",),
    ("values", "physics.stored"),
    ("io.units", "physics.moments", "physics.blocks"),
    ("io.formats",),
    ("io", "physics.corrections", "physics.attenuation"),
    ("physics.reduction", "physics.samples"),
    ("physics.peaks",),
    ("recipe", "live", "plots", "simulate"),
    ("app.network", "app.current", "app.server_log", "app.data"),
    ("app.preview",),
    ("app.state",),
    ("app.views",),
    ("app.page",),
    ("app.explorer",),
    ("app.serve", "app"),
    ("cli", "accessor", "registration"),
    ("__main__",),
)
"""From the ground up; a name stands for all that is below it and has no floor of its own. Rooms of one floor may import
each other only where they are one room: a module imports its own room, and what lies on a floor below."""
LONGEST = 400
"""Lines of a module."""
ONLY_ONE_MAY_IMPORT_APP = {"cli", "accessor", "app"}
KERNELS_MAY_IMPORT = {
    "__future__",
    "collections",
    "ctypes",
    "dataclasses",
    "functools",
    "math",
    "typing",
    "numpy",
    "scipy",
    "cv2",
}


def modules() -> dict[str, Path]:
    """Every module of the package by its name below ``xinsitu``."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports(name: str, path: Path, known: set[str], *, functions: bool = True) -> set[str]:
    """Modules of the package that a module imports, those inside functions too; type-checking imports do not count."""
    package = name.split(".") if path.name == "__init__.py" and name != "__init__" else name.split(".")[:-1]
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if not functions and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if isinstance(node, ast.Import):
            found.update(
                alias.name.removeprefix("xinsitu.") for alias in node.names if alias.name.startswith("xinsitu.")
            )
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = [*base, *((node.module or "").split(".") if node.module else [])]
            if not node.level:
                if whole[:1] != ["xinsitu"]:
                    return
                whole = whole[1:]
            for alias in node.names:
                full = ".".join([*whole, alias.name])
                found.add(full if full in known else ".".join(whole))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return {item for item in found if item and item != name}


MODULES = modules()
GRAPH = {name: imports(name, path, set(MODULES)) for name, path in MODULES.items()}
EDGES = [(one, other) for one, others in GRAPH.items() for other in others]


def room(name: str) -> str:
    return name.split(".")[0]


def place(name: str) -> tuple[int, str] | None:
    """Floor of a module, and the room that stands for it in the table: the longest name that fits."""
    fits = [(len(known), floor, known) for floor, rooms in enumerate(FLOORS) for known in rooms
            if name == known or name.startswith(f"{known}.")]  # fmt: skip
    return max(fits)[1:] if fits else None


def test_every_module_has_a_floor() -> None:
    nowhere = [name for name in MODULES if place(name) is None and name not in ("__init__", "physics")]
    assert nowhere == []
    unused = [
        known
        for rooms in FLOORS
        for known in rooms
        if not any(place(name) and place(name)[1] == known for name in MODULES)
    ]
    assert [known for known in unused if known != "clock"] == []


def test_no_two_files_share_a_name() -> None:
    names = [path.name for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_file_is_long() -> None:
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


def test_the_reader_of_imports_sees_imports_inside_functions(tmp_path: Path) -> None:
    path = tmp_path / "stitching.py"
    path.write_text("def f():\n    from xinsitu.io import results\n    from ..schema import describe\n")
    assert imports("physics.stitching", path, set(MODULES)) == {"io.results", "schema"}


def upward(edges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Imports that go up, or across to another room of the same floor."""
    found = []
    for one, other in edges:
        if one in ("__init__", "physics") or other in ("__init__", "physics"):
            continue
        here, there = place(one), place(other)
        assert here is not None
        assert there is not None
        if here[1] != there[1] and there[0] >= here[0]:
            found.append((one, other))
    return found


def test_imports_go_down() -> None:
    assert len(EDGES) > 500
    assert upward(EDGES) == []


def test_the_table_sees_what_goes_up() -> None:
    wrong = [
        ("physics.corrections.plan", "physics.reduction.series"),
        ("physics.attenuation.counts", "physics.samples.growth"),
        ("physics.reduction.series", "physics.samples.growth"),
        ("io.times", "recipe.steps"),
        ("io.formats.tiff", "io.times"),
        ("app.state.view", "app.page.page"),
        ("kernels.sums", "values.rois"),
    ]
    assert upward(wrong) == wrong
    other_way = [(other, one) for one, other in wrong]
    assert upward(other_way) == [("physics.samples.growth", "physics.reduction.series")]  # neither lies below


def test_the_wall_between_files_and_mathematics() -> None:
    through = [(one, other) for one, other in EDGES if {room(one), room(other)} == {"io", "physics"}]
    assert through == []


def test_nobody_imports_the_app_but_the_command_line_and_the_accessor() -> None:
    assert {room(one) for one, other in EDGES if room(other) == "app"} <= ONLY_ONE_MAY_IMPORT_APP


def test_the_command_line_and_the_accessor_import_the_app_inside_functions() -> None:
    for name, path in MODULES.items():
        if room(name) in ("cli", "accessor"):
            assert not [other for other in imports(name, path, set(MODULES), functions=False) if room(other) == "app"]


def test_no_circles() -> None:
    done: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join((*way[way.index(name) :], name))
        if name in done:
            return
        for other in GRAPH.get(name, ()):
            follow(other, (*way, name))
        done.add(name)

    for name in GRAPH:
        follow(name, ())


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] == "kernels"])
def test_kernels_know_arrays_only(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    roots = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    roots |= {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    assert roots <= KERNELS_MAY_IMPORT | {"xinsitu"}
    known = {"kernels", "native"}  # the second is the library that was compiled for them
    assert all(edge[1].split(".")[0] in known for edge in EDGES if edge[0] == name)


def test_no_module_bears_the_name_of_a_public_function() -> None:
    import xinsitu

    assert not {name.split(".")[0] for name in MODULES} & set(xinsitu.__all__)


@pytest.mark.thorough
def test_import_is_light_and_changes_nothing() -> None:
    code = (
        "import sys, xarray as xr; before = dict(xr.get_options()); import xinsitu; import xinsitu.io.backend;"
        "heavy = {'cv2', 'hvplot', 'panel', 'holoviews', 'matplotlib', 'bokeh', 'distributed'} & set(sys.modules);"
        "assert not heavy, heavy; assert dict(xr.get_options()) == before"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_one_place_counts_the_lines_between_a_warning_and_its_reader() -> None:
    counted = [name for name, path in MODULES.items() if "stacklevel" in path.read_text(encoding="utf-8")]
    assert counted == ["errors"]


@pytest.mark.thorough
def test_the_command_line_alone_changes_what_is_heard_of_warnings() -> None:
    """Filters are of the whole process: on a thread that reads frames, others lose theirs, or get them back wrong."""
    changing = {"catch_warnings", "simplefilter", "filterwarnings", "resetwarnings", "showwarning"}
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in changing
    }
    assert found == {"cli/console.py"}


@pytest.mark.thorough
def test_the_map_is_that_of_the_house() -> None:
    """Every folder is on the map of CONTRIBUTING, and every file that it sends people to is there."""
    text = PACKAGE.parents[1].joinpath("CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {path.name for path in PACKAGE.rglob("*") if path.is_dir() and any(path.glob("*.py"))}
    assert not {name for name in folders if f"{name}/" not in text}
    named = re.findall(r"`([\w/]+\.py)`", text)
    there = {path.relative_to(PACKAGE.parents[1]).as_posix() for path in PACKAGE.parents[1].rglob("*.py")}
    assert len(named) > 20
    for name in named:
        known = f"src/xinsitu/{name}" in there or name in there
        assert known or name.endswith("/new.py"), name
