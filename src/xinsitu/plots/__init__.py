"""Pictures of frames and of time series: HoloViews objects to go on with, and files."""

from .change_report import plot_changes
from .comparison import plot_comparison
from .images import plot_frames, plot_kymograph, plot_rois, waterfall
from .interactive import plot, save_plot, write_html
from .two_time_map import plot_two_time

__all__ = [
    "plot",
    "plot_changes",
    "plot_comparison",
    "plot_frames",
    "plot_kymograph",
    "plot_rois",
    "plot_two_time",
    "save_plot",
    "waterfall",
    "write_html",
]
