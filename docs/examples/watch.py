#!/usr/bin/env python3
"""Reads gander over gRPC: the servers, and then every change, one line each.

Needs grpcio and protobuf (Debian: python3-grpcio python3-protobuf) and no generated code: the hub
describes its own messages (reflection).

    curl -H "Authorization: Bearer $TOKEN" https://HUB/api/agents/authority | jq -r .certificate_pem > ca.pem
    TOKEN=gdr_… ./watch.py --hub HUB:8001 --ca ca.pem
"""

import argparse
import os

import grpc
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool

SERVICE = "gander.v1.MonitorService"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


def message_class(descriptor):
    """The class of a message, with old and new versions of protobuf."""
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory().GetPrototype(descriptor)


def reflection_messages():
    """Of the reflection protocol, the two fields that are needed here."""
    file = descriptor_pb2.FileDescriptorProto(name="reflection.proto", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    for message, name, number, type, label, type_name in (
        ("Request", "file_containing_symbol", 4, field.TYPE_STRING, field.LABEL_OPTIONAL, None),
        ("Answer", "file_descriptor_response", 4, field.TYPE_MESSAGE, field.LABEL_OPTIONAL, ".Files"),
        ("Files", "file_descriptor_proto", 1, field.TYPE_BYTES, field.LABEL_REPEATED, None),
    ):
        file.message_type.add(name=message).field.add(
            name=name, number=number, type=type, label=label, type_name=type_name
        )
    pool = DescriptorPool()
    pool.Add(file)
    return [message_class(pool.FindMessageTypeByName(name)) for name in ("Request", "Answer")]


def describe(channel, symbol):
    """The files that define a service, as the hub tells them."""
    request, answer = reflection_messages()
    ask = channel.stream_stream(
        REFLECTION, request_serializer=request.SerializeToString, response_deserializer=answer.FromString
    )
    told = next(ask(iter([request(file_containing_symbol=symbol)]), timeout=10))
    return told.file_descriptor_response.file_descriptor_proto


class Monitor:
    """The methods of MonitorService, by name."""

    def __init__(self, channel, token):
        self.channel = channel
        self.metadata = [("authorization", f"Bearer {token}")]
        self.pool = DescriptorPool()
        # One file, which builds on no other.
        for file in describe(channel, SERVICE):
            self.pool.AddSerializedFile(file)
        self.service = self.pool.FindServiceByName(SERVICE)

    def call(self, name, deadline=None, **fields):
        method = self.service.methods_by_name[name]
        request, answer = message_class(method.input_type), message_class(method.output_type)
        # What answers with a stream says so in its definition.
        definition = descriptor_pb2.ServiceDescriptorProto()
        self.service.CopyToProto(definition)
        streams = next(m.server_streaming for m in definition.method if m.name == name)
        make = self.channel.unary_stream if streams else self.channel.unary_unary
        stub = make(
            f"/{SERVICE}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        return stub(request(**fields), metadata=self.metadata, timeout=deadline)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hub", required=True, metavar="HOST:PORT")
    parser.add_argument("--ca", required=True, metavar="FILE", help="the hub's authority (PEM)")
    parser.add_argument("--once", action="store_true", help="end after the whole state")
    arguments = parser.parse_args()

    with open(arguments.ca, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    with grpc.secure_channel(arguments.hub, credentials) as channel:
        monitor = Monitor(channel, os.environ["TOKEN"])
        page = monitor.call("ListServers", deadline=10)
        print(f"{len(page.servers)} servers")
        for event in monitor.call("Watch"):
            for server in event.servers:
                print(f"{server.name}: status {server.status}, cpu {server.cpu_usage_permille / 10} %")
            for alert in event.alerts:
                print(f"{'resolved' if alert.resolved else 'alert'}: {alert.message}")
            if arguments.once:
                return


if __name__ == "__main__":
    main()
