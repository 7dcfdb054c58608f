"""TOML that makes no sense, or would never end, is one sentence that names the file, wherever it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinsitu.cli import main
from xinsitu.cli.console import sentence
from xinsitu.errors import DocumentError
from xinsitu.io.instruments import load_instrument
from xinsitu.io.recognition import configuration_file, configure_instrument, named_instrument
from xinsitu.io.toml_text import toml_of
from xinsitu.recipe.campaign import recipes_in
from xinsitu.recipe.recipe_file import read_recipe

BAD = {
    "deep": "a = " + "[" * 100_000 + "]" * 100_000,
    "deep tables": "a = " + "{b = " * 50_000 + "1" + "}" * 50_000,
    "long key": "a" + ".a" * 50_000 + " = 1",
    "long name of a table": "[a" + " . 'a'" * 50_000 + "]",
    "digits": "version = " + "9" * 6000,
    "size": "#" * 2**20 + "\na = 1",
    "no TOML": "a = = 1",
}


@pytest.mark.parametrize("kind", BAD)
def test_it_is_refused_at_once_wherever_it_is_read(tmp_path, monkeypatch, capsys, kind):
    path = tmp_path / "it.toml"
    path.write_text(BAD[kind])
    with pytest.raises(ValueError, match=r"."):
        toml_of(BAD[kind])
    for read in (read_recipe, lambda path: load_instrument(str(path))):
        with pytest.raises(DocumentError, match=r"it\.toml"):
            read(path)
    assert main(["run", str(path)]) == 1
    said = capsys.readouterr().err
    assert "it.toml" in said
    assert "fault of xinsitu" not in said
    with pytest.raises(DocumentError, match="holds no recipe"):  # what others put beside recipes is none of ours
        recipes_in([tmp_path])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XINSITU_INSTRUMENT", raising=False)
    configuration = Path(configuration_file())
    configuration.parent.mkdir(parents=True)
    configuration.write_text(BAD[kind])
    with pytest.raises(DocumentError, match=str(configuration)):
        named_instrument()


def test_what_people_write_is_read():
    text = "# e.g. ... " + "." * 500 + "\npixels = [" + ", ".join(["1.5"] * 3000) + ']\n[a.b."c.d"]\nx = "1.2.3.4"\n'
    assert toml_of(text)["a"]["b"]["c.d"]["x"] == "1.2.3.4"


def test_a_configuration_may_begin_with_a_byte_order_mark(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("XINSITU_INSTRUMENT", raising=False)
    configuration = Path(configuration_file())
    configuration.parent.mkdir(parents=True)
    configuration.write_text('instrument = "generic"\n', encoding="utf-8-sig")
    assert named_instrument().table.name == "generic"
    configure_instrument("spring8-bl11xu")
    assert named_instrument().table.name == "spring8-bl11xu"


@pytest.mark.parametrize("key", ["sample", "rois", "measurement", "result"])
def test_a_path_with_nul_in_a_recipe_is_one_sentence(tmp_path, capsys, key):
    values = {"sample": "0884", "rois": "rois.json", "measurement": "time1", "result": "a.nc", key: "a\\u0000b"}
    (tmp_path / "rois.json").write_text(
        '{"format": "xinsitu-rois", "version": 1, "rois": [{"name": "A", "y": [0, 2], "x": [0, 2]}]}'
    )
    path = tmp_path / "it.toml"
    path.write_text(
        f'format = "xinsitu-recipe"\nversion = 1\nsample = "{values["sample"]}"\nrois = "{values["rois"]}"\n'
        f'measurements = ["{values["measurement"]}"]\n[output]\nresult = "{values["result"]}"\n'
    )
    assert main(["run", str(path)]) == 1
    said = capsys.readouterr().err
    assert "fault of xinsitu" not in said
    assert str(tmp_path) in said


def test_too_little_memory_is_no_fault_of_ours():
    said = sentence(MemoryError("Unable to allocate 745. GiB"), "a.nc")
    assert said == "a.nc: there is not enough memory (Unable to allocate 745. GiB)"
    assert sentence(MemoryError()) == "there is not enough memory"
