"""The Java client. Skipped, and says so, on a machine without a JDK.

The interfaces of aws-lambda-java-core are the function's own affair, so the ones used here are written
below in the shape that the developer guide documents.
"""

import os
import shutil
import subprocess
import tempfile
import unittest

from fake_api import ROOT, Function

SOURCES = os.path.join(ROOT, "runtimes", "java", "src", "mayfly")
CORE = "com.amazonaws.services.lambda.runtime"

INTERFACES = {
    "Context": """public interface Context {
        String getAwsRequestId(); String getLogGroupName(); String getLogStreamName();
        String getFunctionName();
        String getFunctionVersion(); String getInvokedFunctionArn(); CognitoIdentity getIdentity();
        ClientContext getClientContext(); int getRemainingTimeInMillis(); int getMemoryLimitInMB();
        LambdaLogger getLogger(); default String getTenantId() { return null; } }""",
    "CognitoIdentity": """public interface CognitoIdentity {
        String getIdentityId(); String getIdentityPoolId(); }""",
    "ClientContext": """public interface ClientContext {
        Client getClient(); java.util.Map<String, String> getCustom();
        java.util.Map<String, String> getEnvironment(); }""",
    "Client": "public interface Client { String getInstallationId(); String getAppTitle(); }",
    "LambdaLogger": """public interface LambdaLogger { void log(String message); void log(byte[] message);
        default void log(String message, Object level) { log(message); } }""",
    "RequestHandler": "public interface RequestHandler<I, O> { O handleRequest(I input, Context context); }",
    "RequestStreamHandler": """public interface RequestStreamHandler {
        void handleRequest(java.io.InputStream in, java.io.OutputStream out, Context context)
            throws java.io.IOException; }""",
}

HANDLERS = {
    "Basics": """
public class Basics implements RequestHandler<Map<String, Object>, Map<String, Object>> {
    private int count;
    public Map<String, Object> handleRequest(Map<String, Object> event, Context c) {
        Map<String, Object> out = new TreeMap<>(event);
        out.put("count", ++count);
        return out;
    }
    public String text(String event, Context c) { return new StringBuilder(event).reverse().toString(); }
    public int plus(int n) { return n + 1; }
    public String nothing() { return null; }
    public static List<Integer> doubled(List<Integer> numbers) {
        List<Integer> out = new ArrayList<>();
        for (Integer n : numbers) out.add(n * 2);
        return out;
    }
    public Object echo(Object event) { System.out.println(event); return event; }
    public double[] doubles() { return new double[] {1.5, Double.NaN}; }
    public Object circle() { List<Object> a = new ArrayList<>(); a.add(a); return a; }
    public void fail(Map<String, Object> event) throws Exception {
        throw new java.io.IOException("boom", new IllegalStateException("deep"));
    }
    public void exit() { System.out.print("bye\\n"); System.exit(3); }
    public void overflow() { overflow(); }
}""",
    "Orders": """
public class Orders implements RequestHandler<Orders.Order, Orders.Receipt> {
    public enum Kind { GIFT, PLAIN }
    public static class Item {
        private String name; private long price; private boolean fresh;
        public String getName() { return name; }
        public void setName(String name) { this.name = name; }
        public long getPrice() { return price; }
        public void setPrice(long price) { this.price = price; }
        public boolean isFresh() { return fresh; }
        public void setFresh(boolean fresh) { this.fresh = fresh; }
    }
    public static class Order {
        private List<Item> items; private Kind kind; private Map<String, Double> rates;
        public void setItems(List<Item> items) { this.items = items; }
        public void setKind(Kind kind) { this.kind = kind; }
        public void setRates(Map<String, Double> rates) { this.rates = rates; }
    }
    public record Receipt(Kind kind, long total, Item first, Double rate) {}
    public Receipt handleRequest(Order order, Context c) {
        long total = 0;
        for (Item item : order.items) total += item.getPrice();
        return new Receipt(order.kind, total, order.items.get(0), order.rates.get("eur"));
    }
    public Receipt back(Receipt receipt) { return receipt; }
}""",
    "Streams": """
public class Streams implements RequestStreamHandler {
    public void handleRequest(java.io.InputStream in, java.io.OutputStream out, Context c)
            throws java.io.IOException {
        byte[] all = in.readAllBytes();
        out.write(("{\\"size\\":" + all.length + "}").getBytes());
    }
}""",
    "Base": """
public abstract class Base<T> implements RequestHandler<T, String> {
    public String handleRequest(T event, Context c) {
        return event.getClass().getSimpleName() + " " + take(event);
    }
    protected abstract String take(T event);
}""",
    "Derived": """
public class Derived extends Base<Derived.Ping> {
    public record Ping(String word) {}
    protected String take(Ping ping) { return ping.word(); }
}""",
    "Contexts": """
public class Contexts implements RequestHandler<Object, List<Object>> {
    public List<Object> handleRequest(Object event, Context c) {
        c.getLogger().log("two\\nlines");
        c.getLogger().log("levelled", "WARN");
        int left = c.getRemainingTimeInMillis();
        List<Object> out = new ArrayList<>(Arrays.asList(c.getFunctionName(), c.getFunctionVersion(),
            c.getInvokedFunctionArn(), c.getMemoryLimitInMB(), c.getAwsRequestId(), c.getLogGroupName(),
            c.getLogStreamName(), left > 0 && left <= 300000,
            System.getProperty("com.amazonaws.xray.traceHeader")));
        if (c.getClientContext() != null) {
            out.add(c.getClientContext().getClient().getAppTitle());
            out.add(c.getClientContext().getCustom());
            out.add(c.getIdentity().getIdentityId());
        }
        if (c.getTenantId() != null) {
            out.add(c.getTenantId());
        }
        return out;
    }
}""",
    "Unready": """
public class Unready {
    public Unready() { throw new IllegalStateException("no setting"); }
    public void go() {}
}""",
    "Closed": "public class Closed { public Closed(int n) {} public void go() {} }",
}


