"""Notes in a bucket of S3: PUT, GET and DELETE /NAME, and GET / lists them."""

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import blobstore, wasi_config_store
from wit_world.imports.wasi_blobstore_types import IncomingValue, OutgoingValue
from wit_world.imports.wasi_http_types import (
    Fields,
    IncomingRequest,
    Method_Delete,
    Method_Put,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

PIECE = 4096  # what one blocking write takes


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        try:
            status, text = answer(request)
        except Err as refused:
            status, text = 409, f"{refused.value}\n".encode()
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
        response.set_status_code(status)
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            write(stream, text)
        OutgoingBody.finish(body, None)


def answer(request):
    notes = blobstore.get_container(wasi_config_store.get("NOTES"))
    name = request.path_with_query().split("?")[0].strip("/")
    method = request.method()
    if not name:
        names, _ = notes.list_objects().read_stream_object_names(1000)
        return 200, "".join(f"{name}\n" for name in names).encode()
    if isinstance(method, Method_Put):
        keep(notes, name, request)
        return 201, b"kept\n"
    if isinstance(method, Method_Delete):
        notes.delete_object(name)
        return 200, b"gone\n"
    if not notes.has_object(name):
        return 404, b"there is no such note\n"
    return 200, IncomingValue.incoming_value_consume_sync(notes.get_data(name, 0, 2**64 - 1))


def keep(notes, name, request):
    """Streams the request's body into the object."""
    value = OutgoingValue.new_outgoing_value()
    with value.outgoing_value_write_body() as stream:
        notes.write_data(name, value)
        body = request.consume()
        with body.stream() as source:
            for piece in pieces(source):
                write(stream, piece)
    OutgoingValue.finish(value)


def pieces(source):
    try:
        while True:
            yield source.blocking_read(64 * 1024)
    except Err:
        pass  # the end


def write(stream, text):
    for at in range(0, len(text), PIECE):
        stream.blocking_write_and_flush(text[at : at + PIECE])
