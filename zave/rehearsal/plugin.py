"""The simulated provider's process: `python -I -m zave.rehearsal.plugin CATALOGUE CERTIFICATE FOLDER`.

Terraform starts it several times a run (through the scripts of `zave/rehearsal/mirror.py`), so it
imports little and exits at once when told to. FOLDER holds the catalogues, CERTIFICATE the key as
well, and `ZAVE_WORLD` names the file that is the world.
"""

import functools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]

from zave.errors import ZaveError
from zave.rehearsal import schema
from zave.rehearsal.provider import Provider, calls
from zave.rehearsal.world import World

COOKIE = ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2")
CORE_PROTOCOL = 1
TERRAFORM_PROTOCOL = 6
WORLD_VARIABLE = "ZAVE_WORLD"

# Terraform makes ten changes at a time, each of which may block; stop and shutdown come on top
THREADS = 64
PARENT_CHECK_SECONDS = 0.25


def main(arguments: list[str]) -> int:
    """Serve the catalogue named in `arguments` until Terraform says stop or is gone."""
    if os.environ.get(COOKIE[0]) != COOKIE[1]:
        sys.stderr.write("This is zave's simulated provider. Terraform starts it during a rehearsal.\n")
        return 2
    # Ctrl-C is Terraform's to handle: it stops its providers itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        catalogue = schema.load(arguments[0], folder=Path(arguments[2]))
        world = World.open(Path(os.environ[WORLD_VARIABLE]))
        key, certificate = _credentials(Path(arguments[1]))
    except (IndexError, KeyError, OSError, ValueError, schema.CatalogueError, ZaveError) as error:
        sys.stderr.write(f"zave's simulated provider cannot start: {type(error).__name__}: {error}\n")
        return 2
    _serve(Provider(catalogue, world), key, certificate)
    return 0


def _credentials(path: Path) -> tuple[str, str]:
    """The private key and the certificate in `path`, both as PEM."""
    text = path.read_text(encoding="ascii")
    begin = text.index("-----BEGIN CERTIFICATE-----")
    return text[:begin], text[begin:]


def _serve(provider: Provider, key: str, certificate: str) -> None:
    parent = os.getppid()
    folder = Path(tempfile.mkdtemp(prefix="zave-plugin-"))
    try:
        server = grpc.server(
            ThreadPoolExecutor(max_workers=THREADS),
            # a large state or schema is no reason to fail
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        server.add_generic_rpc_handlers(_services(provider, folder))
        credentials = grpc.ssl_server_credentials([(key.encode(), certificate.encode())])
        server.add_secure_port(f"unix:{folder}/socket", credentials)
        server.start()
        _handshake(folder / "socket", certificate)
        # a plugin whose Terraform was killed must not linger: nobody else would ever end it
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # not by returning, which would wait for threads that may hang on purpose
    os._exit(1)


def _services(provider: Provider, folder: Path) -> tuple[grpc.GenericRpcHandler, ...]:
    # Terraform connects once; without its folder the socket cannot be left behind by a kill -9
    @functools.cache
    def connected() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def shutdown(_request: Any, _context: grpc.ServicerContext) -> None:
        connected()
        # at once: Terraform waits for the process, not for the answer
        os._exit(0)

    def handler(answer: Callable[[Any], Any], message: Any) -> grpc.RpcMethodHandler:
        def call(request: Any, _context: grpc.ServicerContext) -> Any:
            connected()
            return answer(request)

        return grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=message.Request.FromString,
            response_serializer=message.Response.SerializeToString,
        )

    answers = {name: handler(answer, message) for name, (answer, message) in calls(provider).items()}
    silence = grpc.unary_stream_rpc_method_handler(lambda _request, _context: iter(()))
    return (
        grpc.method_handlers_generic_handler("tfplugin6.Provider", answers),
        grpc.method_handlers_generic_handler(
            "plugin.GRPCController", {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)}
        ),
        # go-plugin asks for the plugin's output, of which there is none
        grpc.method_handlers_generic_handler("plugin.GRPCStdio", {"StreamStdio": silence}),
    )


def _handshake(socket: Path, certificate: str) -> None:
    """The one line on stdout from which Terraform learns where and how to connect."""
    # the body of the PEM is the certificate in base64; go-plugin wants it without padding
    body = "".join(line for line in certificate.splitlines() if not line.startswith("-----"))
    fields = (CORE_PROTOCOL, TERRAFORM_PROTOCOL, "unix", socket, "grpc", body.rstrip("="))
    sys.stdout.write("|".join(str(field) for field in fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
