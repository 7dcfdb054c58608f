"""How a result is made, as a frozen value: it can be saved inside the result, compared and run again.

A recipe is one of

* :class:`Parse`: the corrected frames of a measurement;
* :class:`Measure`: the ROI time series of a measurement;
* :class:`Fit`: peaks fitted to the profiles of its ROIs;
* :class:`Radial`: profiles of a measurement along q, scattering angle or azimuth;
* :class:`Stored`: a result of unknown origin, taken as it is;
* :class:`Stitch`: several of these joined on one time axis, corrected for changes of attenuation;
* :class:`Append`: measurements appended to such a sample.

Each has ``produce()``, which returns the Dataset, and ``to_dict(base)``, where paths are relative to the folder
``base`` that the document lies in; :func:`recipe_from_dict` reads it back.
"""

from .fit_step import Fit
from .joins import ATTENUATION, Append, Recipe, Stitch, Stored, recipe_from_dict
from .radial_step import Radial
from .steps import FRAMES, Calibrating, Correcting, Measure, Parse, Reading

__all__ = [
    "ATTENUATION",
    "FRAMES",
    "Append",
    "Calibrating",
    "Correcting",
    "Fit",
    "Measure",
    "Parse",
    "Radial",
    "Reading",
    "Recipe",
    "Stitch",
    "Stored",
    "recipe_from_dict",
]
