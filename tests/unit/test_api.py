"""The tables as JSON."""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glupy_exporter import config
from glupy_exporter.web import api, openapi, resources
from glupy_exporter.web.resources import CLIENTS, FILES, IN_FLIGHT, RESOURCES, SLOW, Resource
from tests.support import segments

HOT, COLD, LOST = (uuid.UUID(int=(number + 1) << 64) for number in range(3))
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    first = segments.Segment(
        files={
            3: segments.File(
                b"/vm/hot.img", HOT, (7, 8, 9), (70, 80), (10**9, 2, 3), 4, top_client=1
            ),
            5: segments.File(b"/log/cold", COLD, (1, 0, 0), (500, 0), unlinked=True),
            9: segments.File(b"", LOST, (0, 0, 2), type="directory", top_client=99),
        },
        clients={
            0: segments.Client(b"192.0.2.1", (10, 0, 2), connections=3),
            7: segments.Client(b"2001:db8::1", (0, 1, 0), connections=0, last_seen=0),
        },
        recorded={
            "slow": [
                segments.Recorded("read", 10**9, HOT, client=1, fields={"uid": 1000}),
                segments.Recorded("write", 2 * 10**9, COLD, client=8, fields={"error": 28}),
            ]
        },
        flights={
            0: segments.Flight("read", gfid=HOT, client=1, started=2 * 10**9),
            4: segments.Flight("write", gfid=COLD, client=8, started=10**9),
        },
    )
    second = segments.Segment(
        volume="v1",
        brick="/bricks/b1",
        files={0: segments.File(b"/vm/hot.img", HOT, (30, 0, 0))},
        clients={0: segments.Client(b"192.0.2.1", (30, 0, 0))},
    )
    with first.live(tmp_path), second.live(tmp_path):
        dead = segments.Segment(volume="v2", files={0: segments.File(b"/dead", HOT, (99, 0, 0))})
        dead.write(tmp_path)
        yield tmp_path


def settings(directory: Path, *flags: str) -> config.Config:
    parser = argparse.ArgumentParser()
    config.add_flags(parser)
    return config.load(parser.parse_args([f"--segment.dir={directory}", *flags]))


def ask(directory: Path, resource: Resource, *flags: str, **arguments: str) -> list[dict[str, Any]]:
    """The rows of an answer without problems."""
    raw = {name: [value.encode()] for name, value in arguments.items()}
    answer = json.loads(
        b"".join(api.answer(resource, api.query(resource, raw), settings(directory, *flags)))
    )
    assert answer["problems"] == []
    if "limit" not in arguments:
        assert answer["matched"] == len(answer[resource.name])
    rows: list[dict[str, Any]] = answer[resource.name]
    return rows


def paths(directory: Path, *flags: str, **arguments: str) -> list[str]:
    return [row["path"] for row in ask(directory, FILES, *flags, **arguments)]


NAMELESS = f"<gfid:{LOST}>"


def test_a_file_has_everything(directory: Path) -> None:
    (row,) = ask(directory, FILES, volume="v0", path="/vm/*")
    assert row == {
        "volume": "v0",
        "brick": "/bricks/b0",
        "gfid": str(HOT),
        "path": "/vm/hot.img",
        "type": "file",
        "unlinked": False,
        "top_client": "192.0.2.1",
        "top_client_process": "",
        "fops": 24,
        "read_fops": 7,
        "write_fops": 8,
        "metadata_fops": 9,
        "read_bytes": 70,
        "write_bytes": 80,
        "seconds": 1.000000005,
        "read_seconds": 1.0,
        "write_seconds": 2e-9,
        "metadata_seconds": 3e-9,
        "errors": 0,
        "first_seen": 1_700_000_005.0,
        "last_seen": 1_700_000_006.0,
        "error_bound": 4,
    }


def test_a_client_has_everything(directory: Path) -> None:
    row = ask(directory, CLIENTS, volume="v0")[0]
    assert (row["client"], row["connections"], row["fops"]) == ("192.0.2.1", 3, 12)
    assert row.keys() == {column.name for column in CLIENTS.columns}


def test_busiest_first_and_no_dead_bricks(directory: Path) -> None:
    assert paths(directory) == ["/vm/hot.img", "/vm/hot.img", NAMELESS, "/log/cold (deleted)"]
    assert [row["fops"] for row in ask(directory, FILES)] == [30, 24, 2, 1]


