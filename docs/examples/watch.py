#!/usr/bin/env python3
"""Reads gander over gRPC: the servers, and then every change, one line each.

Needs `pip install grpcio grpcio-reflection`, and no generated code: the hub describes its own
messages (reflection).

    curl -H "Authorization: Bearer $TOKEN" https://HUB/api/agents/authority | jq -r .certificate_pem > ca.pem
    TOKEN=gdr_… ./watch.py --hub HUB:8001 --ca ca.pem
"""

import argparse
import os

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "gander.v1.MonitorService"


class Monitor:
    """The methods of MonitorService, by name."""

    def __init__(self, channel, token):
        self.channel = channel
        self.metadata = [("authorization", f"Bearer {token}")]
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        self.service = self.pool.FindServiceByName(SERVICE)

    def call(self, name, deadline=None, **fields):
        method = self.service.FindMethodByName(name)
        request = GetMessageClass(method.input_type)
        answer = GetMessageClass(method.output_type)
        make = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
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
