"""Pickles of the old scripts: what Python 2 wrote is read, and nothing that a pickle asks for is ever done."""

from __future__ import annotations

import base64
import builtins
import codecs
import collections
import os
import pickle
import pickletools
import sys
import zlib

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xinsitu.cli import main
from xinsitu.errors import DocumentError, XinsituWarning
from xinsitu.io.exchange.old_pickles import read_old_pickle

WRITTEN = {
    "ROIS_0": (
        "eNp9UbtuwzAM3O9H7KWGJD+SLB0DaPFQAylQBCj8UAEDsU1IMhDnj/sXJZtOHjpQInkkjyelAyk0yZdvJxcSkEY/rxNtWb94l03r"
        "LY6t9+2GT+/6ZQ7Rr30EGaTPOszDE6ccqVWIVPC4jieV7Fd4owPnNZuBzTl1/CPAEDdyoBPSJhkLoVbgAVwbSWtu1EzCLU3yKmCO"
        "uq7ti8avCZEu0Fkl21/vSv1jehebXZzv4mIXl8IvcnSFLjRJdPcoqQNTt9dZxOojGHj/EJcVDWRkL1rkSQ2rP2uTlTjnmSxujBSH"
        "8eEE5Xe7kSlgK4XWnvgIjM78H4KWuHzzVSFkP+JGdbs="
    ),
    "ROIS_2": (
        "eNotj81Kw0AQx7MfrXW16tFHWC85eRTprdCBHIShpSCSpCsEzMdsdsEUCl6s+Cg+Rx/Mbl3/8BsG5jcD88F3xDSOX21em5542fi6"
        "G9KytSat/ZurcmvzQb1YU7ZN76wvnSIRLdVs4pQkJJ/Iiq8nGmlgwEHs/5WNGzqjaIy8uocEWFDONAhkj1mWLX5D/gokrvjG2ySG"
        "BXhABGRg5AqUzrw7mqDIVUHnyJdrUju60Ci6tqfL+ewu7s5nk9jsaYqyr7aGrp7pWsMDrI1H2YQ/6WZ1On/48ekRRBpJYQ=="
    ),
    "TABLE_0": (
        "eNqFVtuO6zQUffeH0L5QvH2JbQmJAzpC6sMpEn0dKXLTTFToJSQpdBDi29nLSTrp5QzSZDT23str7Yu3Z76tpVjPmpmoSRTFqX7L"
        "m7IS/Ks4HduuORfdqRG1EvOijsdtbBfFqSkXr008lOJz7OLP6a9aiyLPN+fdvtsd81ycNr+VRSdqI1ZdbcWvdSbm29oxU34ou7hl"
        "IDN6Md/XQbS8273VkAAtMKbzsUHJOviTEtW9kt2xK5tj3LeLQzzGqmxa8dP+VPz+pV8xSIsqySDDOsiKOZNSJu5O2ZaXsl1sYluK"
        "/Fj+lS+xw2j3wDfxHJ08oqMwiGelSorieD7Ubz3ocOa8xKaJbzeZZT/i45OjYIrkUCsOcSlFVyvNB25wmsEKaVScxyVjlho7biAR"
        "W04fF0GxjvXsFw9IEHwGu3a1lgzUPWg9+4eNWonVarX8lkT6MhymtdgspURFtGG/4nTIL/C1Iq5nYz10hlVbnzosnIgM9GLDNToO"
        "DkGs2q424DQk4tPccZLKbnco2z7Vn4flkE2jvpLyd9g9QiP/BrK7v1mEsSwCoss/sMp4VXFFHnonJfzZuT/2lTBuaB3jEU4Ai0WL"
        "5sPRlnB0akvOb3WtnMUOimY1A62ZFM1aNqU6fUGdbHatk3XwZdMSgXwPY7ipExeHBWQS4GPL9oyA7H+6OlP4BY7M9LVcz14uUvZf"
        "kb1cPH+v2++alwvpdwtZ/vzLJah/byzbl0sM3zBym7bBZ3F4luqdp57DprsJKPPXgLLAATk5CcjRk4Ccugbk9DQghww6cDpwbtpq"
        "6C6HTDkvIjerC/fJ93JIvid282pIPh+K3Hg9yn2FXG+ucj0umM+GewK53t3JZSf/mNr779X/8HWjNJ8+MBafQBuYKEixiXeRBRoi"
        "C4qlBn0bWTBjZDtEFuw1spDB3U0iC/4hshAmkdEHGvGp/7Hrj+xp0IOSJD0GSXK8PCRxe0ia2zhJ8hXSUJ2mFcmMNafnQfJAAjSu"
        "Ity4VDE5cItgjlfDnCY0iLxvG6Ixu0RIL9F7frFnbkgJGizmHxGac2xNIpew3Jy3nOEppxp7lRSalZSacvIDMOVUkJAlTn4MJpwq"
        "S1h3x8nN8JQzjJzpZSBNU05+G6acGhLSnCd+Fiac2iYsywGVxtMuF2QWhELoXoDGixh5dGOPn4SKU8WjY4P3ud+jRIKJz+4G3Xmo"
        "mpztvdnc/lfR7ndFiX2bYhnnBJkUP09rPvzPuD8PhBw+3/42CTToAT6v6sGMVAPYpiTwJOdBDghfqx6CIT6BKHTfAEl9yWN9gKBF"
        "29giLdamSbX4D7l4f2o="
    ),
    "TABLE_2": (
        "eNqNVNl21EYQHc1mW5jVLIYQICymzTJgMMQswYY4LBYWYGj2QbQ0bdccZjRTUivBOVFOeLBz8spf8CO88T+8cEhNS/agwSzSOSpN"
        "qe6d21W3+598jAbjRui1hV8TYcVrBbISyqAuQ/NuEjA/+goLMRYZH3CaUomaUAJLVSzzoi+aEvsELzk62Z+hqftKBr5ohJWm8MWC"
        "DIiy7i805JVGy3sxm+RMHCB6k1VxXQ+4Jl/KsOKKUJqOL/9wbnQyJg6uWRYIf0Gac51nWrc+xg2Ml0IlAoUbrRwvhkq2cZNldN5a"
        "bdxsFaDPjpbncIuo4pDnR832YsLajBqqLoJALJpOIL2WH6og8pSJW5MqkwTor7jNyi1xw/13Drczy7AKS2lBTS22pYk7eH5+wspZ"
        "BhUMM6vAjYu2bc98pEs/rJxy/+PDOX29n0xicSqJg1PKJWU7YRBoMbsY0CqA9ENX+Q8ixt28fLIyNl4Zwx9j3MN4UVBDcC+s42W3"
        "0+gQ91Xxpxj3M97fXAgcyoV4wHMcN6rTMn3HMcNG3SO1B0lpQWs9xMu/i0ZEPCOwPRJRqFxedGhNeJiXE3sggz5e8lpN5yWORi43"
        "gsxg5gOyhjlNrriq3/AIjflojMcYkHWOw2E+0LGMLsMKfNM5Wc+cILKT5JkxBoNftk3qhFMxnqa2aIeOw1bozuxMMjOgMd1aGdNZ"
        "Paa/smOapDFV8WcGo7yUSJ4gF7VbCs9J5abDOL+mEvpbqepN2kjaxdPpz1TbhW9gesovxvgL43n1J16yeXE+kIiTNoxnSLQz1+K4"
        "nFh2inp3OcYrtDkczfCrDf2Ztkx32zK70pbfmFX83L0xifFDqqZbLadefrv84UQwlMttG379dyfW3oy8C4bIQWVHbwu8mmG+9l3M"
        "0UqXr8sq3mAZvTNM1xWWYfirmykDslZBJKa+IubmlzepkRDl8mkspLGHd3aV9yxZxqbDVdAHm2xCwm+RX4H8eJtB1ol3NGpJY+Zg"
        "VKya6m4CuNcL4J8A7sNEF/AgATzsBTz6BPAYznUBT2SMT4HOjiqDvTAGdFo8YzE6DA5A50QwdGOewwjMRDGKJG1YeZ12KW1R2kvS"
        "+fT8qFF6NpKdcyNyo8r/F8YWWA=="
    ),
}
"""Written by Python 2.7 with NumPy 1.16 and pandas 0.24: ``pickle`` at protocol 0, ``cPickle`` at protocol 2."""


