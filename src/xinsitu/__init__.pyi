from .errors import CorrectionError as CorrectionError
from .errors import DocumentError as DocumentError
from .errors import FrameChanged as FrameChanged
from .errors import FrameError as FrameError
from .errors import LayoutError as LayoutError
from .errors import ResultExists as ResultExists
from .errors import RoiError as RoiError
from .errors import SchemaError as SchemaError
from .errors import StitchError as StitchError
from .errors import TimeError as TimeError
from .errors import XinsituError as XinsituError
from .errors import XinsituWarning as XinsituWarning
from .plots import plot as plot
from .plots import plot_changes as plot_changes
from .plots import plot_frames as plot_frames
from .plots import plot_kymograph as plot_kymograph
from .plots import plot_rois as plot_rois
from .plots import save_plot as save_plot
from .plots import waterfall as waterfall
from .values import AttenuationChange as AttenuationChange
from .values import Background as Background
from .values import Event as Event
from .values import Key as Key
from .values import Roi as Roi
from .values import RoiSet as RoiSet

__version__: str
