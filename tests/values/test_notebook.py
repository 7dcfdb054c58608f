"""Values in notebooks: tables that show what they hold, in which text from files does nothing."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi

POISON = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def shown(value: object) -> str:
    return value._repr_html_()


def text_of(value: object) -> str:
    return re.sub(r"<[^>]+>", " ", shown(value))


def test_rois_are_shown_with_boxes_and_colours():
    rois = xi.RoiSet(
        [
            xi.Roi("WZ", y=(61, 152), x=(213, 274), color="crimson", background="BG", measure="com"),
            xi.Roi("BG", y=(5, 9), x=(7, 11), role="background"),
        ],
        detector_shape=(195, 487),
    )
    assert "background:crimson" in shown(rois)
    assert shown(rois).count("<tr>") == 3
    assert "1 ROI " in text_of(xi.RoiSet([rois["BG"]]))
    for text in ("2 ROIs on 195 x 487 pixels", "61:152", "213:274", "BG", "com", "all", "background"):
        assert text in text_of(rois)


def test_a_correction_shows_its_steps_in_their_order():
    flat = xr.DataArray(np.ones((4, 5)), dims=("y", "x"), attrs={"source": "flat7"})
    background = xi.Background(y=(1, 3), x=(0, 2), mode="subtract")
    text = text_of(xi.Correction(median=3, threshold=5, flatfield=flat, background=background))
    places = [text.index(word) for word in ("outliers beyond 5", "flat7, 4 x 5 pixels", "subtract, y 1:3, x 0:2")]
    assert places == sorted(places)
    assert "every pixel" in text_of(xi.Correction(median=5))
    assert "none" in text_of(xi.Correction())


def test_a_change_shows_its_ends_and_its_factor():
    change = xi.AttenuationChange("time2:71", "2014-05-28T17:01:59+09:00", factor=8.25, factor_errors=0.5, note="Al in")
    for text in ("measurement time2", "frame 71", "2014-05-28T08:01:59Z", "8.2 ± 0.5", "attenuator", "Al in"):
        assert text in text_of(change)
    assert "from the end points" in text_of(xi.AttenuationChange("1", "3"))


def test_found_changes_are_a_table_with_the_reasons_of_the_others_below():
    change = xi.AttenuationChange("time2:71", "time3:0", factor=8.25, factor_errors=0.5, cause="exposure")
    ends = np.datetime64("2014-05-28T08:00:00", "ns"), np.datetime64("2014-05-28T08:00:01", "ns")
    rejected = xi.RejectedChange(*ends, None, None, 1.02, 0.01, 2.0, f"smaller than 3 % {POISON}")
    found = xi.FoundChanges([change, change], [rejected])
    assert shown(found).count("<tr>") == 3
    for text in (
        "2 changes of attenuation",
        "measurement time3, frame 0",
        "8.2 ± 0.5",
        "exposure",
        "smaller than 3 %",
    ):
        assert text in text_of(found)
    assert "<script" not in shown(found)
    assert "1 change of" in text_of(xi.FoundChanges([change]))


@pytest.mark.parametrize(
    "value",
    [
        xi.RoiSet([xi.Roi(POISON, y=(0, 2), x=(0, 2), color=POISON)]),
        xi.RoiSet([xi.Roi("WZ", y=(0, 2), x=(0, 2), color="red;background:url(http://x)")]),
        xi.AttenuationChange({"measurement": POISON, "frame": 1}, {"measurement": POISON, "frame": 2}, note=POISON),
        xi.Correction(flatfield=xr.DataArray(np.ones((2, 2)), dims=("y", "x"), attrs={"source": POISON})),
        xi.Correction(normalise=POISON),
    ],
)
def test_text_from_files_does_nothing(value):
    tags = set(re.findall(r"</?(\w+)", shown(value)))
    assert tags <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td", "span"}
    assert not re.search(r"style=[^>]*url\(", shown(value))
    assert not re.search(r"<[^>]*onerror", shown(value))
