"""Print the lowest versions that pyproject.toml allows, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
for one in (*project["dependencies"], *project["optional-dependencies"]["test"]):
    name, version = re.fullmatch(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)", one).groups()
    print(f"{name}=={version}.*")
