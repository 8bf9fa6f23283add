"""What is compiled ahead: cold starts of Java and Node.js 24 with what their deploys left behind, beside the bare runtimes.

As in `cold_starts`, the Init Duration of the REPORT line counts, and nothing waits booted. Without the archive are Java
functions that set flags of their own.
"""

import contextlib
import os
import pathlib
import subprocess
import tempfile

import cold_starts
import guests
import mayfly
import tools
from table import ms, p50

ROUNDS = 9
JAVA = """
package shop;

public class App {
    %s
    public String handleRequest(java.util.Map<String, Object> event) throws Exception {
        return String.valueOf(java.nio.file.Files.readString(java.nio.file.Path.of("/proc/self/maps")).contains("/loaded.jsa"));
    }
}
"""
CLIENT = """final Object client = software.amazon.awssdk.services.s3.S3Client.builder()
        .region(software.amazon.awssdk.regions.Region.US_EAST_1)
        .credentialsProvider(software.amazon.awssdk.auth.credentials.AnonymousCredentialsProvider.create()).build();"""
BARE = """
public class Bare {
    %s
    public static void main(String[] port) throws Exception {
        new Bare();
        java.net.Socket socket = new java.net.Socket("127.0.0.1", Integer.parseInt(port[0]));
        socket.getOutputStream().write(1);
        socket.getInputStream().read();
    }
}
"""
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>mayfly</groupId><artifactId>bench</artifactId><version>1</version><dependencies><dependency>
<groupId>software.amazon.awssdk</groupId><artifactId>s3</artifactId><version>2.57.8</version></dependency></dependencies></project>"""
NODE = """const { S3Client } = require('@aws-sdk/client-s3');
new S3Client({ region: 'us-east-1' });
exports.handler = async () => process.env.NODE_COMPILE_CACHE ? 'true' : 'false';
"""


def measure(table):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "node24").symlink_to(guests.node("24"))
        running = stack.enter_context(mayfly.server(cold_starts.KINDS["plain"]))
        running.stop()
        running.start({"PATH": f"{folder}:{os.environ['PATH']}"})
        for what, field, jars in (("nothing", "", []), ("AWS SDK for S3", CLIENT, sdk())):
            bare = java(folder / "bare", "Bare", BARE % field, jars)
            path = ":".join(map(str, [bare, *jars]))
            floor = ["java", *"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -cp".split(), path, "Bare", "%d"]
            classes = java(folder / f"app-{len(jars)}", "App", JAVA % field, jars)
            files = {str(one.relative_to(classes)): one.read_bytes() for one in classes.rglob("*.class")}
            files |= {f"lib/{jar.name}": jar.read_bytes() for jar in jars}
            rows(table, running, f"Java, {what}", files, floor, runtime="java17", handler="shop.App", MemorySize=1024)
        modules = {f"node_modules/{one.relative_to(cold_starts.SDK)}": one.read_bytes() for one in cold_starts.sdk_files()}
        imports = NODE.replace("@aws-sdk", f"{cold_starts.SDK}/@aws-sdk") + cold_starts.CONNECT["nodejs"]
        floor = [str(folder / "node24"), "--no-warnings", "-e", imports]
        rows(table, running, "Node.js 24, AWS SDK v3 for S3", {"app.js": NODE, **modules}, floor, runtime="nodejs24.x",
             MemorySize=512)


def rows(table, running, what, files, bare, **function):
    functions, name = running.client("lambda"), "".join(filter(str.isalnum, what))
    mayfly.create(functions, name, files, Timeout=60, **function)
    kinds = {"from what was compiled ahead": ({}, "true")}
    if function["runtime"].startswith("java"):
        kinds["without an archive"] = ({"JAVA_TOOL_OPTIONS": "-Dnone=1"}, "false")
    mayfly.until(lambda: cold(functions, name, {})[1] == "true", every=0.2)
    took = {kind: [] for kind in [*kinds, "bare"]}
    for _ in range(ROUNDS):
        for kind, (variables, expected) in kinds.items():
            duration, answer = cold(functions, name, variables)
            assert answer == expected, (kind, answer)
            took[kind].append(duration)
        took["bare"].append(cold_starts.start(bare))
    floor = p50(took["bare"])
    for kind in kinds:
        middle = p50(took[kind])
        table.row(f"{what}, {kind}, p50", ms(middle), floor=f"bare runtime {ms(floor)}", ratio=middle / floor)


def cold(functions, name, variables):
    """Milliseconds of initialisation of a new instance, and its answer."""
    variables = {"Variables": {**variables, "ROUND": os.urandom(4).hex()}}
    functions.update_function_configuration(FunctionName=name, Environment=variables)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    answer = functions.invoke(FunctionName=name, LogType="Tail", Payload=b"{}")
    duration = cold_starts.duration(answer, "Init")
    return duration, answer["Payload"].read().decode().strip('"')


def java(into, name, source, jars):
    """The folder of a compiled class."""
    into.mkdir(parents=True, exist_ok=True)
    file = into / f"{name}.java"
    file.write_text(source)
    path = ["-cp", ":".join(map(str, jars))] if jars else []
    subprocess.run(["javac", "--release", "17", *path, "-d", into, file], check=True)
    return into


def sdk():
    """The jars of the AWS SDK for Java's S3 client, from Maven Central."""
    tools.need("mvn", "maven")
    place = tools.CACHE / "java-sdk"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        pom = place.with_suffix(".xml")
        pom.write_text(POM)
        command = ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={place}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return sorted(place.glob("*.jar"))
