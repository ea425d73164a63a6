"""Speaks TLS on a loopback port and passes everything on to another port: `tls_front.py CERTIFICATE KEY PORT`.

Says its own port on stdout and ends when its stdin ends.
"""

import asyncio
import ssl
import sys


async def main(certificate, key, port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader, writer):
        try:
            upstream = await asyncio.open_connection("127.0.0.1", int(port))
            await asyncio.gather(pipe(reader, upstream[1]), pipe(upstream[0], writer))
        except OSError:
            writer.close()  # Either side may go away at any time.

    async def pipe(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(*sys.argv[1:]))
