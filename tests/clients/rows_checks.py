"""Checks examples/service-python/rows.py against a server: rows_checks.py ADDRESS. Silent if all is well."""

import datetime
import decimal
import sys
import uuid

import grpc

from rows import Client, Query, QueryFailed, from_value, to_value


def typed(client):
    (row,) = client.rows(Query("values", {}), 60)
    del row["slept"]
    expected = {
        "i": 1,
        "double": 1.5,
        "numeric": decimal.Decimal("0.10"),
        "bool": True,
        "text": "ä",
        "bytes": b"\x00\xff",
        "null": None,
        "list": [decimal.Decimal("1.0"), None],
        "date": datetime.date(2024, 2, 29),
        "never": "infinity",
        "uuid": uuid.UUID(int=1),
    }
    assert row == expected, row
    assert str(row["numeric"]) == "0.10"


def sent_and_back(_):
    for value in (None, True, -(2**63), 2**63, 1.5, b"\x00", "text", decimal.Decimal("1.10"), [1, None]):
        back = from_value(to_value(value), "")
        assert back == value and (back is None or back is True or not isinstance(back, bool)), (value, back)


def left_early(client):
    rows = client.rows(Query("values", {"count": 10_000_000}), 60)
    assert next(rows)["i"] == 1
    rows.close()
    # Another call is served: the first one does not hold the connection's window.
    assert len(list(client.rows(Query("values", {"count": 3}), 60))) == 3


def too_slow(client):
    try:
        list(client.rows(Query("values", {"count": 1, "wait": 60.0}), 1))
    except QueryFailed as failure:
        assert failure.code == grpc.StatusCode.DEADLINE_EXCEEDED, failure
    else:
        raise AssertionError("the deadline had no effect")


def refused(client):
    try:
        list(client.rows(Query("values", {"unknown": 1}), 60))
    except QueryFailed as failure:
        assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and failure.reason, (failure, failure.reason)
        assert failure.metadata["query_id"], failure.metadata
    else:
        raise AssertionError("an unknown parameter was taken")


if __name__ == "__main__":
    client = Client(sys.argv[1])
    for check in (typed, sent_and_back, left_early, too_slow, refused):
        check(client)
    client.close()
