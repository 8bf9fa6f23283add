"""Does with its stores what the request's JSON says, and answers with what came of it."""

import json
import os

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import atomics, batch, blobstore, wasi_config_store, wasi_keyvalue_store
from wit_world.imports.atomics import Cas, CasError_CasFailed
from wit_world.imports.wasi_blobstore_types import IncomingValue, ObjectId, OutgoingValue
from wit_world.imports.wasi_http_types import Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam

ALL = 2**64 - 1
kept = {}


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        said, asked = [], request.consume()
        with asked.stream() as stream:
            operations = json.loads(read(stream))
        for name, *arguments in operations:
            try:
                said.append(globals()[f"do_{name}"](*arguments))
            except Err as refused:
                said.append({"refused": told(refused.value)})
        response = OutgoingResponse(Fields())
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            write(stream, json.dumps(said).encode())
        OutgoingBody.finish(body, None)


def told(error):
    value = getattr(error, "value", error)
    if hasattr(value, "to_debug_string"):
        return value.to_debug_string()
    return value if isinstance(value, str) else type(error).__name__


def read(stream):
    read = b""
    try:
        while True:
            read += stream.blocking_read(65536)
    except Err:
        return read


def write(stream, data):
    for at in range(0, len(data), 4096):
        stream.blocking_write_and_flush(data[at : at + 4096])


def text(value):
    return None if value is None else value.decode()


def do_environment(name):
    return os.environ.get(name)


def do_config(key):
    return wasi_config_store.get(key)


def do_open(name):
    kept["bucket"] = wasi_keyvalue_store.open(name)


def do_get(key):
    return text(kept["bucket"].get(key))


def do_exists(key):
    return kept["bucket"].exists(key)


def do_set(key, value):
    kept["bucket"].set(key, value.encode())


def do_delete(key):
    kept["bucket"].delete(key)


def do_keys():
    page = kept["bucket"].list_keys(None)
    return [page.keys, page.cursor]


def do_set_many(pairs):
    batch.set_many(kept["bucket"], [(key, value.encode()) for key, value in pairs])


def do_get_many(keys):
    return [[key, text(value)] for key, value in batch.get_many(kept["bucket"], keys)]


def do_delete_many(keys):
    batch.delete_many(kept["bucket"], keys)


def do_add(key, delta):
    return atomics.increment(kept["bucket"], key, delta)


def do_append(key, letter):
    """Adds a letter to a text by compare and swap, however often it loses; says how often."""
    cas, lost = Cas.new(kept["bucket"], key), 0
    while True:
        value = (cas.current() or b"") + letter.encode()
        try:
            atomics.swap(cas, value)
            return lost
        except Err as failed:
            if not isinstance(failed.value, CasError_CasFailed):
                raise
            cas, lost = failed.value.value, lost + 1


def do_container(name):
    kept["container"] = blobstore.get_container(name)


def do_create(name):
    kept["container"] = blobstore.create_container(name)


def do_remove(name):
    blobstore.delete_container(name)


def do_there(name):
    return blobstore.container_exists(name)


def do_put(name, letter, length, finish=True):
    value = OutgoingValue.new_outgoing_value()
    with value.outgoing_value_write_body() as stream:
        kept["container"].write_data(name, value)
        write(stream, letter.encode() * length)
    if finish:
        OutgoingValue.finish(value)
    else:
        value.__exit__(None, None, None)


def do_put_late(name, length):
    """Says where the bytes go only once they are written."""
    value = OutgoingValue.new_outgoing_value()
    with value.outgoing_value_write_body() as stream:
        write(stream, b"x" * length)
    kept["container"].write_data(name, value)
    OutgoingValue.finish(value)


def do_read(name, start=0, end=ALL):
    return IncomingValue.incoming_value_consume_sync(kept["container"].get_data(name, start, end)).decode()


def do_measure(name):
    """Reads the object as a stream."""
    value = kept["container"].get_data(name, 0, ALL)
    size = value.size()
    return [size, len(read(IncomingValue.incoming_value_consume_async(value)))]


def do_info(name):
    info = kept["container"].object_info(name)
    return [info.name, info.container, info.size, info.created_at > 1_500_000_000]


def do_has(name):
    return kept["container"].has_object(name)


def do_names(count):
    return list(kept["container"].list_objects().read_stream_object_names(count))


def do_drop(names):
    kept["container"].delete_objects(names)


def do_copy(source, target):
    blobstore.copy_object(ObjectId(*source), ObjectId(*target))


def do_move(source, target):
    blobstore.move_object(ObjectId(*source), ObjectId(*target))


def do_clear():
    kept["container"].clear()
