"""One WebSocket to the hub's /ws, and whether it saw what was wanted (exit code 0) or not."""

import argparse
import asyncio
import json
import ssl
import sys
from urllib.parse import urlsplit

import websockets
from websockets.exceptions import InvalidStatusCode


def cookies(path: str) -> str:
    """The cookies of a curl jar as one header value."""
    found = []
    with open(path, encoding="utf-8") as jar:
        for line in jar:
            fields = line.rstrip("\n").removeprefix("#HttpOnly_").split("\t")
            if len(fields) == 7:
                found.append(f"{fields[5]}={fields[6]}")
    return "; ".join(found)


async def look(options: argparse.Namespace) -> None:
    url = urlsplit(options.url)
    tls = None
    if url.scheme == "wss":
        tls = ssl.create_default_context(cafile=options.certificate)
    headers = {"Cookie": cookies(options.jar)}
    connection = websockets.connect(
        options.url,
        host=options.address,
        port=url.port or (443 if tls else 80),
        ssl=tls,
        origin=options.origin or None,
        extra_headers=headers,
        open_timeout=15,
    )
    try:
        socket = await connection
    except InvalidStatusCode as refusal:
        if options.want == "refused" and refusal.status_code in (401, 403):
            return
        sys.exit(f"refused with {refusal.status_code}")
    try:
        await talk(socket, options.want)
    finally:
        await socket.close()


async def talk(socket, want: str) -> None:
    """Reads until what is wanted was seen."""
    if want == "refused":
        sys.exit("it was accepted")
    first = json.loads(await socket.recv())
    if first["type"] != "initial" or "stats" not in first or "servers" not in first:
        sys.exit(f"the first message was {str(first)[:400]}")
    if want == "initial":
        return
    if want == "pong":
        await socket.send("ping")
    async for text in socket:
        if want == "pong" and text == "pong":
            return
        if want == "delta" and text != "pong" and json.loads(text)["type"] == "delta":
            return
    sys.exit("the hub closed the WebSocket")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("url")
parser.add_argument("--want", choices=["initial", "pong", "delta", "refused"], required=True)
parser.add_argument("--jar", required=True, help="cookies, as curl keeps them")
parser.add_argument("--origin", default="")
parser.add_argument("--certificate", default="")
parser.add_argument("--address", required=True, help="where to connect, whatever the URL's host says")
asyncio.run(asyncio.wait_for(look(parser.parse_args()), 60))