def test_clients_that_went_away_are_there(directory: Path) -> None:
    rows = ask(directory, CLIENTS, sort="client", order="asc")
    assert [(row["client"], row["volume"]) for row in rows] == [
        ("192.0.2.1", "v0"),
        ("192.0.2.1", "v1"),
        ("2001:db8::1", "v0"),
    ]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_any_column_sorts(directory: Path, resource: Resource) -> None:
    for column in resource.columns:
        for order, reverse in (("asc", False), ("desc", True)):
            rows = ask(directory, resource, sort=column.name, order=order)
            found = [(row[column.name] is not None, row[column.name]) for row in rows]
            assert found == sorted(found, reverse=reverse), column.name


def test_limit_says_how_many_there_are(directory: Path) -> None:
    wanted = api.query(FILES, {"limit": [b"1"]})
    answer = json.loads(b"".join(api.answer(FILES, wanted, settings(directory))))
    assert (answer["matched"], len(answer["files"])) == (4, 1)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"volume": "v1"}, ["/vm/hot.img"]),
        ({"brick": "/bricks/b1"}, ["/vm/hot.img"]),
        ({"volume": "v1", "brick": "/bricks/b0"}, []),
        ({"volume": "v"}, []),
        ({"path": "*.img"}, ["/vm/hot.img"] * 2),
        ({"path": "hot.img"}, []),
        ({"path": "*(deleted)"}, ["/log/cold (deleted)"]),
        ({"type": "directory"}, [NAMELESS]),
        ({"type": "file", "path": "/l*"}, ["/log/cold (deleted)"]),
        ({"type": "socket"}, []),
    ],
)
def test_filters(directory: Path, arguments: dict[str, str], found: list[str]) -> None:
    assert paths(directory, **arguments) == found


def test_client_filter(directory: Path) -> None:
    rows = ask(directory, CLIENTS, client="2001:*")
    assert [row["client"] for row in rows] == ["2001:db8::1"]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 20])
def test_rows_that_come_in_batches_are_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, limit: int
) -> None:
    monkeypatch.setattr(resources, "BATCH", 4)
    counts = [5, 3, 8, 1, 9, 2, 7, 3, 6, 4]
    files = {
        slot: segments.File(b"/%d" % slot, uuid.UUID(int=slot + 1 << 64), (count, 0, 0))
        for slot, count in enumerate(counts)
    }
    with segments.Segment(files=files).live(tmp_path):
        rows = ask(tmp_path, FILES, order=order, limit=str(limit))
    expected = sorted(counts, reverse=order == "desc")[:limit]
    assert [row["fops"] for row in rows] == expected


def test_long_rows_are_fewer_than_was_asked_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "ROWS_MAX_BYTES", 1000)
    answer = json.loads(b"".join(api.answer(FILES, api.query(FILES, {}), settings(directory))))
    assert answer["matched"] == 4
    assert [row["fops"] for row in answer["files"]] == [30, 24][: len(answer["files"])] != []


def test_twins_beyond_what_a_brick_makes_are_rows_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "BATCH", 2)
    files = {slot: segments.File(b"/f", HOT, (1, 0, 0)) for slot in range(3)}
    with segments.Segment(files=files).live(tmp_path):
        assert [row["fops"] for row in ask(tmp_path, FILES)] == [2, 1]


def test_one_file_in_two_slots_is_one_row(tmp_path: Path) -> None:
    files = {
        0: segments.File(b"/f", HOT, (1, 0, 0), error_bound=1),
        1: segments.File(b"/f", HOT, (2, 0, 0), error_bound=2),
    }
    with segments.Segment(files=files).live(tmp_path):
        (row,) = ask(tmp_path, FILES)
    assert (row["fops"], row["error_bound"]) == (3, 3)


def test_privacy_holds_here_too(directory: Path) -> None:
    assert paths(directory, "--files.exclude=/vm/*") == [NAMELESS, "/log/cold (deleted)"]
    assert set(paths(directory, "--privacy.paths=none")) == {""}
    cut = paths(directory, "--privacy.path-depth=1", volume="v1")
    assert cut == ["/vm/..."]
    # A pattern must not find out what is not shown.
    for flag in ("--privacy.paths=none", "--privacy.paths=hash", "--privacy.path-depth=1"):
        assert paths(directory, flag, path="*hot.img") == []


