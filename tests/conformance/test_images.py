"""Functions that are container images: built here without Docker, pushed, pulled, run, and hostile ones refused."""

import json
import shutil
import socket
import subprocess
import tarfile
import urllib.request

import boto3
import botocore.exceptions
import images
import mayfly
import pytest
from images import Image, Registry, entry, python_image, sha256, skopeo, tar
from mayfly import invoke, until

APP = """
import os, sys
def handler(event, context):
    if event == "environment":
        return {**os.environ, "directory": os.getcwd(), "arguments": sys.argv}
    if event == "files":
        return {path: sorted(os.listdir(path)) for path in ("/", "/dev", "/etc")}
    return ["APP", event]
"""


def layers_of(cloud):
    return {path.name for path in (cloud.data / "cache" / "images" / "layers").iterdir() if path.name[0] != "."}


def blobs_of(cloud, image):
    names = [layer["digest"].removeprefix("sha256:") for layer in image.layers]
    return [path for name in names for path in (cloud.data / "blobs").glob(f"*/layer-{name}")]


def failed(cloud, name):
    """Why a function is not to be had."""
    aws = cloud.client("lambda")
    state = until(lambda: (now := aws.get_function_configuration(FunctionName=name))["State"] != "Pending" and now)
    assert state["State"] == "Failed", state
    return state["StateReasonCode"], state["StateReason"]


def test_an_image_brings_its_own_client_command_and_environment(cloud, functions):
    script = """#!/bin/sh
if [ -z "${AWS_LAMBDA_RUNTIME_API}" ]; then exec /usr/local/bin/aws-lambda-rie "$@"; fi
exec python3 /client.py "$@"
"""
    base = Image(images.python())
    image = Image(
        images.python(), tar({"var/task/app.py": APP.replace("APP", "one"), "entry.sh*": script, "work/here": ""}),
        Entrypoint=["/entry.sh"], Cmd=["app.handler"], WorkingDir="/work",
        Env=["FROM=image", "OWN=image", "PATH=/usr/bin:/bin", "LAMBDA_TASK_ROOT=/var/task"],
    )
    made = images.create(cloud, "imaged", image, Environment={"Variables": {"OWN": "function"}}, Timeout=20)
    assert (made["State"], made["PackageType"], made["CodeSize"]) == ("Pending", "Image", 0)
    assert made["CodeSha256"] == image.digest.removeprefix("sha256:")
    assert "Runtime" not in made and "Handler" not in made
    assert invoke(functions, "imaged", "hello")[1] == ["one", "hello"]
    environment = invoke(functions, "imaged", "environment")[1]
    expected = {"FROM": "image", "OWN": "function", "directory": "/work", "AWS_LAMBDA_FUNCTION_NAME": "imaged",
                "AWS_EXECUTION_ENV": "AWS_Lambda_Image", "PATH": "/usr/bin:/bin"}
    assert {name: environment[name] for name in expected} == expected
    assert "_HANDLER" not in environment
    seen = invoke(functions, "imaged", "files")[1]
    assert "entry.sh" in seen["/"] and not {"boot", "home", "mnt", "opt", "run", "sbin", "srv", "sys"} & set(seen["/"])
    assert set(seen["/etc"]) == {"hosts", "resolv.conf"}
    assert {"null", "zero", "urandom"} <= set(seen["/dev"])

    got = functions.get_function(FunctionName="imaged")["Code"]
    uri = got["ImageUri"]
    assert got["RepositoryType"] == "ECR" and got["ResolvedImageUri"] == f"{uri.rpartition(':')[0]}@{image.digest}"

    # What the function says goes before what the image says.
    functions.update_function_configuration(
        FunctionName="imaged", ImageConfig={"EntryPoint": ["python3", "/client.py"], "Command": ["other.handler"],
                                            "WorkingDirectory": "/var/task"})
    functions.get_waiter("function_updated_v2").wait(FunctionName="imaged", WaiterConfig={"Delay": 1})
    shown = functions.get_function_configuration(FunctionName="imaged")["ImageConfigResponse"]["ImageConfig"]
    assert shown["Command"] == ["other.handler"] and shown["WorkingDirectory"] == "/var/task"
    answer, broken = invoke(functions, "imaged", "hello")
    assert answer["FunctionError"] == "Unhandled" and broken["errorType"] == "ModuleNotFoundError"

    # A second image on the same base shares its layer, on the disk and beside it.
    images.create(cloud, "sibling", python_image({"app.py": APP.replace("APP", "two")}), Timeout=20)
    assert invoke(functions, "sibling", 1)[1] == ["two", 1]
    assert len(blobs_of(cloud, base)) == 1
    client = cloud.data / "cache" / "images" / "layers" / base.layers[0]["digest"].removeprefix("sha256:")
    assert (client / "files" / "client.py").stat().st_nlink >= 3


