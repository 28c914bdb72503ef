"""Rows of rowstream as Python values: typed, complete or an error.

The generated messages are `rowstream.v1`; this is the little that a program wants on top of them.
"""

import datetime
import decimal
import uuid
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from rowstream.v1 import query_service_pb2, query_service_pb2_grpc, statement_pb2

DOMAIN = "rowstream"


class QueryFailed(Exception):
    """A call that ended with an error: gRPC's code, and what the server says about it."""

    def __init__(self, error):
        super().__init__(f"{error.details()} ({error.code().name})")
        self.code = error.code()
        self.reason, self.metadata, self.retry_seconds = None, {}, None
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(retry):
                self.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()


@dataclass(frozen=True)
class Query:
    """A named query with its parameters. Every value may be given as text, as PostgreSQL reads it."""

    name: str
    parameters: dict

    def statement(self):
        named = {name: to_value(value) for name, value in self.parameters.items()}
        return statement_pb2.Statement(query=self.name, named_parameters=named)


class Client:
    def __init__(self, address):
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 256 << 20)])
        self._stub = query_service_pb2_grpc.QueryServiceStub(self._channel)

    def rows(self, query, deadline):
        """Yields one dict a row. Leaving the loop early cancels the query, in PostgreSQL too; the end of
        the loop without an exception means that every row has arrived."""
        request = query_service_pb2.StreamQueryRequest(statement=query.statement())
        call = self._stub.StreamQuery(request, timeout=deadline)
        columns, count, complete = [], 0, False
        try:
            for message in call:
                match message.WhichOneof("event"):
                    case "header":
                        columns = list(message.header.columns)
                    case "batch":
                        for row in message.batch.rows.rows:
                            count += 1
                            yield {c.name: from_value(v, c.type_name) for c, v in zip(columns, row.values)}
                    case "summary":
                        complete = message.summary.row_count == count
        except grpc.RpcError as error:
            raise QueryFailed(error) from None
        finally:
            call.cancel()
        if not complete:
            raise EOFError(f"the stream was cut off after {count} rows")

    def cancel(self, query_id, timeout=10):
        """Cancels a call by its id; answers whether it was running."""
        return self._stub.CancelQuery(query_service_pb2.CancelQueryRequest(query_id=query_id), timeout=timeout).running

    def close(self):
        self._channel.close()


def to_value(value):
    """A Python value as a parameter. What has no kind of its own goes as text."""
    match value:
        case None:
            return statement_pb2.Value()
        case bool():
            return statement_pb2.Value(bool=value)
        case int() if -(2**63) <= value < 2**63:
            return statement_pb2.Value(int64=value)
        case int() | decimal.Decimal():
            return statement_pb2.Value(numeric=str(value))
        case float():
            return statement_pb2.Value(double=value)
        case bytes():
            return statement_pb2.Value(bytes=value)
        case list() | tuple():
            return statement_pb2.Value(list=statement_pb2.ListValue(values=[to_value(item) for item in value]))
        case _:
            return statement_pb2.Value(text=str(value))


def date(text):
    """A date, or its text where Python has none: infinity, years before 1 or after 9999."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return text


# Types that travel as text and have a Python type of their own.
FROM_TEXT = {"date": date, "uuid": uuid.UUID}


def from_value(value, type_name):
    """A value as the Python type that holds it without loss; NULL is None."""
    match value.WhichOneof("kind"):
        case None:
            return None
        case "numeric":
            return decimal.Decimal(value.numeric)
        case "list":
            return [from_value(item, type_name.removesuffix("[]")) for item in value.list.values]
        case "text":
            return FROM_TEXT.get(type_name, str)(value.text)
        case kind:
            return getattr(value, kind)
