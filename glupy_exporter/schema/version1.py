"""Layout version 1, that of the release before: where its tables are, by their names in version 2.

This module never changes. It is removed once segments of version 1 are no longer read.
"""

from __future__ import annotations

import ctypes

from glupy_exporter.schema import layout
from glupy_exporter.schema.layout import Span

VERSION = 1
HEADER_SIZE = 4096

_u32, _u64 = ctypes.c_uint32, ctypes.c_uint64


class Header(ctypes.Structure):
    """The first ``HEADER_SIZE`` bytes."""

    _fields_ = [
        ("magic", _u64),
        ("version", _u32),
        ("header_size", _u32),
        ("total_size", _u64),
        ("fop_count", _u32),
        ("lane_count", _u32),
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
        ("identity", ctypes.c_char * 1672),
        ("padding", ctypes.c_char * 168),
        ("heartbeat", _u64),
        ("enabled", _u64),
        ("files_tracked", _u64),
        ("files_evicted", _u64),
        ("files_untracked_fops", _u64),
        ("clients_tracked", _u64),
        ("clients_evicted", _u64),
        ("clients_untracked_fops", _u64),
        ("half_life", _u64),
        ("volume_bricks", _u64),
    ]


class Numbers(ctypes.Structure):
    """The end of the header, from ``heartbeat`` on."""

    _fields_ = [
        ("heartbeat", _u64),
        ("enabled", _u64),
        ("health", _u64 * 6),
        ("half_life", _u64),
        ("volume_bricks", _u64),
    ]


class ClientCounters(ctypes.Structure):
    """The counters of a client. Those of a file are as in version 2."""

    _fields_ = [
        ("fops", _u64 * 3),
        ("nanoseconds", _u64 * 3),
        ("bytes", _u64 * 2),
        ("errors", _u64),
        ("first_seen", _u64),
        ("last_seen", _u64),
        ("error_bound", _u64),
        ("connections", _u64),
        ("reserved", _u64 * 3),
    ]


_NUMBERS = Span(Header.heartbeat.offset, Numbers, ctypes.sizeof(Numbers), 1)
_HEALTH = {
    rows: Span(getattr(Header, f"{rows}_tracked").offset, layout.Health, 24, 1)
    for rows in ("files", "clients")
}


def spans(header: Header) -> dict[str, Span]:
    """The place of every table by its name in version 2, not checked against the file's size."""
    fops, lanes = header.fop_count, header.lane_count
    files, clients = header.file_slots, header.client_slots
    return {
        "numbers": _NUMBERS,
        "fop_names": Span(header.names_offset, layout.FopName, 32, fops),
        "cells": Span(header.cells_offset, layout.FopCell, 256, lanes * fops),
        "io": Span(header.io_offset, layout.IoCell, 320, lanes * 2),
        "errors": Span(header.errors_offset, layout.FopErrors, 1280, fops),
        "internal": Span(header.internal_offset, layout.Activity, 64, 14),
        "files_health": _HEALTH["files"],
        "files_tags": Span(header.file_tags_offset, _u64, 8, files),
        "files_seqs": Span(header.file_seqs_offset, _u32, 4, files),
        "files_counters": Span(header.file_counters_offset, layout.Counters, 128, files),
        "files_names": Span(header.file_names_offset, layout.FileName, 632, files),
        "clients_health": _HEALTH["clients"],
        "clients_tags": Span(header.client_tags_offset, _u64, 8, clients),
        "clients_seqs": Span(header.client_seqs_offset, _u32, 4, clients),
        "clients_counters": Span(header.client_counters_offset, ClientCounters, 128, clients),
        "clients_names": Span(header.client_names_offset, layout.ClientName, 72, clients),
    }