def test_an_image_may_serve_http(cloud, functions):
    server = """
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ("web " + self.path).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("", int(os.environ["PORT"])), Hello).serve_forever()
"""
    image = python_image({"serve.py": server}, Entrypoint=["/usr/bin/python3"], Cmd=["/var/task/serve.py"])
    images.create(cloud, "web-image", image, Runtime="web", Timeout=20)
    functions.add_permission(FunctionName="web-image", StatementId="url", Action="lambda:InvokeFunctionUrl",
                             Principal="*", FunctionUrlAuthType="NONE")
    url = functions.create_function_url_config(FunctionName="web-image", AuthType="NONE")["FunctionUrl"]
    id = url.split("//")[1].split(".")[0]
    with urllib.request.urlopen(f"{cloud.endpoint}/_url/{id}/a?b=c") as answer:
        assert answer.read() == b"web /a?b=c"


def test_an_update_serves_the_old_image_until_the_new_one_is_there(cloud, functions):
    registry = Registry.of(cloud)
    images.create(cloud, "moving", python_image({"app.py": APP.replace("APP", "old")}), Timeout=20, Publish=True)
    assert invoke(functions, "moving", 1)[1] == ["old", 1]
    uri = registry.push("moving", python_image({"app.py": APP.replace("APP", "new")}), "v2")
    functions.update_function_code(FunctionName="moving", ImageUri=uri)
    assert invoke(functions, "moving", 1)[1] in (["old", 1], ["new", 1])
    functions.get_waiter("function_updated_v2").wait(FunctionName="moving", WaiterConfig={"Delay": 1})
    assert invoke(functions, "moving", 1)[1] == ["new", 1]
    bad = registry.push("moving", Image(images.python(), tar({}, [(entry("../out"), b"x")])), "bad")
    functions.update_function_code(FunctionName="moving", ImageUri=bad)
    done = until(lambda: (now := functions.get_function_configuration(FunctionName="moving"))["LastUpdateStatus"] != "InProgress" and now)
    assert (done["LastUpdateStatus"], done["LastUpdateStatusReasonCode"]) == ("Failed", "InvalidImage")
    assert invoke(functions, "moving", 1)[1] == ["new", 1]
    with pytest.raises(botocore.exceptions.ClientError, match="packageType Image"):
        functions.update_function_code(FunctionName="moving", ZipFile=mayfly.package({"app.py": ""}))


def test_a_function_holds_its_image_through_deletion_and_kill_9_and_leaves_nothing():
    with mayfly.server() as server:
        ecr = server.client("ecr")
        ecr.create_repository(repositoryName="held")
        image = python_image({"app.py": APP.replace("APP", "held")})
        uri = Registry.of(server).push("held", image)
        server.kill()
        server.start()
        images.create(server, "held", image, uri, wait=False, Timeout=20)
        server.kill()
        server.start()
        aws = server.client("lambda")
        until(lambda: aws.get_function_configuration(FunctionName="held")["State"] == "Active")
        assert invoke(aws, "held", 1)[1] == ["held", 1]
        ecr.delete_repository(repositoryName="held", force=True)
        assert len(blobs_of(server, image)) == 2
        # What is unpacked can be made again from what is kept.
        server.kill()
        shutil.rmtree(server.data / "cache")
        server.start()
        assert invoke(aws, "held", 2)[1] == ["held", 2]
        assert len(layers_of(server)) == 2
        aws.delete_function(FunctionName="held")
        until(lambda: not blobs_of(server, image) and not layers_of(server))
        roots = server.data / "cache" / "images" / "roots"
        until(lambda: not list(roots.iterdir()))


