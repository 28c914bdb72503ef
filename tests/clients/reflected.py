"""A gRPC client that knows nothing but an address: services, messages and methods all come from reflection."""

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

VERSIONS = ("v1", "v1alpha")


class Reflection(ProtoReflectionDescriptorDatabase):
    """Reflection of either version. Their messages are the same; only the service's name differs."""

    def __init__(self, channel, version):
        super().__init__(channel)
        self._stub = _Stub(channel, version)


class _Stub:
    def __init__(self, channel, version):
        self.ServerReflectionInfo = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )


class Service:
    """A service whose methods are attributes: `Service(...).Method({"field": value}, timeout=1)`."""

    def __init__(self, channel, name, version="v1"):
        pool = descriptor_pool.DescriptorPool(Reflection(channel, version))
        for method in pool.FindServiceByName(name).methods:
            setattr(self, method.name, _method(channel, name, method))


def _method(channel, service, method):
    request_type = message_factory.GetMessageClass(method.input_type)
    make = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = make(
        f"/{service}/{method.name}",
        request_serializer=request_type.SerializeToString,
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    return lambda request, **options: call(request_type(**request), **options)


def wait_until_reachable(channel):
    grpc.channel_ready_future(channel).result(timeout=60)
