"""The layout of a segment: the one declaration that both the C core and the reader follow.

A segment is one file per brick. It starts with a :class:`Header`; every table's offset is in that
header, so a reader never computes where a table must be. All integers are in the machine's own
byte order (a segment never leaves its machine) and every ``c_uint64`` that counts is naturally
aligned, so that the writer's relaxed atomic adds and a reader's copies never tear one.

Tables, in the order in which they lie in the file:

========== ================================== =============================================
table      shape                              element
========== ================================== =============================================
names      ``[fop_count]``                    ``char[NAME_SIZE]``, NUL-terminated fop name
cells      ``[shard_count][fop_count]``       :class:`FopCell`
io         ``[shard_count][DIRECTIONS]``      :class:`IoCell`
errors     ``[fop_count][ERRNO_SLOTS]``       ``uint64``, index 0 is "any other errno"
internal   ``[ORIGINS]``                      :class:`InternalCounters`
files      four parallel ``[file_slots]``     tag ``uint64``, seq ``uint32``,
                                              :class:`FileCounters`, :class:`FileName`
clients    four parallel ``[client_slots]``   tag ``uint64``, seq ``uint32``,
                                              :class:`ClientCounters`, :class:`ClientName`
========== ================================== =============================================

A slot is in use when its tag is not 0. A file's tag is made of its gfid and is the same in all
segments; two files may have the same one, as clients may choose gfids. A slot's seq is a seqlock
over its name: odd while the writer changes it. The dense arrays let a reader take every counter of
a table in one small copy and then only the names it wants.
"""

from __future__ import annotations

import ctypes

MAGIC = 0x4745535950554C47
"""``b"GLUPYSEG"`` read as a little-endian integer."""

VERSION = 1
"""Changes whenever any size, offset or meaning below changes."""

DIRECTORY = "/run/gluster/glupy"
"""Where the translator puts segments and readers look for them, unless told otherwise."""

HEADER_SIZE = 4096
NAME_SIZE = 32
"""Bytes for one fop's name, terminating NUL included."""

LATENCY_BUCKETS = 28
"""Bucket ``i`` counts fops of at most ``2**i`` microseconds (and more than the bucket before);
the last one counts everything slower than ``2**26`` us, which is 67.1 s."""

SIZE_BUCKETS = 32
"""Bucket ``i`` counts I/Os of ``2**i`` to ``2**(i+1) - 1`` bytes, as ``gluster volume profile``
cuts them; the last one also takes everything larger."""

ERRNO_SLOTS = 160
"""Errnos from 1 to ``ERRNO_SLOTS - 1`` have a slot of their own; Linux's highest is 133."""

SHARDS_MAX = 16
WAYS = 8
"""Slots of a set in the file and client tables; the eight tags of a set fill one cache line."""

FILE_SLOTS_MIN = 8
FILE_SLOTS_DEFAULT = 4096
FILE_SLOTS_MAX = 1 << 16
CLIENT_SLOTS_MIN = 8
CLIENT_SLOTS_DEFAULT = 512
CLIENT_SLOTS_MAX = 1 << 16
"""As many as an exporter can read that has the memory which its unit gives it."""
FOPS_MAX = 256

HALF_LIFE_MIN = 1
HALF_LIFE_DEFAULT = 60
HALF_LIFE_MAX = 3600
"""Seconds; the option of that name."""

READ, WRITE, METADATA = 0, 1, 2
KINDS = ("read", "write", "metadata")
"""Index into every ``[KINDS]`` array: fops that return file data, fops that store it, the rest."""

DIRECTIONS = ("read", "write")

ORIGINS = (
    "other",
    "geo-replication",
    "hadoop",
    "rebalance",
    "no-root-squash",
    "quota",
    "self-heal",
    "heal-info",
    "bitrot",
    "scrub",
    "tier",
    "trash",
    "add-replica",
    "utime",
)
"""GlusterFS's own clients, at the index that is the negative of their process id
(``enum _gf_special_pid`` in ``common-utils.h``); 0 stands for ids that have no name here."""

NO_ROOT_SQUASH = 4
"""The one that is an application after all: a mount with ``no-root-squash``."""

PATH_SIZE = 600
"""Bytes for a path; a longer one is cut on a UTF-8 boundary and flagged."""

CLIENT_SIZE = 64

COUNTER_WORDS = 16
"""64-bit words in :class:`FileCounters` and in :class:`ClientCounters`."""

FILE_TYPES = ("", "file", "directory", "symlink", "block", "char", "fifo", "socket")
"""Names for :attr:`FileName.type`, GlusterFS's ``ia_type_t``; empty while it is not known."""

FILE_PATH_TRUNCATED = 1
"""Flag in :attr:`FileName.flags`: the path was longer than ``PATH_SIZE``."""

FILE_UNLINKED = 2
"""Another: the path is the last name that the file had."""

_u16, _u32, _u64, _i32 = ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32


