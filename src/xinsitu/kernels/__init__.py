"""The arithmetic, on plain NumPy arrays of frames ``(frame, y, x)`` and profiles ``(frame, bin)``.

Nothing here knows xarray or dask. A pixel that says nothing is NaN in floating-point frames; in integer frames it is a
negative number (signed: -1 gap, -2 bad) or the highest number of its type (unsigned), as detectors write them.
"""

from .half_maximum import HalfMaximum as HalfMaximum
from .half_maximum import ambiguous as ambiguous
from .half_maximum import half_maximum as half_maximum
from .half_maximum import peaks as peaks
from .half_maximum import rivals as rivals
from .pixels import DARK as DARK
from .pixels import UNREAD as UNREAD
from .pixels import Bools as Bools
from .pixels import Doubles as Doubles
from .pixels import Floats as Floats
from .pixels import Frames as Frames
from .pixels import as_floats as as_floats
from .pixels import despike as despike
from .pixels import in_rows as in_rows
from .pixels import invalid_pixels as invalid_pixels
from .pixels import lost as lost
from .pixels import lowest_code as lowest_code
from .pixels import marked as marked
from .pixels import median2d as median2d
from .pixels import stands_out as stands_out
from .pixels import true_rate as true_rate
from .similarity import alike as alike
from .sums import EDGE_FRACTION as EDGE_FRACTION
from .sums import Indices as Indices
from .sums import bridged as bridged
from .sums import centre_of_mass as centre_of_mass
from .sums import centre_of_mass_variance as centre_of_mass_variance
from .sums import edge_base as edge_base
from .sums import edge_width as edge_width
from .sums import profiles as profiles
from .sums import propagated as propagated
from .sums import running_mean as running_mean
from .sums import shape_of as shape_of
from .sums import sum_in_lanes as sum_in_lanes
from .sums import total as total
from .sums import weighted_sums as weighted_sums
from .sums import without_running_mean as without_running_mean
from .width_noise import behind_median as behind_median
from .width_noise import correlated as correlated