def test_names_from_another_brick(tmp_path: Path) -> None:
    """They are judged as if the brick had known them, also when only that brick is asked for."""
    knows = segments.Segment(brick="/b0", files={1: segments.File(b"/vm/hot.img", HOT)})
    lacks = segments.Segment(
        brick="/b1",
        files={
            2: segments.File(b"", HOT, (2, 0, 0), type=""),
            3: segments.File(b"", LOST, (1, 0, 0), type=""),
        },
    )
    with knows.live(tmp_path), lacks.live(tmp_path):

        def found(*flags: str) -> list[tuple[str, str]]:
            wanted = api.query(FILES, {"brick": [b"/b1"]})
            answer = b"".join(api.answer(FILES, wanted, settings(tmp_path, *flags)))
            return [(row["path"], row["type"]) for row in json.loads(answer)["files"]]

        assert found() == [("/vm/hot.img", "file"), (NAMELESS, "")]
        assert found("--files.exclude=/vm/*") == [(NAMELESS, "")]
        assert found("--files.include=/vm/*") == [("/vm/hot.img", "file")]


def test_bad_segments_are_problems_and_the_rest_is_served(directory: Path) -> None:
    (directory / "bad.seg").write_bytes(b"\0" * 5000)
    answer = json.loads(b"".join(api.answer(FILES, api.query(FILES, {}), settings(directory))))
    assert answer["matched"] == 4
    (problem,) = answer["problems"]
    assert problem == {
        "segment": str(directory / "bad.seg"),
        "reason": "bad_magic",
        "message": "not a glupy segment",
    }


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.name)
def test_a_segment_that_goes_bad_costs_only_itself(resource: Resource, tmp_path: Path) -> None:
    bad = segments.Segment(volume="bad", names=("read", "no\nname"))
    with segments.Segment(volume="good").live(tmp_path), bad.live(tmp_path):
        wanted = api.query(resource, {})
        answer = json.loads(b"".join(api.answer(resource, wanted, settings(tmp_path))))
    reasons = [problem["reason"] for problem in answer["problems"]]
    assert reasons == (["bad_layout"] if resource.name in ("slow", "inflight") else [])


