"""The Python client, on every interpreter of this machine that it promises to run on."""

import glob
import json
import os
import shutil
import subprocess
import sys
import unittest

from fake_api import ROOT, Function

BOOTSTRAP = os.path.join(ROOT, "runtimes", "python", "bootstrap.py")


def interpreters():
    """Each CPython of this machine from 3.8 on; shims that lead to nothing are left out."""
    found = {}
    for minor in range(8, 20):
        name = "python3.%d" % minor
        pyenv = os.path.join(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv")), "versions")
        for path in [shutil.which(name)] + glob.glob("%s/3.%d.*/bin/%s" % (pyenv, minor, name)):
            # A version manager's shim may stand for a version that is not there.
            if path and subprocess.run([path, "-S", "-c", ""], capture_output=True).returncode == 0:
                found["3.%d" % minor] = path
                break
    return found or {"3.%d" % sys.version_info[1]: sys.executable}


class Case:
    """The scenarios. `interpreter` is set by the classes made below, one for each version."""

    interpreter = None

    def start(self, code, handler="app.handler", environment=None, files=None):
        package = {"app.py": code}
        package.update(files or {})
        command = [self.interpreter, "-S", "-B", BOOTSTRAP]
        function = Function(command, package, handler, environment)
        self.addCleanup(function.close)
        return function

    def test_answers_with_the_result(self):
        f = self.start("def handler(event, context): return {'got': event, 'pi': 3.5, 'none': None}")
        outcome = f.invoke({"a": [1, 2.5, "x", None, True]})
        self.assertEqual(outcome.kind, "response")
        self.assertEqual(outcome.json, {"got": {"a": [1, 2.5, "x", None, True]}, "pi": 3.5, "none": None})
        self.assertEqual(outcome.headers["Content-Type"], "application/json")

    def test_an_interpreter_that_waits_goes_between_two_imports(self):
        code = """
from _socket import socketpair
from mayfly_runtime.ahead import Imports
from mayfly_runtime.client import Client

ours, theirs = socketpair()
taken = []

def steps():
    for _ in Imports().steps():
        taken.append(1)
        if len(taken) == 3:
            theirs.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\n{}")
        yield

print(Client("127.0.0.1:1", ours).assignment(steps()), len(taken))
"""
        command = [self.interpreter, "-S", "-B", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, cwd=os.path.dirname(BOOTSTRAP))
        self.assertEqual(done.stdout, "b'{}' 3\n", done.stderr)

    def test_one_process_serves_many_events(self):
        f = self.start("n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n")
        self.assertEqual([f.invoke().json for _ in range(50)], list(range(1, 51)))

    def test_strings_none_and_bytes(self):
        f = self.start(
            "def handler(event, context): return {'s': 'hi', 'n': None, 'b': b'\\x00\\xff'}[event]"
        )
        self.assertEqual(f.invoke("s").body, b'"hi"')
        self.assertEqual(f.invoke("n").body, b"null")
        outcome = f.invoke("b")
        self.assertEqual((outcome.kind, outcome.body), ("response", b"\x00\xff"))
        self.assertEqual(outcome.headers["Content-Type"], "application/unknown")

    def test_an_exception_becomes_an_error_document(self):
        code = "def inner():\n    raise ValueError('boom')\n\ndef handler(event, context):\n    inner()\n"
        f = self.start(code)
        request_id = f.send({})
        outcome = f.outcome()
        self.assertEqual(outcome.kind, "error")
        self.assertEqual(outcome.headers["Lambda-Runtime-Function-Error-Type"], "ValueError")
        error = outcome.json
        self.assertEqual(error["errorMessage"], "boom")
        self.assertEqual(error["errorType"], "ValueError")
        self.assertEqual(error["requestId"], request_id)
        app = os.path.join(f.folder, "app.py")
        self.assertEqual(
            error["stackTrace"],
            [
                '  File "%s", line 5, in handler\n    inner()\n' % app,
                "  File \"%s\", line 2, in inner\n    raise ValueError('boom')\n" % app,
            ],
        )
        log = f.log()
        self.assertTrue(
            log.startswith("[ERROR] ValueError: boom\rTraceback (most recent call last):\r"), log
        )
        self.assertIn('\u00a0\u00a0File "%s", line 5, in handler\r' % app, log)
        self.assertEqual(log.count("\n"), 1)

    def test_the_process_outlives_an_exception(self):
        f = self.start("def handler(event, context): return 1 // event")
        self.assertEqual(f.invoke(0).json["errorType"], "ZeroDivisionError")
        self.assertEqual(f.invoke(1).json, 1)

    def init_error(self, code, handler="app.handler", files=None):
        f = self.start(code, handler, files=files)
        outcome = f.outcome()
        self.assertEqual(outcome.kind, "init-error")
        self.assertEqual(f.exit_code(), 1)
        error = outcome.json
        self.assertEqual(outcome.headers["Lambda-Runtime-Function-Error-Type"], error["errorType"])
        self.assertEqual(error["requestId"], "")
        self.assertIn("[ERROR] " + error["errorType"], f.log())
        return error

    def test_a_missing_module(self):
        error = self.init_error("", "nowhere.handler")
        self.assertEqual(error["errorType"], "Runtime.ImportModuleError")
        self.assertEqual(
            error["errorMessage"], "Unable to import module 'nowhere': No module named 'nowhere'"
        )
        self.assertEqual(error["stackTrace"], [])

    def test_a_missing_dependency(self):
        error = self.init_error("import requests_nowhere\ndef handler(e, c): pass")
        self.assertEqual(error["errorType"], "Runtime.ImportModuleError")
        self.assertEqual(
            error["errorMessage"], "Unable to import module 'app': No module named 'requests_nowhere'"
        )

    def test_a_missing_function(self):
        error = self.init_error("x = 1", "app.handle")
        self.assertEqual(error["errorType"], "Runtime.HandlerNotFound")
        self.assertEqual(error["errorMessage"], "Handler 'handle' missing on module 'app'")

    def test_a_handler_name_without_a_dot(self):
        error = self.init_error("", "app")
        self.assertEqual(error["errorType"], "Runtime.MalformedHandlerName")
        self.assertEqual(
            error["errorMessage"], "Bad handler 'app': not enough values to unpack (expected 2, got 1)"
        )

    def test_a_syntax_error(self):
        error = self.init_error("def handler(event, context):\n    return (\n")
        self.assertEqual(error["errorType"], "Runtime.UserCodeSyntaxError")
        self.assertTrue(error["errorMessage"].startswith("Syntax error in module 'app': "), error)
        self.assertIn("app.py", error["stackTrace"][0])

    def test_a_built_in_module(self):
        error = self.init_error("", "sys.exit")
        self.assertEqual(error["errorType"], "Runtime.BuiltInModuleConflict")

    def test_an_exception_at_import(self):
        error = self.init_error("import os\nos.environ['MISSING_SETTING']\n")
        self.assertEqual((error["errorType"], error["errorMessage"]), ("KeyError", "'MISSING_SETTING'"))
        self.assertIn("line 2, in <module>", error["stackTrace"][0])

    def test_handlers_in_folders_and_packages(self):
        code = "def handler(event, context): return __name__"
        for handler in ("pkg/deep/mod.handler", "pkg.deep.mod.handler"):
            f = self.start("", handler, files={"pkg/deep/mod.py": code})
            self.assertEqual(f.invoke().json, "pkg.deep.mod")

    def test_a_result_that_is_not_json(self):
        f = self.start("class Point: pass\ndef handler(event, context): return {'p': Point()}")
        error = f.invoke().json
        self.assertEqual(error["errorType"], "Runtime.MarshalError")
        self.assertEqual(
            error["errorMessage"],
            "Unable to marshal response: Object of type Point is not JSON serializable",
        )
        self.assertEqual(f.invoke().kind, "error")

    def test_a_circular_result(self):
        f = self.start("def handler(event, context):\n    a = []\n    a.append(a)\n    return a")
        self.assertEqual(
            f.invoke().json["errorMessage"], "Unable to marshal response: Circular reference detected"
        )

    def test_an_event_that_is_not_json(self):
        f = self.start("def handler(event, context): return event")
        for bad in (b'{"a":', b"", b"[1] 2", b"\xff", b"nul", b"[" * 200_000):
            error = f.invoke(bad).json
            self.assertEqual(error["errorType"], "Runtime.UnmarshalError", bad[:20])
            self.assertTrue(error["errorMessage"].startswith("Unable to unmarshal input: "), error)
        self.assertEqual(f.invoke(b" \n[1, 2]\r\n ").json, [1, 2])

    def test_decimals_are_numbers(self):
        code = "from decimal import Decimal as D\ndef handler(e, c): return [D('3'), D('2.50'), D('NaN')]"
        f = self.start(code)
        self.assertEqual(f.invoke().body, b"[3, 2.5, NaN]")

    def test_keys_floats_and_escapes_are_those_of_json_dumps(self):
        value = "{1: 'a\\n\"', True: 1e100, None: -0.0, 2.5: ('t',), 'é': '\\u2028\\U0001f600', 'b': 9**30}"
        f = self.start("def handler(event, context): return " + value)
        ascii_only = int(self.version.split(".")[1]) < 12
        expected = json.dumps(eval(value), ensure_ascii=ascii_only).encode()
        self.assertEqual(f.invoke().body, expected)

    def test_unicode_both_ways(self):
        f = self.start("def handler(event, context):\n    print(event)\n    return event[::-1]")
        self.assertEqual(f.invoke("Grüße 🦟 漢字").json, "字漢 🦟 eßürG")
        self.assertIn("Grüße 🦟 漢字\n", f.log())

    def test_six_megabytes_both_ways(self):
        f = self.start("def handler(event, context): return event")
        text = "0123456789abcdef" * (6 * 1024 * 1024 // 16)
        for _ in range(3):
            self.assertEqual(f.invoke(text).json, text)

    def test_a_tenant_is_told_and_logged(self):
        code = """
import logging
def handler(event, context):
    logging.getLogger().error("said")
    return context.tenant_id
"""
        f = self.start(code, environment={"AWS_LAMBDA_LOG_FORMAT": "JSON"})
        self.assertEqual(f.invoke({}, Lambda_Runtime_Aws_Tenant_Id="blue").json, "blue")
        self.assertIn('"tenantId": "blue"', f.log().replace('":"', '": "'))
        self.assertIsNone(f.invoke({}).json)

    def test_the_context(self):
        code = """
import os
def handler(event, context):
    left = context.get_remaining_time_in_millis()
    return [context.function_name, context.function_version, context.invoked_function_arn,
            context.memory_limit_in_mb, context.aws_request_id, context.log_group_name,
            context.log_stream_name,
            context.identity.cognito_identity_id, context.client_context, os.environ.get('_X_AMZN_TRACE_ID'),
            0 < left <= 300000, type(left).__name__, repr(context)[:14]]
"""
        f = self.start(code)
        request_id = f.send({})
        self.assertEqual(
            f.outcome().json,
            [
                "photos",
                "$LATEST",
                "arn:aws:lambda:us-east-1:000000000000:function:photos",
                "256",
                request_id,
                "/aws/lambda/photos",
                "2026/11/23/[$LATEST]abc",
                None,
                None,
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
                True,
                "int",
                "LambdaContext(",
            ],
        )
        self.assertIsNone(f.invoke({}, Lambda_Runtime_Trace_Id=None).json[9])
        self.assertEqual(f.invoke({}, timeout_ms=-5000).json[10], False)

    def test_client_context_and_identity(self):
        code = """
def handler(event, context):
    c = context.client_context
    return [c.client.app_title, c.client.installation_id, c.custom, c.env,
            context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id]
"""
        f = self.start(code)
        client = '{"client":{"app_title":"Mayfly"},"custom":{"k":"v"},"env":{"e":"1"}}'
        identity = '{"cognitoIdentityId":"id-1","cognitoIdentityPoolId":"pool-1"}'
        outcome = f.invoke(
            {}, Lambda_Runtime_Client_Context=client, Lambda_Runtime_Cognito_Identity=identity
        )
        self.assertEqual(outcome.json, ["Mayfly", None, {"k": "v"}, {"e": "1"}, "id-1", "pool-1"])
        broken = f.invoke({}, Lambda_Runtime_Client_Context="{").json
        self.assertEqual(broken["errorType"], "Runtime.LambdaContextUnmarshalError")
        self.assertTrue(broken["errorMessage"].startswith("Unable to parse Client Context JSON: "), broken)

    def test_prints_are_out_before_the_answer(self):
        f = self.start(
            "import sys\ndef handler(e, c):\n    print('one\\ntwo', end='')\n    sys.stderr.write('err\\n')"
        )
        f.invoke()
        self.assertIn("one\ntwo", f.log())
        self.assertIn("err\n", f.log())

    def test_lines_are_out_as_they_are_printed(self):
        code = "import os\ndef handler(e, c):\n    print('last words')\n    os.kill(os.getpid(), 9)"
        f = self.start(code)
        f.send({})
        self.assertEqual(f.exit_code(), -9)
        self.assertEqual(f.log(), "last words\n")

    def test_logging_has_lambdas_format(self):
        code = """
import logging
logging.basicConfig(level=logging.DEBUG, format='must not be seen')
log = logging.getLogger()
def handler(event, context):
    log.info('quiet')
    log.setLevel('INFO')
    log.info('hello %s', 'you')
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception('two\\nlines')
"""
        f = self.start(code)
        request_id = f.send({})
        f.outcome()
        stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        lines = f.log().split("\n")
        self.assertRegex(lines[0], r"^\[INFO\]\t%s\t%s\thello you$" % (stamp, request_id))
        self.assertRegex(lines[1], r"^\[ERROR\]\t%s\t%s\ttwo\rlines\rTraceback" % (stamp, request_id))
        self.assertEqual(lines[2:], [""])

    def test_logging_as_json(self):
        code = """
import logging
log = logging.getLogger('shop')
def handler(event, context):
    log.debug('quiet')
    log.info('paid', extra={'order': 7})
    raise RuntimeError('no')
"""
        f = self.start(code, environment={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"})
        request_id = f.send({})
        self.assertEqual(f.outcome().kind, "error")
        paid, failed = [json.loads(line) for line in f.log().splitlines()]
        self.assertRegex(paid.pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(
            paid,
            {"level": "INFO", "message": "paid", "logger": "shop", "requestId": request_id, "order": 7},
        )
        self.assertEqual(
            (failed["level"], failed["errorType"], failed["errorMessage"]), ("ERROR", "RuntimeError", "no")
        )

    def test_no_library_is_imported_for_the_function(self):
        code = "import sys\ndef handler(e, c): return [m for m in e if m in sys.modules]"
        f = self.start(code)
        self.assertEqual(
            f.invoke(["json", "logging", "socket", "http.client", "re", "traceback", "site"]).json, []
        )

    def test_exiting_ends_the_process(self):
        for code, status in (("import sys; sys.exit(3)", 3), ("exit(4)", 4), ("import os; os._exit(5)", 5)):
            f = self.start("def handler(e, c):\n    print('bye')\n    " + code)
            f.send({})
            self.assertEqual(f.exit_code(), status)
            self.assertEqual(f.log(), "bye\n")
            self.assertTrue(f.outcomes.empty())

    def test_a_closed_connection_is_opened_again(self):
        f = self.start("def handler(event, context): return event")
        f.drop_after_post = True
        self.assertEqual([f.invoke(n).json for n in range(5)], list(range(5)))

    def test_a_result_may_be_answered_with_the_next_event(self):
        f = self.start("def handler(event, context): return event")
        f.holds = True
        self.assertEqual([f.invoke(n).json for n in range(5)], list(range(5)))
        self.assertEqual(f.ready_at.qsize(), 1, "one request for an event, the first")

    def test_a_refused_result_does_not_end_the_process(self):
        f = self.start("def handler(event, context): return event")
        f.refuse = [413, 400]
        self.assertEqual([f.invoke(n).json for n in range(3)], [0, 1, 2])
        self.assertEqual(f.log().count("The platform answered"), 1)
        self.assertIn("The platform answered 400", f.log())

    def test_search_path(self):
        f = self.start("import sys\ndef handler(event, context): return sys.path")
        path = f.invoke().json
        self.assertEqual(path[0], f.folder)
        self.assertEqual(
            path[1:3], ["/opt/python/lib/python%s/site-packages" % self.version, "/opt/python"]
        )
        self.assertNotIn(os.path.dirname(BOOTSTRAP), path)


for version, path in interpreters().items():
    name = "Python" + version.replace(".", "_")
    globals()[name] = type(name, (Case, unittest.TestCase), {"interpreter": path, "version": version})

if __name__ == "__main__":
    unittest.main()
