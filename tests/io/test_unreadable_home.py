"""A home or a configuration that may not be looked at stops nobody."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from xinsitu.errors import DocumentError
from xinsitu.io.instruments import instrument_names, load_instrument
from xinsitu.io.measurement import open_measurement


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(2):
        tifffile.imwrite(folder / f"x_{number}.tif", np.ones((5, 6), "u2"), metadata=None)
    return folder


@pytest.mark.parametrize("kind", ["a file", "a loop", "a pipe", "nothing"])
def test_a_configuration_that_is_none(tmp_path, monkeypatch, frames, kind):
    place = tmp_path / "configuration"
    if kind == "a file":
        place.write_text("")
    if kind == "a loop":
        place.symlink_to(place)
    if kind == "a pipe":
        (place / "xinsitu").mkdir(parents=True)
        os.mkfifo(place / "xinsitu" / "config.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place))
    assert "generic" in instrument_names()
    assert load_instrument("diamond-i07").time_zone == "Europe/London"
    with pytest.raises(DocumentError, match="no instrument 'elsewhere'"):
        load_instrument("elsewhere")
    assert open_measurement(frames, time="frame").sizes["time"] == 2


@pytest.mark.thorough
@pytest.mark.parametrize("home", ["/root", "/nowhere", None])
def test_a_home_that_may_not_be_looked_at(home):
    """As another user, or one whom the system does not know."""
    if os.getuid():
        pytest.skip("becoming another user needs root")
    code = (
        "import os, xinsitu as xi, xinsitu.io.recognition, xinsitu.io.instruments as i, xinsitu.io.measurement\n"
        "i.instrument_names(); xinsitu.io.recognition._configured()  # loads what it needs of Python\n"
        "os.setgroups([]); os.setgid(54321); os.setuid(54321)\n"
        "print(len(i.instrument_names()) > 2)\n"
        "print(xinsitu.io.recognition._configured())\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CONFIG_HOME")}
    environment |= {} if home is None else {"HOME": home}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout == "True\nNone\n", run.stderr[-800:]