def compile_into(folder, files):
    paths = []
    for name, text in files.items():
        path = os.path.join(folder, "src", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        paths.append(path)
    subprocess.run(["javac", "--release", "17", "-d", os.path.join(folder, "task")] + paths, check=True)


@unittest.skipUnless(
    shutil.which("javac") and shutil.which("java"), "no JDK on this machine: the Java client is not tested"
)
class Java(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="mayfly-java-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        client = [os.path.join(SOURCES, name) for name in sorted(os.listdir(SOURCES))]
        build = os.path.join(cls.folder, "client")
        subprocess.run(
            ["javac", "--release", "17", "-Xlint:all", "-Werror", "-d", build] + client, check=True
        )
        files = {"core/%s.java" % n: "package %s;\n%s" % (CORE, code) for n, code in INTERFACES.items()}
        start = "package shop;\nimport java.util.*;\nimport %s.*;\n" % CORE
        files.update({"shop/%s.java" % n: start + code for n, code in HANDLERS.items()})
        compile_into(cls.folder, files)
        flags = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m", "-Xss512k"]
        path = build + ":" + os.path.join(cls.folder, "task")
        cls.command = ["java"] + flags + ["-cp", path, "mayfly.Bootstrap"]

    def start(self, handler):
        function = Function(self.command, {}, handler)
        self.addCleanup(function.close)
        return function

    def test_maps_and_reuse(self):
        f = self.start("shop.Basics")
        event = {"a": [1, 2.5, "x", None, True], "big": 2**40, "huge": 2**70}
        self.assertEqual(f.invoke(event).json, {**event, "count": 1})
        self.assertEqual([f.invoke({}).json["count"] for _ in range(20)], list(range(2, 22)))

    def test_methods_of_many_shapes(self):
        cases = [
            ("text", "Grüße 🦟 漢字", "字漢 🦟 eßürG"),
            ("plus", 41, 42),
            ("nothing", {"ignored": 1}, None),
            ("doubled", [1, 2], [2, 4]),
            ("doubles", None, [1.5, "NaN"]),
        ]
        for method, event, expected in cases:
            f = self.start("shop.Basics::" + method)
            outcome = f.invoke(event)
            self.assertEqual((outcome.kind, outcome.json), ("response", expected), method)

    def test_json_and_output_survive_unicode_and_escapes(self):
        f = self.start("shop.Basics::echo")
        event = {'é\n\t"\\/': "\u2028 \x00 \U0001f600", "e": [], "o": {}, "n": -0.5, "x": 1e300}
        self.assertEqual(f.invoke(event).json, event)
        self.assertEqual(f.invoke("Grüße 🦟 漢字").json, "Grüße 🦟 漢字")
        self.assertIn("Grüße 🦟 漢字\n", f.log())

    def test_events_that_are_not_json(self):
        f = self.start("shop.Basics::echo")
        for bad in (b'{"a":', b"", b"[1] 2", b"01", b"nul", b'"\\x"', b"[" * 100_000):
            self.assertEqual(
                f.invoke(bad).json["errorType"], "java.lang.IllegalArgumentException", bad[:20]
            )
        self.assertEqual(f.invoke(b" [1]\n").json, [1])

    def test_objects_records_enums_and_generics(self):
        f = self.start("shop.Orders")
        order = {
            "Items": [
                {"name": "pen", "price": 3, "fresh": True, "unknown": 0},
                {"name": "ink", "price": 2**33},
            ],
            "kind": "GIFT",
            "rates": {"eur": 1},
        }
        self.assertEqual(
            f.invoke(order).json,
            {
                "kind": "GIFT",
                "total": 3 + 2**33,
                "first": {"fresh": True, "name": "pen", "price": 3},
                "rate": 1.0,
            },
        )
        wrong = f.invoke({"items": "none"}).json
        self.assertEqual(wrong["errorMessage"], "the event has a String where java.util.List is wanted")
        receipt = {"kind": None, "total": 7, "first": None, "rate": 0.5}
        self.assertEqual(self.start("shop.Orders::back").invoke(receipt).json, receipt)

    def test_streams_of_six_megabytes(self):
        f = self.start("shop.Streams")
        size = 6 * 1024 * 1024
        for _ in range(3):
            self.assertEqual(f.invoke(b'"' + b"x" * (size - 2) + b'"').json, {"size": size})

    def test_six_megabytes_both_ways(self):
        text = "0123456789abcdef" * (6 * 1024 * 1024 // 16)
        self.assertEqual(self.start("shop.Basics::echo").invoke(text).json, text)

    def test_a_generic_base_class(self):
        self.assertEqual(self.start("shop.Derived").invoke({"word": "hi"}).json, "Ping hi")

    def test_the_context(self):
        f = self.start("shop.Contexts")
        request_id = f.send({})
        self.assertEqual(
            f.outcome().json,
            [
                "photos",
                "$LATEST",
                "arn:aws:lambda:us-east-1:000000000000:function:photos",
                256,
                request_id,
                "/aws/lambda/photos",
                "2026/11/23/[$LATEST]abc",
                True,
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            ],
        )
        self.assertEqual(f.log(), "two\rlines\nlevelled\n")
        client = '{"client":{"app_title":"Mayfly"},"custom":{"k":"v"}}'
        identity = '{"cognitoIdentityId":"id-1","cognitoIdentityPoolId":"pool-1"}'
        outcome = f.invoke(
            {}, Lambda_Runtime_Client_Context=client, Lambda_Runtime_Cognito_Identity=identity
        )
        self.assertEqual(outcome.json[9:], ["Mayfly", {"k": "v"}, "id-1"])
        self.assertEqual(f.invoke({}, Lambda_Runtime_Aws_Tenant_Id="blue").json[9:], ["blue"])

    def test_an_exception_becomes_an_error_document(self):
        f = self.start("shop.Basics::fail")
        outcome = f.invoke({})
        self.assertEqual(outcome.kind, "error")
        self.assertEqual(outcome.headers["Lambda-Runtime-Function-Error-Type"], "java.io.IOException")
        error = outcome.json
        self.assertEqual((error["errorMessage"], error["errorType"]), ("boom", "java.io.IOException"))
        self.assertRegex(error["stackTrace"][0], r"^shop\.Basics\.fail\(Basics\.java:\d+\)$")
        self.assertEqual(len(error["stackTrace"]), 1)
        self.assertEqual(error["cause"]["errorType"], "java.lang.IllegalStateException")
        self.assertTrue(
            f.log().startswith(
                "boom: java.io.IOException\rjava.io.IOException: boom\r\tat shop.Basics.fail"
            )
        )
        self.assertEqual(f.log().count("\n"), 1)
        self.assertEqual(f.invoke({}).kind, "error")

    def test_a_circular_result(self):
        outcome = self.start("shop.Basics::circle").invoke({})
        self.assertEqual(
            (outcome.kind, outcome.json["errorType"]), ("error", "java.lang.IllegalArgumentException")
        )

    def test_an_error_of_the_machine_ends_the_process(self):
        f = self.start("shop.Basics::overflow")
        self.assertEqual(f.invoke({}).json["errorType"], "java.lang.StackOverflowError")
        self.assertEqual(f.exit_code(), 1)

    def test_exiting_ends_the_process(self):
        f = self.start("shop.Basics::exit")
        f.send({})
        self.assertEqual((f.exit_code(), f.log()), (3, "bye\n"))
        self.assertTrue(f.outcomes.empty())

    def test_init_errors(self):
        cases = [
            ("shop.Nowhere::go", "java.lang.ClassNotFoundException", "Class not found: shop.Nowhere"),
            (
                "shop.Basics::gone",
                "java.lang.NoSuchMethodException",
                "No public method named gone with appropriate method signature found on class shop.Basics",
            ),
            (
                "shop.Closed::go",
                "java.lang.NoSuchMethodException",
                "Class shop.Closed has no public zero-argument constructor",
            ),
            ("shop.Unready::go", "java.lang.IllegalStateException", "no setting"),
            ("", "java.lang.IllegalArgumentException", "Bad handler: _HANDLER is empty"),
        ]
        for handler, kind, message in cases:
            f = self.start(handler)
            outcome = f.outcome()
            self.assertEqual(outcome.kind, "init-error")
            self.assertEqual((outcome.json["errorType"], outcome.json["errorMessage"]), (kind, message))
            self.assertEqual(f.exit_code(), 1)
            self.assertIn(message, f.log())

    def test_a_closed_connection_is_opened_again(self):
        f = self.start("shop.Basics::echo")
        f.drop_after_post = True
        self.assertEqual([f.invoke(n).json for n in range(5)], list(range(5)))


if __name__ == "__main__":
    unittest.main()
