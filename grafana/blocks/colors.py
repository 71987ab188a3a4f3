"""Colours that mean the same on every page, and that the colour-blind can tell apart.

The hues are those of Okabe and Ito, "Color Universal Design" (2008). Kinds of fops have a hue each,
and the fops of one kind are shades of it.
"""

from __future__ import annotations

BLUE, SKY, GREEN, YELLOW = "#0072B2", "#56B4E9", "#009E73", "#F0E442"
ORANGE, VERMILLION, PURPLE, GREY = "#E69F00", "#D55E00", "#CC79A7", "#8E8E8E"

GOOD, ODD, BAD = GREEN, ORANGE, VERMILLION
UNKNOWN = GREY

_KINDS = {
    BLUE: "read seek rchecksum",
    VERMILLION: "write truncate ftruncate fallocate discard zerofill put copy_file_range",
    YELLOW: "fsync flush fsyncdir",
    SKY: "lookup stat fstat access statfs readlink",
    GREEN: "readdirp opendir readdir",
    PURPLE: "create open unlink rename mkdir rmdir mknod link symlink",
    ORANGE: "setattr fsetattr getxattr fgetxattr setxattr fsetxattr removexattr fremovexattr"
    " xattrop fxattrop",
    GREY: "finodelk inodelk entrylk fentrylk lk lease",
}


def _shade(color: str, place: int, of: int) -> str:
    """The colour of a fop: the hue itself for the first, then shades from darker to lighter."""
    if place == 0:
        return color
    part = 0.6 + 1.0 * (place - 1) / max(of - 2, 1)  # of the hue's lightness; white is 2
    channels = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    mixed = (c * part if part < 1 else c + (255 - c) * (part - 1) for c in channels)
    return "#" + "".join(f"{round(channel):02X}" for channel in mixed)


FOPS = {
    fop: _shade(color, place, len(fops.split()))
    for color, fops in _KINDS.items()
    for place, fop in enumerate(fops.split())
}
FOPS["other"] = "#BDBDBD"
"""The colour of each fop; `other` is the sum of those that are not shown."""

WORK = {"read": BLUE, "write": VERMILLION, "metadata": SKY}
"""The colour of each kind of a file's or a client's fops."""
