"""The Lambda Runtime API client for CPython 3.8 and later.

It is written for the time from spawn to the first event: `http.client`, `socket`, `json`, `logging` and
`site` together cost more than starting the interpreter, so none of them is imported unless the function's
own code does so. Handlers, errors, the context object and log lines follow the AWS Lambda developer guide,
"Building Lambda functions with Python"; the HTTP contract is its page "Using the Lambda runtime API".

Not here: starting the interpreter, limits and timeouts. They belong to the sandbox, which sees this process
only through its socket, its standard streams and its end.
"""

import os
import sys
import time

from . import codec, context
from .client import Client
from .faults import Fault, describe, log_line


def main():
    """Loads the handler that the environment names and serves events until the process is stopped."""
    _line_buffer(sys.stdout)
    _line_buffer(sys.stderr)
    address = os.environ["AWS_LAMBDA_RUNTIME_API"]
    client = Client(address)
    told = sys.argv[1:]
    del sys.argv[1:]
    if told == ["--wait"]:
        _wait(client)
    else:
        _set_search_path()
    if sys.flags.no_site:
        _restore_site_builtins()
    sys.meta_path[:0] = [_LoggingHook(), _HooksFinder]
    template = None
    try:
        handler = load(os.environ.get("_HANDLER", ""))
        if told and told[0] != "--wait":
            from . import snapshot

            snapshot.run_before_snapshot()
            if told[0] == "--template":
                template = snapshot.Template(int(told[1]))
    except Exception as error:
        _give_up(error, client.fail_init)
    _flush()
    if template:
        _become_template(client, template)
        client = Client(address)
        _take_assignment(client)
    if told and told[0] != "--wait":
        try:
            snapshot.run_after_restore()
        except Exception as error:
            _give_up(error, client.fail_restore)
        _flush()
    context.remember()
    while True:
        headers, event = client.next()
        invoke(client, handler, headers, event)


def _wait(client):
    """Waits for a function; its code is in place when it is known which."""
    from .ahead import Imports
    from .rehearsal import rehearse

    imports = Imports()
    rehearse(_take_assignment, invoke)
    _take_assignment(client, imports.steps())
    imports.forget(_set_search_path())


def _take_assignment(client, meanwhile=()):
    """Waits to be told for which function this is."""
    variables = codec.decode(client.assignment(meanwhile))
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    # The folder that was the working directory lies below the code now.
    os.chdir(variables["LAMBDA_TASK_ROOT"])


def _become_template(client, template):
    """Comes back in each instance that is forked, and never in this process."""
    from .rehearsal import rehearse

    # What is open from here on is the function's.
    client.close()
    unfit = template.unfit()
    client.snapshot(unfit or "")
    client.close()
    if unfit:
        os._exit(0)
    template.serve()
    rehearse(_take_assignment, invoke)


def _give_up(error, tell):
    document = describe(error, "")
    _report(document)
    tell(document["errorType"], codec.encode(document))
    sys.exit(1)


def load(name):
    """Finds the function that `_HANDLER` names: `module.function`, `folder/module.function`, `a.b.f`."""
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        reason = "not enough values to unpack (expected 2, got 1)"
        raise Fault("Runtime.MalformedHandlerName", "Bad handler '%s': %s" % (name, reason))
    dotted = module_name.replace("/", ".")
    if dotted.split(".")[0] in sys.builtin_module_names:
        text = "Cannot use built-in module %s as a handler module" % module_name
        raise Fault("Runtime.BuiltInModuleConflict", text)
    try:
        __import__(dotted)
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error))
    except SyntaxError as error:
        place = '  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)
        text = "Syntax error in module '%s': %s" % (module_name, error)
        raise Fault("Runtime.UserCodeSyntaxError", text, [place])
    try:
        return getattr(sys.modules[dotted], function_name)
    except AttributeError:
        text = "Handler '%s' missing on module '%s'" % (function_name, module_name)
        raise Fault("Runtime.HandlerNotFound", text)


def invoke(client, handler, headers, event):
    """Runs one event through the handler and hands its outcome in.

    SystemExit and its kin pass through on purpose: the process ends, and the platform reports that it did.
    """
    request_id = headers["lambda-runtime-aws-request-id"]
    context.request_id = request_id
    context.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
    trace_id = headers.get("lambda-runtime-trace-id")
    if trace_id != context.trace_id:
        context.trace_id = trace_id
        if trace_id:
            os.environ["_X_AMZN_TRACE_ID"] = trace_id
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
    try:
        result = handler(codec.decode(event), context.LambdaContext(headers))
        body, content_type = codec.encode_result(result)
    except Exception as error:
        document = describe(error, request_id)
        _report(document)
        client.fail(request_id, document["errorType"], codec.encode(document))
    else:
        _flush()
        client.respond(request_id, body, content_type)


def _report(document):
    sys.stdout.write(log_line(document))
    _flush()


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # The function closed or replaced the stream; what it printed there is its own affair.


def _line_buffer(stream):
    """Lines leave as they are printed, so that a function killed at its timeout loses none of them."""
    if stream is not None:
        stream.reconfigure(line_buffering=True)


def _set_search_path():
    """The function's code, then its layers, the standard library, and what this machine has installed.

    Gives the folders that come before the standard library.
    """
    version = "python%d.%d" % sys.version_info[:2]
    front = [
        os.environ.get("LAMBDA_TASK_ROOT", "/var/task"),
        "/opt/python/lib/%s/site-packages" % version,
        "/opt/python",
    ]
    # The first entry is the folder of the bootstrap script, which is no place to import from.
    sys.path[:1] = front
    if sys.flags.no_site:
        installed = (
            "/usr/local/lib/%s/dist-packages" % version,
            "/usr/lib/python3/dist-packages",
            "%s/lib/%s/site-packages" % (sys.prefix, version),
        )
        sys.path.extend(folder for folder in installed if os.path.isdir(folder))
    return front


def _restore_site_builtins():
    """`exit` and `quit` are made by the `site` module, which is not imported because it costs 5 ms."""
    import builtins

    builtins.exit = builtins.quit = sys.exit


class _HooksFinder:
    """Finds the registry of SnapStart's hooks beside this package, whatever a function brings by that name."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "snapshot_restore_py":
            return None
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, [os.path.dirname(os.path.dirname(__file__))])


class _LoggingHook:
    """Gives `logging` Lambda's root handler at the moment when somebody imports it, and not before.

    It has to be that early: a later `basicConfig` in the function's code does nothing on Lambda, because the
    root logger has a handler already.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self.loader, spec.loader = spec.loader, self
                return spec
        return None

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        from . import logs

        logs.install(module)