def put(path, content: bytes):
    path.write_bytes(content)
    return path


def old(path, name):
    return put(path / f"{name}.p", zlib.decompress(base64.b64decode(WRITTEN[name])))


@pytest.mark.parametrize("name", ["ROIS_0", "ROIS_2"])
def test_what_python_2_wrote(tmp_path, name):
    found = read_old_pickle(old(tmp_path, name))
    assert set(found.variables) == {"WZ.pos", "WZ.size", "name", "frames", "text"}
    assert found["WZ.pos"].values.tolist() == [12.5, 3.0]
    assert found["WZ.size"].values.tolist() == [60, 90]
    assert found["name"].item() == "é"
    assert found["text"].item() == "a\nb"
    assert found["frames"].values.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["frames"].dtype == "int32"


@pytest.mark.parametrize("name", ["TABLE_0", "TABLE_2"])
def test_tables_that_python_2_wrote(tmp_path, name):
    found = read_old_pickle(old(tmp_path, name))
    assert found["r.rows"].values.astype("datetime64[D]").astype(str).tolist() == [
        "2014-05-28", "2014-05-29", "2014-05-30",
    ]  # fmt: skip
    assert found["r.com_x"].dims == found["r.frame"].dims == ("r.rows",)
    assert found["r.com_x"].values.tolist() == [1.5, 2.5, 3.5]
    assert found["r.frame"].values.tolist() == [1, 2, 3]
    assert found["r.spot"].values.tolist() == ["a", "b", ""]
    if name == "TABLE_2":
        assert found["s.values"].values.tolist() == [1.5, 2.5, 3.5]
        assert found["s.rows"].values.tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL))
