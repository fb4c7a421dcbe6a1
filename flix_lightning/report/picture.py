"""Pictures as files, whole or not at all."""

from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from flix_lightning.common.errors import unknown
from flix_lightning.common.files import write_whole

UNDATED = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}  # the same bytes every time


def save(figure: Figure, path: Path) -> None:
    """Write a figure and close it; a name without an ending gets `.png`.

    Raises:
        FlixError: an ending that stands for no kind of picture, or a place that cannot be written.
    """
    path = path if path.suffix else path.with_name(f"{path.name}.png")
    kind = path.suffix[1:].lower()
    try:
        if kind not in (known := figure.canvas.get_supported_filetypes()):
            raise unknown(f"picture: the ending of {str(path)!r}", kind, known)
        content = BytesIO()
        figure.savefig(content, format=kind, metadata=UNDATED.get(kind))
    finally:
        plt.close(figure)
    write_whole(path, content.getvalue())
