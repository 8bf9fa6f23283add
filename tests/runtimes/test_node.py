"""The Node.js client. MAYFLY_TEST_NODE names another interpreter than the `node` of the path."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from fake_api import ROOT, Function

BOOTSTRAP = os.path.join(ROOT, "runtimes", "node", "bootstrap.cjs")
NODE = os.environ.get("MAYFLY_TEST_NODE") or shutil.which("node")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class Node(unittest.TestCase):
    COMMAND = [NODE, BOOTSTRAP]

    def start(self, code, handler="app.handler", name="app.js", environment=None, files=None):
        package = {name: code}
        package.update(files or {})
        function = Function(self.COMMAND, package, handler, environment)
        self.addCleanup(function.close)
        return function

    def test_an_async_handler(self):
        f = self.start(
            "exports.handler = async (event) => ({ got: event, none: null, skipped: undefined })"
        )
        outcome = f.invoke({"a": [1, 2.5, "x"]})
        self.assertEqual(
            (outcome.kind, outcome.json), ("response", {"got": {"a": [1, 2.5, "x"]}, "none": None})
        )
        self.assertEqual(outcome.headers["Content-Type"], "application/json")

    def test_modules_and_an_sdk_are_loaded_ahead_until_there_is_something_to_do(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {"client-good": "loaded.push('good')", "client-bad": "throw 1", "types": "fail"}.items():
                os.makedirs(os.path.join(folder, "@aws-sdk", name))
                with open(os.path.join(folder, "@aws-sdk", name, "index.js"), "w") as file:
                    file.write(text)
            ahead = os.path.join(ROOT, "runtimes", "node", "mayfly", "ahead.cjs")
            code = "globalThis.loaded = []; let steps = 0; const due = () => ++steps === Number(process.argv[3]);"
            code += "require(process.argv[1]).loadAhead(process.argv[2], due).then(() => console.log("
            code += "loaded.join(), process.moduleLoadList.includes('NativeModule http2')))"
            for due, seen in [("0", "good true\n"), ("3", " false\n")]:
                done = subprocess.run([NODE, "-e", code, ahead, folder, due], capture_output=True, text=True)
                self.assertEqual((done.stdout, done.stderr), (seen, ""))

    def test_one_process_serves_many_events(self):
        f = self.start("let n = 0; exports.handler = async () => ++n")
        self.assertEqual([f.invoke().json for _ in range(50)], list(range(1, 51)))

    def test_es_modules(self):
        code = "import { sep } from 'node:path'; let n = await 1; export const handler = async() => [sep, n]"
        f = self.start(code, name="app.mjs")
        self.assertEqual(f.invoke().json, ["/", 1])
        f = self.start(code, files={"package.json": '{"type":"module"}'})
        self.assertEqual(f.invoke().json, ["/", 1])
        f = self.start(
            "",
            "src/deep/app.handler",
            files={"src/deep/app.js": code, "package.json": '{"type": "module"}'},
        )
        self.assertEqual(f.invoke().json, ["/", 1])

    def test_commonjs_in_a_module_package(self):
        f = self.start(
            "exports.handler = async () => __filename",
            name="app.cjs",
            files={"package.json": '{"type":"module"}'},
        )
        self.assertTrue(f.invoke().json.endswith("/app.cjs"))

    def test_handlers_in_folders_and_objects(self):
        code = "exports.api = { get: async () => 'got' }"
        f = self.start(
            "", "src/api/app.api.get", files={"src/api/app.js": code, "src/api/app/not-this.js": ""}
        )
        self.assertEqual(f.invoke().json, "got")

    def test_a_callback(self):
        f = self.start("exports.handler = (event, context, cb) => setTimeout(() => cb(null, event + 1), 5)")
        self.assertEqual([f.invoke(1).json, f.invoke(2).json], [2, 3])

    def test_a_callback_waits_for_the_event_loop(self):
        code = """
