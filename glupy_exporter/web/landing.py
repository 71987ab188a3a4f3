"""The page at ``/``: the bricks of this node, their state, and links."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from glupy_exporter import __version__
from glupy_exporter.config import Config
from glupy_exporter.node import nodestate
from glupy_exporter.node.bricks import open_bricks
from glupy_exporter.web import openapi, resources
from glupy_exporter.web.settings import HEALTHY_PATH, READY_PATH

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>glupy-exporter</title>
<style>
body {{ font: 16px/1.5 sans-serif; margin: 2em; color: #222; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3em .8em; border-bottom: 1px solid #ccc; text-align: left; }}
.up {{ color: #06702f; }} .dead, .bad {{ color: #b00020; font-weight: bold; }}
</style>
</head>
<body>
<h1>glupy-exporter</h1>
<p>Version {version}. Metrics of the GlusterFS bricks of this node.</p>
<p>{links}</p>
<h2>Bricks</h2>
{bricks}
</body>
</html>
"""
_COLUMNS = ("State", "Volume", "Brick", "Host", "PID", "GlusterFS", "Translator", "Segment")


def _row(state: str, cells: Iterable[object]) -> str:
    columns = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
    return f'<tr><td class="{state}">{state}</td>{columns}</tr>'


def render(config: Config) -> bytes:
    """The page as HTML in UTF-8, every value from outside escaped."""
    rows = []
    known = nodestate.read(config.state_file)
    with open_bricks(config.segment_dir, config.segment_expiry, known) as (bricks, problems):
        for brick in bricks:
            about = brick.about
            cells = (about.volume, about.path, about.host, about.pid, about.glusterfs_version)
            rows.append(
                _row(
                    "up" if about.alive else "dead",
                    (*cells, about.xlator_version, brick.segment.path.name),
                )
            )
    for problem in problems:
        text = escape(f"{problem.path}: {problem.message} ({problem.reason})")
        rows.append(f'<tr><td class="bad">bad</td><td colspan="7">{text}</td></tr>')
    heads = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    table = "<table>\n<tr>{}</tr>\n{}\n</table>".format(heads, "\n".join(rows))
    none = f"<p>No segment in {escape(str(config.segment_dir))}: no brick has the translator.</p>"
    apis = [resource.path for resource in resources.served(config)]
    apis += [openapi.PATH] if apis else []
    paths = (config.telemetry_path, *apis, HEALTHY_PATH, READY_PATH)
    page = _PAGE.format(
        version=escape(__version__),
        # Relative: a proxy may serve all of this below a path of its own.
        links=" ".join(f'<a href=".{escape(path)}">{escape(path)}</a>' for path in paths),
        bricks=table if rows else none,
    )
    return page.encode("utf-8", "backslashreplace")  # file names need not be UTF-8