def test_missing_directory_is_a_problem_where_bricks_should_count(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    for started in True, False:
        segments.write_state(state, {"gv0": (["/b"], started, True)})
        config = settings(tmp_path / "none", "--state.file", str(state))
        answer = json.loads(b"".join(api.answer(CLIENTS, api.query(CLIENTS, {}), config)))
        assert answer["clients"] == []
        reasons = [problem["reason"] for problem in answer["problems"]]
        assert reasons == (["no_directory"] if started else [])


def test_hostile_names_stay_inside_their_strings(tmp_path: Path) -> None:
    evil = b'"}]}<script>\n\x00\xff\\ \xe2\x80\xa8'
    segment = segments.Segment(
        files={0: segments.File(evil, HOT, (1, 0, 0))},
        clients={0: segments.Client(evil, (1, 0, 0))},
    )
    with segment.live(tmp_path):
        raw = b"".join(api.answer(FILES, api.query(FILES, {}), settings(tmp_path)))
        (client,) = ask(tmp_path, CLIENTS)
    assert raw.isascii()
    shown = '"}]}<script>\\x0a\\x00\\xff\\\\ \u2028'
    assert [row["path"] for row in json.loads(raw)["files"]] == [shown]
    assert client["client"] == shown


BAD = {
    "unknown": (
        {"colour": [b"red"]},
        "'colour' is not a parameter; known are sort, order, limit, ",
    ),
    "of the other table": ({"client": [b"x"]}, "'client' is not a parameter"),
    "twice": ({"limit": [b"1", b"2"]}, "limit is given more than once"),
    "sort": ({"sort": [b"size"]}, "sort: 'size' is not one of volume, brick, gfid, "),
    "order": ({"order": [b"up"]}, "order: 'up' is not one of asc, desc"),
    "type": ({"type": [b"dir"]}, "type: 'dir' is not one of file, directory, "),
    "no type": ({"type": [b""]}, "type: '' is not one of "),
    "zero": ({"limit": [b"0"]}, "limit: '0' is not a whole number from 1 to 100000"),
    "too many": ({"limit": [b"100001"]}, "limit: '100001' is not "),
    "endless": ({"limit": [b"9" * 5000]}, "limit: '999"),
    "negative": ({"limit": [b"-1"]}, "limit: '-1' is not "),
    "not ASCII": ({"limit": ["\u0665".encode()]}, "limit: '\u0665' is not "),
    "empty": ({"volume": [b""]}, "volume: has to be of 1 to 400 characters"),
    "long": ({"path": [b"*" * 401]}, "path: has to be of 1 to 400 characters"),
    "not UTF-8": ({"path": [b"\xff"]}, "path: not UTF-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_parameters(name: str) -> None:
    arguments, message = BAD[name]
    with pytest.raises(ValueError) as caught:
        api.query(FILES, arguments)
    assert str(caught.value).startswith(message)


def test_openapi_describes_the_parameters_and_the_rows(directory: Path) -> None:
    document = json.loads(openapi.render(RESOURCES))
    assert document["openapi"] == "3.1.0"
    tables = ["files", "clients", "slow", "inflight"]
    assert list(document["paths"]) == [f"/api/v1/{name}" for name in tables]
    for resource in RESOURCES:
        operation = document["paths"][resource.path]["get"]
        for parameter in operation["parameters"]:
            schema = parameter["schema"]
            good = schema.get("default", schema.get("enum", ["x"])[0])
            api.query(resource, {parameter["name"]: [str(good).encode()]})
        row_schema = document["components"]["schemas"][resource.name]
        rows = ask(directory, resource)
        assert rows
        for row in rows:
            assert list(row) == row_schema["required"] == list(row_schema["properties"])
            for name, value in row.items():
                kinds = row_schema["properties"][name]["type"]
                assert any(
                    isinstance(value, TYPES[kind])
                    for kind in ([kinds] if isinstance(kinds, str) else kinds)
                ), name


def test_openapi_references_lead_somewhere() -> None:
    document = json.loads(openapi.render(RESOURCES))

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                if key == "$ref":
                    yield item
                else:
                    yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    found = set(references(document))
    assert found == {
        f"#/components/schemas/{name}"
        for name in (*(each.name for each in RESOURCES), "problem", "error")
    }
    assert {f"#/components/schemas/{name}" for name in document["components"]["schemas"]} == found


def test_slow_fops_come_latest_first(directory: Path) -> None:
    rows = ask(directory, SLOW)
    assert [(row["fop"], row["error"]) for row in rows] == [("write", "ENOSPC"), ("read", "")]
    assert (rows[1]["path"], rows[1]["client"], rows[1]["uid"]) == (
        "/vm/hot.img",
        "192.0.2.1",
        "1000",
    )
    assert [row["seconds"] for row in ask(directory, SLOW, sort="seconds", order="asc")] == [1, 2]


def test_fops_in_flight_come_oldest_first(directory: Path) -> None:
    rows = ask(directory, IN_FLIGHT)
    assert [row["fop"] for row in rows] == ["write", "read"]
    assert rows[0]["seconds"] > rows[1]["seconds"] > 0
    assert (rows[0]["holder"], rows[0]["held_since"], rows[0]["holder_connected"]) == (
        "",
        None,
        None,
    )


@pytest.mark.parametrize("resource", [SLOW, IN_FLIGHT], ids=lambda resource: resource.name)
def test_fops_can_be_chosen(directory: Path, resource: Resource) -> None:
    def fops(**arguments: str) -> list[str]:
        return [row["fop"] for row in ask(directory, resource, **arguments)]

    assert fops(fop="read") == fops(client="192.*") == fops(path="/vm/*") == ["read"]
    assert fops(fop="read", client="2001:*") == fops(volume="v1") == []


@pytest.mark.parametrize("resource", [SLOW, IN_FLIGHT], ids=lambda resource: resource.name)
def test_fops_of_hidden_files_are_not_shown(directory: Path, resource: Resource) -> None:
    flags = ("--files.exclude=/vm/*", "--privacy.users=none", "--privacy.paths=none")
    (row,) = ask(directory, resource, *flags)
    assert (row["gfid"], row["path"], row["uid"]) == (str(COLD), "", "")


def test_tables_of_fops_go_with_their_collector(directory: Path) -> None:
    assert resources.served(settings(directory)) == RESOURCES
    off = settings(directory, "--no-collector.recorder")
    assert resources.served(off) == (FILES, CLIENTS)