def test_arrays_of_every_kind(tmp_path, protocol):
    arrays = {
        "float": np.array([1.5, np.nan, np.inf]), "big": np.arange(3, dtype=">u2"), "yes": np.array([True, False]),
        "column_first": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "none": np.empty((0, 4)), "zero": np.array(7),
        "text": np.array(["a", "bcd"]), "byte": np.array([b"x", b"yz"]), "object": np.array(["p", "q"], dtype=object),
        "time": np.array(["2014-05-28T17:01:59"], "M8[s]"), "span": np.array([90], "m8[ms]"), "one": np.float32(0.5),
    }  # fmt: skip
    found = read_old_pickle(put(tmp_path / "a.p", pickle.dumps(arrays, protocol)))
    assert set(found.variables) == set(arrays)
    for name, expected in arrays.items():
        expected = np.asarray(expected)
        values = found[name].values
        assert values.shape == expected.shape
        if expected.dtype.kind in "SO":
            expected = expected.astype(str)
        np.testing.assert_array_equal(values, expected)
        if expected.dtype.kind in "fiub":
            assert values.dtype == expected.dtype.newbyteorder("=")


plain = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(width=64)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, min_size=1, max_size=3),
    max_leaves=6,
)


def flat(thing, keys=()):
    if isinstance(thing, dict):
        return {name: value for key, inner in thing.items() for name, value in flat(inner, (*keys, key)).items()}
    return {".".join(keys) or "value": thing}


@pytest.mark.thorough
@given(plain, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_what_python_pickles_is_what_is_read(tmp_path_factory, thing, protocol):
    path = put(tmp_path_factory.getbasetemp() / "plain.p", pickle.dumps(thing, protocol))
    expected = {name: value for name, value in flat(thing).items() if not (isinstance(value, str) and "\0" in value)}
    try:
        found = read_old_pickle(path)
    except DocumentError:
        assert expected != flat(thing)  # a text with a NUL that is no byte of Python 2
        return
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name].item(), value)