const { writeSync } = require('fs');
exports.handler = (event, context, cb) => {
  context.callbackWaitsForEmptyEventLoop = event;
  setTimeout(() => writeSync(1, 'late\\n'), event ? 50 : 600000);
  cb(null, 'done');
  cb(null, 'again');
};
"""
        f = self.start(code)
        f.invoke(True)
        self.assertEqual(f.log(), "late\n")
        g = self.start(code)
        self.assertEqual(g.invoke(False).json, "done")
        self.assertEqual(g.log(), "")

    def test_a_callback_with_an_error(self):
        f = self.start(
            "exports.handler = (event, context, cb) => cb(event.error ? new TypeError('bad') : 'text')"
        )
        error = f.invoke({"error": True}).json
        self.assertEqual((error["errorType"], error["errorMessage"]), ("TypeError", "bad"))
        self.assertEqual(f.invoke({}).json, {"errorType": "string", "errorMessage": "text", "trace": []})

    def test_done_succeed_and_fail(self):
        f = self.start("exports.handler = (event, context) => { context[event[0]](...event.slice(1)); }")
        self.assertEqual(f.invoke(["succeed", 7]).json, 7)
        self.assertEqual(f.invoke(["done", None, 8]).json, 8)
        self.assertEqual(f.invoke(["done", "no"]).json["errorMessage"], "no")
        self.assertEqual(f.invoke(["fail", "no"]).kind, "error")
        self.assertEqual(f.invoke(["fail"]).json["errorMessage"], "handled")

    def test_a_plain_return_value_is_ignored(self):
        f = self.start("exports.handler = () => 'ignored'")
        self.assertEqual(f.invoke().body, b"null")
        f = self.start("exports.handler = async () => undefined")
        self.assertEqual(f.invoke().body, b"null")

    def test_a_promise_that_never_settles(self):
        f = self.start("exports.handler = async (event) => event || new Promise(() => {})")
        self.assertEqual(f.invoke(None).json["errorType"], "Runtime.NodeJsExit")
        self.assertEqual(f.invoke(1).json, 1)

    def test_an_exception_becomes_an_error_document(self):
        thrown = "throw Object.assign(new RangeError('boom'), { code: 'E1' });"
        code = "exports.handler = async () => {\n %s\n};" % thrown
        f = self.start(code)
        request_id = f.send({})
        outcome = f.outcome()
        self.assertEqual(outcome.kind, "error")
        self.assertEqual(outcome.headers["Lambda-Runtime-Function-Error-Type"], "RangeError")
        error = outcome.json
        self.assertEqual((error["errorType"], error["errorMessage"]), ("RangeError", "boom"))
        self.assertEqual(error["trace"][0], "RangeError: boom")
        self.assertIn("app.js:2:22", error["trace"][1])
        self.assertRegex(f.log(), "^%s\t%s\tERROR\tInvoke Error \t{" % (STAMP, request_id))
        logged = json.loads(f.log().split("\t")[-1])
        self.assertEqual((logged["errorType"], logged["code"]), ("RangeError", "E1"))
        self.assertEqual(logged["stack"], error["trace"])

    def test_a_synchronous_throw(self):
        f = self.start("exports.handler = (event) => { if (event) throw new Error('sync'); throw 'text'; }")
        self.assertEqual(f.invoke(1).json["errorMessage"], "sync")
        self.assertEqual(f.invoke(0).json, {"errorType": "string", "errorMessage": "text", "trace": []})

    def fatal(self, code, status):
        f = self.start(code)
        request_id = f.send({})
        outcome = f.outcome()
        self.assertEqual((outcome.kind, outcome.request_id), ("error", request_id))
        self.assertEqual(f.exit_code(), status)
        return outcome.json, f.log()

    def test_an_unhandled_rejection(self):
        code = "exports.handler = () => { Promise.reject(new Error('lost')); setTimeout(() => {}, 600000); }"
        error, log = self.fatal(code, 128)
        self.assertEqual(error["errorType"], "Runtime.UnhandledPromiseRejection")
        self.assertEqual(error["errorMessage"], "Error: lost")
        self.assertIn("ERROR\tUnhandled Promise Rejection \t{", log)

    def test_an_uncaught_exception(self):
        code = """
