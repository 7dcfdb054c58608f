"""Shapes of peaks, with the derivatives that a fit needs: height 1 at the centre, width 1 at half height."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import Doubles

LN2 = np.log(2.0)
OF_LORENTZ, OF_SQUARE = 0.5346, 0.2166
"""``fwhm = 0.5346 f_L + sqrt(0.2166 f_L^2 + f_G^2)`` to 0.02 %: Olivero & Longbothum, JQSRT 17, 233 (1977)."""

Model = Callable[[Doubles], tuple[Doubles, Doubles]]
"""Of parameters ``(row, k)``: values ``(row, point)`` and derivatives ``(row, k, point)``."""

PARAMETERS: dict[str, tuple[str, ...]] = {
    "gaussian": ("height", "centre", "fwhm", "level", "slope"),
    "pixel_gaussian": ("height", "centre", "fwhm", "level", "slope"),
    "lorentzian": ("height", "centre", "fwhm", "level", "slope"),
    "pseudo_voigt": ("height", "centre", "fwhm", "level", "slope", "fraction"),
    "voigt": ("height", "centre", "fwhm", "level", "slope", "fraction"),
}
"""What is fitted: the peak's height above the line, its centre and full width at half maximum, the level of the line in
the middle and its slope; and what is Lorentzian: of a pseudo-Voigt the part of the height, of a Voigt that of the
width, ``f_L / fwhm``."""
SPOT = ("height", "centre_y", "centre_x", "fwhm_y", "fwhm_x", "tilt", "level")
"""What is fitted to the pixels of a spot."""


def gaussian(u: Doubles) -> tuple[Doubles, Doubles]:
    """``exp(-4 ln 2 u^2)`` and its derivative; ``u`` is the distance over the FWHM.

    Examples
    --------
    >>> float(gaussian(np.array([0.5]))[0][0])
    0.5
    """
    value = np.exp(-4 * LN2 * u**2)
    return value, -8 * LN2 * u * value


def lorentzian(u: Doubles) -> tuple[Doubles, Doubles]:
    """``1 / (1 + 4 u^2)`` and its derivative; ``u`` is the distance over the FWHM.

    Examples
    --------
    >>> float(lorentzian(np.array([0.5]))[0][0])
    0.5
    """
    value = 1 / (1 + 4 * u**2)
    return value, -8 * u * value**2


def voigt(u: Doubles, fraction: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Voigt profile and its derivatives by ``u`` and by the Lorentzian part of the width; NaN beyond a Lorentzian.

    ``Re w(z) / Re w(z_0)`` with ``z = (u + i f_L / 2) / (sigma sqrt 2)``, ``w`` the Faddeeva function; its width is 1
    to 0.02 %, as the width of a Voigt profile from those of its parts is.

    Examples
    --------
    >>> [round(float(part), 3) for part in voigt(np.array([0.5]), np.array([0.4]))[0]]
    [0.5]
    """
    import scipy.special

    sigma, shrinks = _gaussian_part(fraction)
    scale = 1 / (np.sqrt(2) * sigma)
    z, top = (u + 0.5j * fraction) * scale, 0.5 * fraction * scale
    w, w_top = scipy.special.wofz(z), scipy.special.erfcx(top)
    slope = -2 * z * w + 2j / np.sqrt(np.pi)
    value = w.real / w_top
    by_fraction = (slope * (0.5j * scale - z * shrinks)).real / w_top
    return value, slope.real * scale / w_top, by_fraction - value * _top_slope(fraction) / w_top


def _gaussian_part(fraction: Doubles) -> tuple[Doubles, Doubles]:
    """Sigma of the Gaussian part of a Voigt profile of width 1, and its logarithmic derivative."""
    square = (1 - OF_LORENTZ * fraction) ** 2 - OF_SQUARE * fraction**2
    by_fraction = -OF_LORENTZ * (1 - OF_LORENTZ * fraction) - OF_SQUARE * fraction
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(square / (8 * LN2)), by_fraction / square


def _top_slope(fraction: Doubles) -> Doubles:
    """Return the derivative of ``Re w(z_0)`` by the Lorentzian part of the width."""
    import scipy.special

    sigma, shrinks = _gaussian_part(fraction)
    top = 0.5 * fraction / (np.sqrt(2) * sigma)
    bent = 2 * top * scipy.special.erfcx(top) - 2 / np.sqrt(np.pi)
    return np.asarray(bent * (0.5 / (np.sqrt(2) * sigma) - top * shrinks))


def gaussian_width(fraction: Doubles) -> tuple[Doubles, Doubles]:
    """Width of the Gaussian part of a Voigt profile of width 1, and its derivative.

    Examples
    --------
    >>> [float(part) for part in gaussian_width(np.array(0.0))]
    [1.0, -0.5346]
    """
    sigma, shrinks = _gaussian_part(fraction)
    width = np.sqrt(8 * LN2) * sigma
    return width, width * shrinks


