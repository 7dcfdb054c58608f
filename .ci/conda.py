"""Build the conda recipe, without conda-forge: what the build needs is put into a channel of its own.

Python there is a virtual environment with pip and hatchling, which holds wherever it is unpacked; the compiler is the
machine's. What the package needs to run is not asked for. Prints what was built; the argument is a folder to work in.
"""

import hashlib
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import rattler_build

ROOT, SUB = Path(__file__).resolve().parents[1], "linux-64"


def stand_in(channel: Path, name: str, version: str, files: Path | None = None) -> tuple[str, dict[str, object]]:
    """Make a package, and its line of the channel's index."""
    made = rattler_build.assemble_package(name, version, SUB, "0", channel / SUB, files_dir=files)
    content = Path(made.path).read_bytes()
    told = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": [], "subdir": SUB}
    return Path(made.path).name, told | {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def main(folder: Path) -> None:
    """Build the package and look into it."""
    python, channel = folder / "python", folder / "channel"
    subprocess.run([sys.executable, "-m", "venv", python], check=True)  # noqa: S603
    subprocess.run([python / "bin/pip", "install", "--quiet", "hatchling"], check=True)  # noqa: S603
    for sub in (SUB, "noarch"):
        (channel / sub).mkdir(parents=True)
        (channel / sub / "repodata.json").write_text("{}")
    version = "{}.{}.{}".format(*sys.version_info)
    given = [("pip", "99", None), ("hatchling", "99", None), (f"gcc_{SUB}", "99", None), ("python", version, python)]
    index = {"info": {"subdir": SUB}, "packages.conda": dict(stand_in(channel, *one) for one in given)}
    (channel / SUB / "repodata.json").write_text(json.dumps(index))

    os.environ["XINSITU_VERSION"] = metadata.version("xinsitu")
    recipe = rattler_build.Stage0Recipe.from_file(ROOT / "conda/recipe.yaml")
    (rendered,) = recipe.render(rattler_build.VariantConfig.from_yaml("c_compiler: [gcc]"))
    tools = rattler_build.ToolConfiguration(test_strategy="skip")
    print(rendered.run_build(tools, folder / "built", [channel.as_uri()]))
    (path,) = (folder / "built" / SUB).glob("xinsitu-*.conda")
    files = set(map(str, rattler_build.Package.from_file(path).files))
    library = "lib/python{}.{}/site-packages/xinsitu".format(*sys.version_info)
    missing = {"bin/xinsitu", f"{library}/__init__.py", f"{library}/kernels/_compiled.so"} - files
    strange = {name for name in files if not name.startswith((library, "bin/xinsitu"))}
    if missing or strange:
        sys.exit(f"{path.name} lacks {sorted(missing)}, and holds {sorted(strange)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