exports.handler = () => {
  setTimeout(() => { throw new Error('later'); }, 1);
  return new Promise(() => {});
};
"""
        error, log = self.fatal(code, 129)
        self.assertEqual((error["errorType"], error["errorMessage"]), ("Error", "later"))
        self.assertIn("ERROR\tUncaught Exception \t{", log)

    def init_error(self, code, handler="app.handler", **options):
        f = self.start(code, handler, **options)
        outcome = f.outcome()
        self.assertEqual(outcome.kind, "init-error")
        self.assertEqual(f.exit_code(), 129)
        self.assertRegex(f.log(), "%s\tundefined\tERROR\tUncaught Exception \t{" % STAMP)
        return outcome.json

    def test_a_missing_module(self):
        error = self.init_error("", "nowhere.handler")
        self.assertEqual(error["errorType"], "Runtime.ImportModuleError")
        self.assertTrue(
            error["errorMessage"].startswith("Error: Cannot find module 'nowhere'\nRequire stack:"), error
        )

    def test_a_missing_dependency(self):
        error = self.init_error("require('left-pad-nowhere')")
        self.assertEqual(error["errorType"], "Runtime.ImportModuleError")
        self.assertIn("Cannot find module 'left-pad-nowhere'", error["errorMessage"])
        error = self.init_error("import 'left-pad-nowhere'", name="app.mjs")
        self.assertEqual(error["errorType"], "Runtime.ImportModuleError")

    def test_a_missing_function(self):
        error = self.init_error("exports.other = 1", "app.handler")
        self.assertEqual(
            (error["errorType"], error["errorMessage"]),
            ("Runtime.HandlerNotFound", "app.handler is undefined or not exported"),
        )
        error = self.init_error("exports.other = 1", "app.other")
        self.assertEqual(error["errorMessage"], "app.other is not a function")

    def test_handler_names_that_are_none(self):
        self.assertEqual(self.init_error("", "app")["errorMessage"], "Bad handler")
        error = self.init_error("", "../app.handler")
        self.assertEqual(error["errorType"], "Runtime.MalformedHandlerName")
        self.assertTrue(
            error["errorMessage"].startswith("'../app.handler' is not a valid handler name."), error
        )

    def test_a_syntax_error(self):
        for name in ("app.js", "app.mjs"):
            error = self.init_error("exports.handler = async () => {", name=name)
            self.assertEqual(error["errorType"], "Runtime.UserCodeSyntaxError")
            self.assertTrue(error["errorMessage"].startswith("SyntaxError: "), error)

    def test_an_exception_at_import(self):
        error = self.init_error("throw new TypeError('no setting')")
        self.assertEqual((error["errorType"], error["errorMessage"]), ("TypeError", "no setting"))

    def test_a_handler_that_streams(self):
        code = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  if (event.type) stream.setContentType(event.type);
  if (event.page) stream = awslambda.HttpResponseStream.from(stream, { statusCode: 204 });
  if (event.early) throw new RangeError('early');
  await new Promise((resolve) => stream.write(context.awsRequestId, resolve));
  if (event.late) throw new RangeError('late');
  stream.end('.');
});"""
        f = self.start(code)
        for _ in range(2):
            request_id = f.send({"type": "text/plain"})
            outcome = f.outcome()
            self.assertEqual((outcome.kind, outcome.body), ("response", f"{request_id}.".encode()))
            self.assertEqual(outcome.headers["Lambda-Runtime-Function-Response-Mode"], "streaming")
            self.assertEqual(outcome.headers["Content-Type"], "text/plain")
        page = f.invoke({"page": True})
        self.assertEqual(page.headers["Content-Type"], "application/vnd.awslambda.http-integration-response")
        self.assertTrue(page.body.startswith(b'{"statusCode":204}' + bytes(8)), page)
        early = f.invoke({"early": True})
        self.assertEqual((early.kind, early.json["errorMessage"]), ("error", "early"))
        late = f.invoke({"late": True})
        self.assertEqual(late.headers["Lambda-Runtime-Function-Error-Type"], "RangeError")
        told = json.loads(base64.b64decode(late.headers["Lambda-Runtime-Function-Error-Body"]))
        self.assertEqual((told["errorMessage"], told["errorType"]), ("late", "RangeError"))
        self.assertEqual(f.invoke({}).kind, "response", "the process serves on")

    def test_a_result_that_is_not_json(self):
        f = self.start("exports.handler = async () => { const a = []; a.push(a); return a; }")
        self.assertEqual(f.invoke().json["errorMessage"], "Unable to stringify response body")
        f = self.start("exports.handler = async () => 10n")
        self.assertEqual(f.invoke().json["errorMessage"], "Unable to stringify response body")

    def test_an_event_that_is_not_json(self):
        f = self.start("exports.handler = async (event) => event")
        self.assertEqual(f.invoke(b'{"a":').json["errorType"], "SyntaxError")
        self.assertEqual(f.invoke(b" 1 ").json, 1)

    def test_unicode_both_ways(self):
        f = self.start(
            "exports.handler = async (e) => { console.log(e); return [...e].reverse().join('') }"
        )
        self.assertEqual(f.invoke("Grüße 🦟 漢字").json, "字漢 🦟 eßürG")
        self.assertIn("\tINFO\tGrüße 🦟 漢字\n", f.log())

    def test_six_megabytes_both_ways(self):
        f = self.start("exports.handler = async (event) => event")
        text = "0123456789abcdef" * (6 * 1024 * 1024 // 16)
        for _ in range(3):
            self.assertEqual(f.invoke(text).json, text)

    def test_a_tenant_is_told_and_logged(self):
        code = "exports.handler = async (event, c) => { console.error('said'); return c.tenantId ?? null }"
        f = self.start(code, environment={"AWS_LAMBDA_LOG_FORMAT": "JSON"})
        self.assertEqual(f.invoke({}, Lambda_Runtime_Aws_Tenant_Id="blue").json, "blue")
        self.assertIn('"tenantId":"blue"', f.log())
        self.assertIsNone(f.invoke({}).json)

    def test_the_context(self):
        code = """
exports.handler = async (event, c) => [c.functionName, c.functionVersion, c.invokedFunctionArn,
  c.memoryLimitInMB, c.awsRequestId, c.logGroupName, c.logStreamName, c.identity, c.clientContext,
  c.callbackWaitsForEmptyEventLoop,
  process.env._X_AMZN_TRACE_ID, c.getRemainingTimeInMillis() > 0 && c.getRemainingTimeInMillis() <= 300000];
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
                True,
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
                True,
            ],
        )
        self.assertIsNone(f.invoke({}, Lambda_Runtime_Trace_Id=None).json[10])
        client = '{"custom":{"k":"v"}}'
        self.assertEqual(f.invoke({}, Lambda_Runtime_Client_Context=client).json[8], {"custom": {"k": "v"}})

    def test_console_has_lambdas_format(self):
        code = """
console.log('early');
exports.handler = async () => {
  console.info('a %s', 'b', { c: 1 });
  console.warn('two\\nlines');
  console.error(new Error('shown'));
  console.debug('d');
};
"""
        f = self.start(code)
        request_id = f.send({})
        f.outcome()
        lines = f.log().split("\n")
        self.assertRegex(lines[0], "^%s\tundefined\tINFO\tearly$" % STAMP)
        self.assertRegex(lines[1], "^%s\t%s\tINFO\ta b { c: 1 }$" % (STAMP, request_id))
        self.assertRegex(lines[2], "^%s\t%s\tWARN\ttwo\rlines$" % (STAMP, request_id))
        self.assertRegex(lines[3], "^%s\t%s\tERROR\tError: shown\r +at " % (STAMP, request_id))
        self.assertRegex(lines[4], "^%s\t%s\tDEBUG\td$" % (STAMP, request_id))

    def test_console_as_json(self):
        code = """
exports.handler = async () => { console.debug('quiet'); console.log({ order: 7 }); throw new Error('no'); };
"""
        f = self.start(code, environment={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"})
        request_id = f.send({})
        f.outcome()
        order, failed = [json.loads(line) for line in f.log().splitlines()]
        self.assertRegex(order.pop("timestamp"), "^%s$" % STAMP)
        self.assertEqual(order, {"level": "INFO", "requestId": request_id, "message": {"order": 7}})
        self.assertEqual((failed["level"], failed["message"]["errorMessage"]), ("ERROR", "no"))

    def test_exiting_loses_no_line(self):
        code = "for (let i = 0; i < 2000; i++) console.log(i); process.exit(3);"
        f = self.start("exports.handler = async () => { %s }" % code)
        f.send({})
        self.assertEqual(f.exit_code(), 3)
        self.assertEqual(f.log().count("\n"), 2000)
        self.assertTrue(f.outcomes.empty())

    def test_a_closed_connection_is_opened_again(self):
        f = self.start("exports.handler = async (event) => event")
        f.drop_after_post = True
        self.assertEqual([f.invoke(n).json for n in range(5)], list(range(5)))

    def test_a_result_may_be_answered_with_the_next_event(self):
        f = self.start("exports.handler = async (event) => event")
        f.holds = True
        self.assertEqual([f.invoke(n).json for n in range(5)], list(range(5)))
        self.assertEqual(f.ready_at.qsize(), 1, "one request for an event, the first")

    def test_a_refused_result_does_not_end_the_process(self):
        f = self.start("exports.handler = async (event) => event")
        f.refuse = [413, 400]
        self.assertEqual([f.invoke(n).json for n in range(3)], [0, 1, 2])
        self.assertEqual(f.log().count("The platform answered"), 1)

    def test_module_paths(self):
        f = self.start(
            "exports.handler = async () => process.env.NODE_PATH", environment={"NODE_PATH": "/mine"}
        )
        path = f.invoke().json.split(":")
        self.assertEqual(path[0], "/mine")
        self.assertEqual(path[2:4], ["/opt/nodejs/node_modules", "/opt/nodejs"])
        f = self.start(
            "exports.handler = async () => require('extra')",
            files={"shared/extra.js": "module.exports = 'from the path'"},
            environment={"NODE_PATH": "shared"},
        )
        self.assertEqual(f.invoke().json, "from the path")


class NodeFromASnapshot(Node):
    """All of the above again, from a start-up snapshot of the client."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        blob = os.path.join(folder.name, "client.blob")
        start = [NODE, "--max-old-space-size=115", "--snapshot-blob", blob]
        builder = os.path.join(ROOT, "runtimes", "node", "snapshot.cjs")
        subprocess.run([*start, "--build-snapshot", builder], check=True, capture_output=True, timeout=300)
        cls.COMMAND = [*start, BOOTSTRAP]

    def test_a_forked_process_runs_its_own_program(self):
        child = "process.send([process.argv.length, process.execArgv, Math.random()])"
        code = """
        const { fork } = require('child_process');
        exports.handler = () => new Promise((done) => fork(__dirname + '/child.js').on('message', done));
        """
        f = self.start(code, files={"child.js": child})
        (length, flags, one), (_, _, other) = f.invoke().json, f.invoke().json
        self.assertEqual((length, flags), (2, ["--max-old-space-size=115"]))
        self.assertNotEqual(one, other)

    def test_randomness_and_time_are_of_the_start(self):
        code = """
        const { randomUUID } = require('crypto');
        const drawn = [Math.random(), randomUUID(), Date.now(), process.pid, process.argv[1]];
        exports.handler = async () => drawn;
        """
        one, other = (self.start(code).invoke().json for _ in range(2))
        self.assertTrue(all(a != b for a, b in zip(one[:4], other[:4])), (one, other))
        self.assertEqual(one[4], BOOTSTRAP)


if __name__ == "__main__":
    unittest.main()