def test_ordered_dictionaries_and_lists(tmp_path):
    thing = {
        "od": collections.OrderedDict([("k", 1), ("l", [1, 2, 3])]),
        "mixed": [1, "a", {"b": 2.5}],
        "pairs": [(1, 2), (3, 4)],
    }
    found = read_old_pickle(put(tmp_path / "a.p", pickle.dumps(thing, 2)))
    assert found["od.l"].values.tolist() == [1, 2, 3]
    assert (found["mixed.0"].item(), found["mixed.1"].item(), found["mixed.2.b"].item()) == (1, "a", 2.5)
    assert found["pairs"].values.tolist() == [[1, 2], [3, 4]]
    path = put(tmp_path / "b.p", pickle.dumps([1, float("inf"), float("nan"), -2.5], 2))
    np.testing.assert_array_equal(read_old_pickle(path)["value"], [1, np.inf, np.nan, -2.5])


def test_what_is_none_is_counted(tmp_path):
    path = put(tmp_path / "a.p", pickle.dumps({"a": None, "b": {}, "c": 1}))
    with pytest.warns(XinsituWarning, match=r"a\.p: left out, as None or empty: 2 values"):
        assert set(read_old_pickle(path).variables) == {"c"}


# -- hostile ----------------------------------------------------------------------------------------------------------


