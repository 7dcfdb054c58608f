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
    "split_gaussian": ("height", "centre", "fwhm", "level", "slope", "asymmetry"),
    "split_pseudo_voigt": ("height", "centre", "fwhm", "level", "slope", "fraction", "asymmetry"),
}
"""What is fitted: the peak's height above the line, its centre and full width at half maximum, the level of the line in
the middle and its slope; what is Lorentzian: of a pseudo-Voigt the part of the height, of a Voigt that of the width,
``f_L / fwhm``; and the asymmetry of a split shape, the difference of its half widths over their sum."""
OF_A_PEAK = ("height", "centre", "fwhm")
"""What each of several peaks in a profile has for itself; they share the rest."""
SPOT = ("height", "centre_y", "centre_x", "fwhm_y", "fwhm_x", "tilt", "level")
"""What is fitted to the pixels of a spot."""


def parameters(shape: str, peaks: int = 1) -> tuple[str, ...]:
    """Names of what is fitted; of several peaks each with the number of its peak.

    Examples
    --------
    >>> parameters("gaussian", 2)
    ('height_0', 'centre_0', 'fwhm_0', 'height_1', 'centre_1', 'fwhm_1', 'level', 'slope')
    """
    names = PARAMETERS[shape]
    if peaks == 1:
        return names
    return (*(f"{name}_{peak}" for peak in range(peaks) for name in OF_A_PEAK), *names[len(OF_A_PEAK) :])


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
    if shape.endswith("pseudo_voigt"):  # a split one has the area of its halves
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


def peaks_on_line(x: Doubles, shape: str, peaks: int = 1) -> Model:
    """Peaks on a straight line: sum of ``height * shape((x - centre) / fwhm)``, and ``level + slope * (x - middle)``.

    Parameters are those of :func:`parameters`. A ``pseudo_voigt`` is ``fraction * lorentzian + (1 - fraction) *
    gaussian`` of one FWHM; ``pixel_gaussian`` is the mean of a Gaussian over each bin.
    """
    line, rest = x - 0.5 * (x[0] + x[-1]), peaks * len(OF_A_PEAK)

    def model(p: Doubles) -> tuple[Doubles, Doubles]:
        slopes = np.zeros((len(p), p.shape[1], len(x)))
        slopes[:, rest], slopes[:, rest + 1] = 1.0, line
        total, shared = p[:, rest : rest + 1] + p[:, rest + 1 : rest + 2] * line, p[:, rest + 2 :]
        for first in range(0, rest, len(OF_A_PEAK)):
            height, centre, width = (p[:, k : k + 1] for k in range(first, first + len(OF_A_PEAK)))
            value, by_centre, by_width, by_shared = _peak(shape, x, centre, width, shared)
            slopes[:, first], slopes[:, first + 1] = value, height * by_centre
            slopes[:, first + 2] = height * by_width
            for number, change in enumerate(by_shared, rest + 2):
                slopes[:, number] += height * change
            total = total + height * value
        return total, slopes

    return model


def _peak(
    shape: str, x: Doubles, centre: Doubles, width: Doubles, shared: Doubles
) -> tuple[Doubles, Doubles, Doubles, tuple[Doubles, ...]]:
    """Peak of height 1, its derivatives by centre and width, and those by what else the shape depends on."""
    if shape == "pixel_gaussian":
        value, by_centre, by_width = gaussian_in_pixels(x - centre, width, 0.5 * abs(x[1] - x[0]))
        return value, -by_centre, by_width, ()
    u = (x - centre) / width
    if shape.startswith("split_"):
        value, by_u, changes = split(shape.removeprefix("split_"), u, shared[:, :-1], shared[:, -1:])
    else:
        value, by_u, changes = _shape(shape, u, shared)
    by_centre = -by_u / width
    return value, by_centre, by_centre * u, changes


def split(shape: str, u: Doubles, shared: Doubles, asymmetry: Doubles) -> tuple[Doubles, Doubles, tuple[Doubles, ...]]:
    """Shape whose left half has the width ``1 - asymmetry``, the right one ``1 + asymmetry``.

    The full width at half height stays 1, the area that of the shape: Toraya, J. Appl. Cryst. 23, 485 (1990),
    doi:10.1107/S002188989000704X, with one fraction for both halves. Returned are value, derivative by ``u``, and those
    by what the shape shares and by the asymmetry.

    Examples
    --------
    >>> split("gaussian", np.array([[-0.4, 0.6]]), np.empty((1, 0)), np.array([[0.2]]))[0].round(12).tolist()
    [[0.5, 0.5]]
    """
    side = np.where(u < 0, -1.0, 1.0)
    wide = 1 + side * asymmetry
    value, by_v, changes = _shape(shape, u / wide, shared)
    by_u = by_v / wide
    return value, by_u, (*changes, -by_u * u / wide * side)


def _shape(shape: str, u: Doubles, fraction: Doubles) -> tuple[Doubles, Doubles, tuple[Doubles, ...]]:
    """Value of a shape, its derivative by ``u``, and that by its Lorentzian part if it has one to vary."""
    if shape == "voigt":
        value, by_u, by_fraction = voigt(u, fraction)
        return value, by_u, (by_fraction,)
    if shape == "pseudo_voigt":
        (round_, round_slope), (wide, wide_slope) = gaussian(u), lorentzian(u)
        more = wide - round_
        return round_ + fraction * more, round_slope + fraction * (wide_slope - round_slope), (more,)
    return (*(gaussian(u) if shape == "gaussian" else lorentzian(u)), ())


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
