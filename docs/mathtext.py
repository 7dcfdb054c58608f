"""Formulas as pictures made by matplotlib, so that the built pages need nothing from the network."""

from __future__ import annotations

import base64
import functools
import io

from docutils import nodes
from matplotlib import mathtext
from matplotlib.font_manager import FontProperties

INLINE, BLOCK = 11.5, 13.5
"""Sizes in points."""


@functools.cache
def picture(formula: str, size: float) -> tuple[str, float]:
    """SVG of a formula as a data address, and how far it reaches below the line, in points."""
    buffer, font = io.BytesIO(), FontProperties(size=size, math_fontfamily="stix")
    depth = mathtext.math_to_image(f"${' '.join(formula.split())}$", buffer, prop=font, dpi=72, format="svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}", float(depth)


def visit_inline(writer, node: nodes.math) -> None:
    address, depth = picture(node.astext(), INLINE)
    alternative = writer.attval(node.astext())
    writer.body.append(
        f'<img class="math dark-light" src="{address}" alt="{alternative}" style="vertical-align: -{depth:.1f}pt">'
    )
    raise nodes.SkipNode


def visit_block(writer, node: nodes.math_block) -> None:
    parts = [part for part in node.astext().split(r"\\") if part.strip()]
    for part in parts:
        address, _ = picture(part.replace(r"\frac", r"\dfrac"), BLOCK)
        writer.body.append(f'<p><img class="math dark-light" src="{address}" alt="{writer.attval(part)}"></p>\n')
    raise nodes.SkipNode


def setup(app) -> dict[str, bool]:
    app.add_html_math_renderer("mathtext", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
