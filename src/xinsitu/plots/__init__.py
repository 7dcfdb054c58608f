"""Pictures of frames and of time series: HoloViews objects to go on with, and files."""

from .change_report import plot_changes
from .comparison import plot_comparison
from .images import plot_frames, plot_kymograph, plot_rois, waterfall
from .interactive import plot, save_plot, write_html

__all__ = [
    "plot",
    "plot_changes",
    "plot_comparison",
    "plot_frames",
    "plot_kymograph",
    "plot_rois",
    "save_plot",
    "waterfall",
    "write_html",
]