class Header(ctypes.Structure):
    """The first ``HEADER_SIZE`` bytes. Strings are NUL-terminated UTF-8, times are nanoseconds."""

    _fields_ = [
        ("magic", _u64),
        ("version", _u32),
        ("header_size", _u32),
        ("total_size", _u64),
        ("fop_count", _u32),
        ("shard_count", _u32),
        ("file_slots", _u32),
        ("client_slots", _u32),
        ("names_offset", _u64),
        ("cells_offset", _u64),
        ("io_offset", _u64),
        ("errors_offset", _u64),
        ("internal_offset", _u64),
        ("file_tags_offset", _u64),
        ("file_seqs_offset", _u64),
        ("file_counters_offset", _u64),
        ("file_names_offset", _u64),
        ("client_tags_offset", _u64),
        ("client_seqs_offset", _u64),
        ("client_counters_offset", _u64),
        ("client_names_offset", _u64),
        ("pid", _u32),
        ("subvolume", _i32),  # index of the brick's replica or disperse set, -1 if unknown
        ("process_start", _u64),  # clock ticks after boot, field 22 of /proc/PID/stat
        ("created_realtime", _u64),
        ("created_monotonic", _u64),  # same instant: turns a slot's times into wall time
        ("boot_id", ctypes.c_char * 40),
        ("glusterfs_version", ctypes.c_char * 32),
        ("xlator_version", ctypes.c_char * 32),
        ("volume", ctypes.c_char * 256),
        ("host", ctypes.c_char * 256),
        ("brick", ctypes.c_char * 1024),
        ("padding", ctypes.c_char * 168),
        # From here on the writer changes values while readers look; own cache lines.
        ("heartbeat", _u64),  # CLOCK_MONOTONIC of the maintenance thread's last round
        ("enabled", _u64),  # 1 while counting is on
        ("files_tracked", _u64),
        ("files_evicted", _u64),
        ("files_untracked_fops", _u64),  # fops on files that found no slot
        ("clients_tracked", _u64),
        ("clients_evicted", _u64),
        ("clients_untracked_fops", _u64),
        ("half_life", _u64),  # seconds, of the scores that decide who stays in the tables
        ("volume_bricks", _u64),  # bricks of the volume, 0 if unknown
    ]


class FopCell(ctypes.Structure):
    """One fop in one shard. Fops in flight are ``started`` minus the sum of ``buckets``."""

    _fields_ = [
        ("started", _u64),
        ("errors", _u64),
        ("nanoseconds", _u64),
        ("reserved", _u64),
        ("buckets", _u64 * LATENCY_BUCKETS),
    ]


class IoCell(ctypes.Structure):
    """Successful reads or writes in one shard: bytes moved and I/Os by size."""

    _fields_ = [
        ("bytes", _u64),
        ("buckets", _u64 * SIZE_BUCKETS),
        ("padding", _u64 * 7),
    ]


class InternalCounters(ctypes.Structure):
    """What one kind of GlusterFS's own clients did; the same shapes as :class:`FileCounters`."""

    _fields_ = [
        ("fops", _u64 * len(KINDS)),
        ("nanoseconds", _u64 * len(KINDS)),
        ("bytes", _u64 * len(DIRECTIONS)),
    ]


class FileCounters(ctypes.Structure):
    """What was done to one file; arrays are indexed by kind or direction, times are monotonic."""

    _fields_ = [
        ("fops", _u64 * len(KINDS)),
        ("nanoseconds", _u64 * len(KINDS)),
        ("bytes", _u64 * len(DIRECTIONS)),
        ("errors", _u64),
        ("first_seen", _u64),
        ("last_seen", _u64),  # stored after all else: readers tell by it what has changed
        ("error_bound", _u64),  # fops that the file may have done at most before it had a slot
        ("top_client", _u64),  # tag of the client that does most on it, 0 for none
        ("top_client_lead", _u64),  # by how many fops, about
        ("reserved", _u64 * 2),
    ]


class FileName(ctypes.Structure):
    """Which file a slot stands for. ``path`` is bytes from the volume root, not NUL-terminated."""

    _fields_ = [
        ("gfid", ctypes.c_uint8 * 16),
        ("path_length", _u16),  # 0: not known yet
        ("flags", _u16),
        ("type", _u16),
        ("reserved", _u16 * 5),
        ("path", ctypes.c_uint8 * PATH_SIZE),
    ]


class ClientCounters(ctypes.Structure):
    """What one client host asked for; the same shapes as :class:`FileCounters`."""

    _fields_ = [
        ("fops", _u64 * len(KINDS)),
        ("nanoseconds", _u64 * len(KINDS)),
        ("bytes", _u64 * len(DIRECTIONS)),
        ("errors", _u64),
        ("first_seen", _u64),
        ("last_seen", _u64),  # likewise
        ("error_bound", _u64),
        ("connections", _u64),  # connections of this host that are open now
        ("reserved", _u64 * 3),
    ]


class ClientName(ctypes.Structure):
    """Which client a slot stands for: its address as the RPC layer names it, without the port.

    ``process`` is 0 where the whole host is meant or the process is not known.
    """

    _fields_ = [
        ("length", _u32),
        ("process", _u32),
        ("address", ctypes.c_uint8 * CLIENT_SIZE),
    ]


STRUCTURES: tuple[type[ctypes.Structure], ...] = (
    Header,
    FopCell,
    IoCell,
    InternalCounters,
    FileCounters,
    FileName,
    ClientCounters,
    ClientName,
)

assert ctypes.sizeof(Header) <= HEADER_SIZE