class Runs:
    """What a hostile pickle does when it is loaded: it calls something."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(canary: str) -> dict[str, bytes]:
    command = f"touch {canary}"
    found = {
        f"{function.__module__}.{function.__name__} {protocol}": pickle.dumps({"x": Runs(function, *words)}, protocol)
        for function, words in (
            (os.system, [command]), (eval, [f"open({canary!r}, 'w')"]), (builtins.open, [canary, "w"]),
            (os.mkdir, [canary]), (builtins.__import__, ["antigravity"]),
        )
        for protocol in (0, 2, 4)
    }  # fmt: skip
    quoted = command.encode()
    found |= {
        "INST": b"(S'" + quoted + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + quoted + b"'\no.",
        "NEWOBJ": b"\x80\x02cos\nsystem\nU" + bytes([len(quoted)]) + quoted + b"\x85\x81.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(quoted)]) + quoted + b"\x85R.",
        "reconstructor": b"ccopy_reg\n_reconstructor\n(cos\nsystem\nS'" + quoted + b"'\nNtR.",
        "persistent": b"Pos.system\n.",
        "binary persistent": b"U\x09os.systemQ.",
        "extension": b"\x80\x02\x82\x01.",
        "module with a path": b"\x80\x04\x8c\x08builtins\x8c\x0dstr.__class__\x93.",
        "of pandas": b"cpandas.io.pickle\nload\n.",
        "a class of pandas by a false path": b"cpandas_evil\nDataFrame\n.",
    }
    return found


def test_nothing_is_called_or_imported(tmp_path):
    canary = tmp_path / "canary"
    codecs.lookup("raw_unicode_escape")  # of pickletools itself: Python imports a codec where it is first used
    for name, content in hostile(str(canary)).items():
        before = set(sys.modules)
        with pytest.raises(DocumentError, match=r"evil\.p: (asks for|does what is not followed)"):
            read_old_pickle(put(tmp_path / "evil.p", content))
        assert set(sys.modules) <= before, name
    assert not canary.exists()
    with pytest.raises(DocumentError, match=r"asks for .*system"):
        read_old_pickle(put(tmp_path / "evil.p", hostile(str(canary))["STACK_GLOBAL"]))
    pickle.loads(hostile(str(canary))["STACK_GLOBAL"])  # the canary sings where something is called
    assert canary.exists()


def laughs(levels, make):
    thing = make(None)
    for _ in range(levels):
        thing = make(thing)
    return pickle.dumps(thing, 2)


LIST_IN_ITSELF = b"]q\x00h\x00a."
DICT_IN_ITSELF = b"}q\x00U\x01ah\x00s."
BOMBS = {
    "lists of one list": laughs(15, lambda one: [one] * 1000),
    "dictionaries of one": laughs(
        18, lambda one: {str(number): one for number in range(30)} if one is not None else {}
    ),
    "a list in itself": LIST_IN_ITSELF,
    "a dictionary in itself": DICT_IN_ITSELF,
    "a long way down": b"(" * 200_000 + b"t" * 200_000 + b".",
    "lists a long way down": b"]" + b"q\x00](h\x00e" * 100_000 + b".",
    "claims 2**60 bytes": b"\x8e" + (2**60).to_bytes(8, "little") + b".",
    "claims a negative number of bytes": b"T\xff\xff\xff\xff.",
    "many digits": b"L" + b"9" * 100_000 + b"L\n.",
    "a huge number": b"\x8b" + (100_000).to_bytes(4, "little") + b"\x7f" * 100_000 + b".",
    "a tuple as a key": b"}(" + b")" + b"\x85" * 100_000 + b"K\x01u.",
    "nothing": b"",
    "no end": pickle.dumps({"a": 1}, 2)[:-1],
    "more than there is": b"0.",
    "a mark that is not there": b"t.",
    "what was never put aside": b"g7\n.",
}


@pytest.mark.thorough("a dictionary in itself")
@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.timeout(20)
def test_bombs_end_at_once_in_a_sentence(tmp_path, name):
    with pytest.raises(DocumentError, match=r"bomb\.p: "):
        read_old_pickle(put(tmp_path / "bomb.p", BOMBS[name]))


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((2**40, 2**40), "f8"), ((-1,), "f8"), ((3,), "f8"), ((2, 2), "V8"), ((4,), "f7"), ((1,), "i8, i8")],
)
def test_an_array_has_the_bytes_that_it_claims(tmp_path, shape, kind):
    sound = pickle.dumps(np.arange(2.0), 2)
    assert read_old_pickle(put(tmp_path / "a.p", sound))["value"].values.tolist() == [0, 1]
    content = sound.replace(b"K\x02\x85", pickle.dumps(shape, 2)[2:-1], 1)
    content = content.replace(b"X\x02\x00\x00\x00f8", b"X" + len(kind).to_bytes(4, "little") + kind.encode())
    assert content != sound
    assert [*pickletools.genops(content)][-1][0].name == "STOP"  # it is a program still
    with pytest.raises(DocumentError, match=r"a\.p: (has|holds) an array"):
        read_old_pickle(put(tmp_path / "a.p", content))


@pytest.mark.thorough
def test_one_array_many_times_is_not_copied_without_end(tmp_path):
    one = np.zeros(2**20)
    with pytest.raises(DocumentError, match="holds more than 1 GiB"):
        read_old_pickle(put(tmp_path / "a.p", pickle.dumps([{"a": one}] * 2000, 2)))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.p")
    with pytest.raises(OSError, match="pipe"):
        read_old_pickle(tmp_path / "a.p")


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = old(tmp_path, "ROIS_2")
    before = path.read_bytes()
    assert main(["convert", str(path)]) == 0
    assert "frames   2 x 3  int32" in capsys.readouterr().out
    with xr.open_dataset("ROIS_2.nc", engine="h5netcdf") as found:
        assert found["frames"].values.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert main(["convert", str(path)]) == 1
    assert "already exists" in capsys.readouterr().err
    assert main(["convert", str(path), "-o", str(path), "--force"]) == 1
    assert path.read_bytes() == before
    put(tmp_path / "evil.p", hostile(str(tmp_path / "canary"))["INST"])
    assert main(["convert", "evil.p"]) == 1
    assert capsys.readouterr().err.count("\n") == 2
    assert not (tmp_path / "evil.nc").exists()
    assert not (tmp_path / "canary").exists()
