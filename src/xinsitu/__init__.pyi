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
from .values import AttenuationChange as AttenuationChange
from .values import Background as Background
from .values import Event as Event
from .values import Key as Key
from .values import Roi as Roi
from .values import RoiSet as RoiSet

__version__: str