def area_of(shape: str, fraction: Doubles) -> tuple[Doubles, Doubles]:
    """Area of a peak of height 1 and width 1, and its derivative by ``fraction``.

    Examples
    --------
    >>> [round(float(area_of(shape, np.array(0.0))[0]), 4) for shape in ("gaussian", "lorentzian", "voigt")]
    [1.0645, 1.5708, 1.0645]
    """
    import scipy.special

    round_, wide = 0.5 * np.sqrt(np.pi / LN2), 0.5 * np.pi
    if shape == "pseudo_voigt":
        return round_ + fraction * (wide - round_), np.full_like(fraction, wide - round_)
    if shape == "voigt":
        sigma, shrinks = _gaussian_part(fraction)
        w_top = scipy.special.erfcx(0.5 * fraction / (np.sqrt(2) * sigma))
        area = np.sqrt(2 * np.pi) * sigma / w_top
        return area, area * (shrinks - _top_slope(fraction) / w_top)
    return np.full_like(fraction, wide if shape == "lorentzian" else round_), np.zeros_like(fraction)


def gaussian_in_pixels(away: Doubles, width: Doubles, half: float) -> tuple[Doubles, Doubles, Doubles]:
    """Mean of a Gaussian over pixels from ``away - half`` to ``away + half``, and its derivatives by both."""
    import scipy.special

    scale = 2 * np.sqrt(LN2) / width
    left, right = scale * (away - half), scale * (away + half)
    low, high = np.exp(-(left**2)), np.exp(-(right**2))
    value = np.sqrt(np.pi) / 2 * (scipy.special.erf(right) - scipy.special.erf(left)) / scale
    by_width = (value - (right * high - left * low) / scale) / width
    return value / (2 * half), (high - low) / (2 * half), by_width / (2 * half)


def peak_on_line(x: Doubles, shape: str) -> Model:
    """Peak on a straight line: ``height * shape((x - centre) / fwhm) + level + slope * (x - middle)``.

    Parameters are those of :data:`PARAMETERS`. A ``pseudo_voigt`` is ``fraction * lorentzian + (1 - fraction) *
    gaussian`` of one FWHM; ``pixel_gaussian`` is the mean of a Gaussian over each bin.
    """
    line = x - 0.5 * (x[0] + x[-1])

    def model(p: Doubles) -> tuple[Doubles, Doubles]:
        height, centre, width = p[:, 0:1], p[:, 1:2], p[:, 2:3]
        slopes = np.empty((len(p), p.shape[1], len(x)))
        if shape == "pixel_gaussian":
            value, by_centre, by_width = gaussian_in_pixels(x - centre, width, 0.5 * abs(x[1] - x[0]))
            slopes[:, 1], slopes[:, 2] = -height * by_centre, height * by_width
        else:
            u = (x - centre) / width
            value, by_u, by_fraction = _shape(shape, u, p[:, 5:6])
            slopes[:, 1] = -height / width * by_u
            slopes[:, 2] = slopes[:, 1] * u
            if by_fraction is not None:
                slopes[:, 5] = height * by_fraction
        slopes[:, 0], slopes[:, 3], slopes[:, 4] = value, 1.0, line
        return height * value + p[:, 3:4] + p[:, 4:5] * line, slopes

    return model


def _shape(shape: str, u: Doubles, fraction: Doubles) -> tuple[Doubles, Doubles, Doubles | None]:
    """Value and derivatives of a shape; the second one is None where it has no Lorentzian part to vary."""
    if shape == "voigt":
        return voigt(u, fraction)
    if shape == "pseudo_voigt":
        (round_, round_slope), (wide, wide_slope) = gaussian(u), lorentzian(u)
        more = wide - round_
        return round_ + fraction * more, round_slope + fraction * (wide_slope - round_slope), more
    return (*(gaussian(u) if shape == "gaussian" else lorentzian(u)), None)


def gaussian_2d(y: Doubles, x: Doubles) -> Model:
    """Tilted Gaussian on a constant, parameters as in :data:`SPOT`.

    ``height * exp(-4 ln 2 (u^2 - 2 tilt u v + v^2) / (1 - tilt^2)) + level`` with ``u = (y - centre_y) / fwhm_y`` and
    ``v`` likewise in x: ``fwhm_y`` and ``fwhm_x`` are those of the projections, ``tilt`` is their correlation.
    """

    def model(p: Doubles) -> tuple[Doubles, Doubles]:
        height, centre_y, centre_x, wide_y, wide_x, tilt, level = (p[:, k : k + 1] for k in range(7))
        u, v, rest = (y - centre_y) / wide_y, (x - centre_x) / wide_x, 1 - tilt**2
        cross, form = u * v, (u**2 - 2 * tilt * u * v + v**2) / rest
        slopes = np.empty((len(p), len(SPOT), len(y)))
        slopes[:, 0] = np.exp(-4 * LN2 * form)
        value = height * slopes[:, 0]
        pull = 8 * LN2 / rest * value
        slopes[:, 1], slopes[:, 2] = pull * (u - tilt * v) / wide_y, pull * (v - tilt * u) / wide_x
        slopes[:, 3], slopes[:, 4] = slopes[:, 1] * u, slopes[:, 2] * v
        slopes[:, 5], slopes[:, 6] = pull * (cross - tilt * form), 1.0
        return value + level, slopes

    return model