def test_hostile_images_are_refused_and_nothing_is_written(cloud, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    link = lambda name, to: (entry(name, type=tarfile.SYMTYPE, linkname=to), b"")
    hard = lambda name, to: (entry(name, type=tarfile.LNKTYPE, linkname=to), b"")
    attempts = {
        "upward": ([(entry("../../evil"), b"x")], "leaves its folder"),
        "within": ([(entry("a/../../evil"), b"x")], "leaves its folder"),
        "through": ([link("out", str(tmp_path)), (entry("out/victim"), b"gone")], "leads through a link"),
        "hard": ([hard("victim", str(victim))], "hard link"),
        "around": ([link("out", str(tmp_path)), hard("victim", "out/victim")], "hard link"),
        "device": ([(entry("sda", type=tarfile.BLKTYPE, devmajor=8), b"")], "device"),
        "pipe": ([(entry("pipe", type=tarfile.FIFOTYPE), b"")], "device"),
        "whiteout": ([(entry(".wh..."), b"")], "leaves its folder"),
    }
    for name, (entries, reason) in attempts.items():
        images.create(cloud, f"hostile-{name}", Image(tar({}, entries), Cmd=["/a"]), wait=False)
        code, why = failed(cloud, f"hostile-{name}")
        assert code == "InvalidImage" and reason in why, (name, why)
    # A whiteout that would lead out by way of a link of the layer below hides nothing.
    below = tar({}, [link("out", str(tmp_path))])
    above = tar({}, [(entry("out/.wh.victim"), b""), (entry("out/.wh..wh..opq"), b"")])
    images.create(cloud, "hostile-hides", Image(images.python(), below, above, Cmd=["/a"]))
    assert victim.read_text() == "kept" and [path.name for path in tmp_path.iterdir()] == ["victim"]
    lying = Image(tar({"a": "a"}), diff_ids=[sha256(b"other")], Cmd=["/a"])
    images.create(cloud, "hostile-lying", lying, wait=False)
    assert "is not what the image's configuration says" in failed(cloud, "hostile-lying")[1]
    answer = pytest.raises(botocore.exceptions.ClientError, invoke, cloud.client("lambda"), "hostile-lying", 1)
    assert "Failed" in str(answer.value)


def test_a_bomb_of_an_image_is_bounded():
    with mayfly.server("[limits]\nimage_unpacked_bytes = 1048576\nimage_files = 50\n") as server:
        images.create(server, "bomb", Image(tar({"zeros": b"\0" * 50_000_000}), Cmd=["/a"]), wait=False)
        assert "more than 1048576 bytes" in failed(server, "bomb")[1]
        halves = [tar({"a": b"\0" * 600_000}), tar({"b": b"\0" * 600_000})]
        images.create(server, "halves", Image(*halves, Cmd=["/a"]), wait=False)
        assert "more than 1048576 bytes" in failed(server, "halves")[1]
        images.create(server, "many", Image(tar({str(n): "" for n in range(60)}), Cmd=["/a"]), wait=False)
        assert "more than 50 files" in failed(server, "many")[1]
        roots = server.data / "cache" / "images"
        assert sum(path.is_file() for path in roots.rglob("*")) <= 10


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Another registry of this machine, without users."""
    with images.stock_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def test_an_image_of_another_registry_is_pulled_once(cloud, functions, elsewhere, tmp_path):
    host, process = elsewhere
    image = python_image({"app.py": APP.replace("APP", "pulled")})
    skopeo("copy", "--dest-tls-verify=false", f"oci:{image.layout(tmp_path / 'in')}:v1", f"docker://{host}/team/app:v1")
    images.create(cloud, "pulled", image, f"{host}/team/app:v1", Timeout=20)
    assert invoke(functions, "pulled", 1)[1] == ["pulled", 1]
    assert functions.get_function(FunctionName="pulled")["Code"]["ResolvedImageUri"] == f"{host}/team/app@{image.digest}"
    for uri in (f"{host}/team/app:none", f"{host}/none:v1"):
        with pytest.raises(botocore.exceptions.ClientError, match="does not exist"):
            images.create(cloud, "pulled-none", image, uri)
    # Once it is here, the other registry is not needed for more functions, except to say what a tag means.
    process.kill()
    process.wait()
    with pytest.raises(botocore.exceptions.ClientError, match="cannot be pulled"):
        images.create(cloud, "pulled-gone", image, f"{host}/team/app:v1")
    functions.update_function_configuration(FunctionName="pulled", MemorySize=256)
    functions.get_waiter("function_updated_v2").wait(FunctionName="pulled", WaiterConfig={"Delay": 1})
    assert invoke(functions, "pulled", 2)[1] == ["pulled", 2]


def test_what_cannot_be_an_image_is_told(cloud, functions):
    image = Image(tar({"a": "a"}), architecture="arm64", Cmd=["/a"])
    cloud.client("ecr").create_repository(repositoryName="told-image")
    registry = Registry.of(cloud)
    uri = registry.push("told-image", image, image.digest)
    manifest = {"mediaType": images.MANIFEST, "digest": image.digest, "size": len(image.manifest),
                "platform": {"os": "linux", "architecture": "arm64"}}
    index = json.dumps({"schemaVersion": 2, "mediaType": images.INDEX, "manifests": [manifest]}).encode()
    assert registry.call("PUT", "/v2/told-image/manifests/many", index, Content_Type=images.INDEX)[0] == 201
    host = cloud.endpoint.removeprefix("http://")
    made = {"FunctionName": "told-image", "Role": mayfly.ROLE, "PackageType": "Image"}
    attempts = [
        ({"Code": {"ImageUri": f"{host}/told-image:none"}}, "does not exist"),
        ({"Code": {"ImageUri": f"{host}/told-image:many"}}, "does not exist"),
        ({"Code": {"ImageUri": "no image"}}, "is not valid"),
        ({"Code": {"ZipFile": mayfly.package({"a": ""})}}, "Please provide ImageUri"),
        ({"Code": {"ImageUri": uri}, "Handler": "a.b"}, "Please don't provide Handler or Runtime or Layer"),
        ({"Code": {"ImageUri": uri}, "Runtime": "python3.12"}, "Please don't provide Handler or Runtime or Layer"),
        ({"Code": {"ImageUri": uri}, "PackageType": "Zip", "Runtime": "python3.12", "Handler": "a.b"}, "package type Image"),
        ({"Code": {"ZipFile": mayfly.package({"a": ""})}, "PackageType": "Zip", "Runtime": "python3.12",
          "Handler": "a.b", "ImageConfig": {"Command": ["x"]}}, "ImageConfig"),
    ]
    for attempt, text in attempts:
        with pytest.raises(functions.exceptions.InvalidParameterValueException, match=text):
            functions.create_function(**{**made, **attempt})
    arm = functions.create_function(**made, Code={"ImageUri": f"{host}/told-image:many"}, Architectures=["arm64"])
    assert arm["Architectures"] == ["arm64"]
    # A name that AWS would give the registry means ours.
    named = f"000000000000.dkr.ecr.us-east-1.amazonaws.com/told-image@{image.digest}"
    assert functions.create_function(**{**made, "FunctionName": "told-aws"}, Code={"ImageUri": named})["State"] == "Pending"


def test_a_function_cannot_have_the_server_fetch_for_it(cloud, functions):
    keys = "import os\ndef handler(e, c): return {k: v for k, v in os.environ.items() if k.startswith('AWS_')}\n"
    mayfly.create(functions, "asks-for-images", {"app.py": keys})
    own = invoke(functions, "asks-for-images")[1]
    client = boto3.client("lambda", endpoint_url=cloud.endpoint, region_name="us-east-1",
                          aws_access_key_id=own["AWS_ACCESS_KEY_ID"], aws_session_token=own["AWS_SESSION_TOKEN"],
                          aws_secret_access_key=own["AWS_SECRET_ACCESS_KEY"])
    made = {"FunctionName": "fetched", "Role": mayfly.ROLE, "PackageType": "Image"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"127.0.0.1:{listener.getsockname()[1]}/secret:v1"
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            client.create_function(**made, Code={"ImageUri": uri})
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    with pytest.raises(botocore.exceptions.ClientError, match="cannot be pulled"):
        functions.create_function(**made, Code={"ImageUri": "127.0.0.1:1/secret:v1"})


def test_a_template_deploys_an_image(cloud, functions, tmp_path):
    image = python_image({"app.py": APP.replace("APP", "deployed")})
    cloud.client("ecr").create_repository(repositoryName="templated")
    uri = Registry.of(cloud).push("templated", image)
    template = tmp_path / "template.yaml"
    text = f"""
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: templated
      PackageType: Image
      ImageUri: {uri}
      ImageConfig: {{Command: [app.handler]}}
      Timeout: 20
"""
    template.write_text(text)
    cloud.run("deploy", tmp_path, "--stack", "templated")
    assert invoke(functions, "templated", 1)[1] == ["deployed", 1]
    other = Registry.of(cloud).push("templated", python_image({"app.py": APP.replace("APP", "again")}), "v2")
    template.write_text(text.replace(uri, other))
    cloud.run("deploy", tmp_path, "--stack", "templated")
    assert invoke(functions, "templated", 1)[1] == ["again", 1]
    template.write_text(text.replace(f"      ImageUri: {uri}\n", "").replace("    Properties:", "    Metadata: {DockerContext: .}\n    Properties:"))
    done = cloud.run("deploy", tmp_path, "--stack", "templated", check=False)
    assert done.returncode != 0 and "ImageUri" in done.stderr and "push" in done.stderr, done.stderr
