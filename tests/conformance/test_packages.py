"""Packages of every size: what is too large is refused in AWS's words, and what is large costs the server no memory."""

import io
import pathlib
import zipfile

import botocore.exceptions
import mayfly
import pytest
from mayfly import create, invoke

MIB = 1 << 20


def archive(files, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as writer:
        for name, size in files.items():
            content = size if isinstance(size, (bytes, str)) else bytes(size)
            writer.writestr(name, content)
    return out.getvalue()


def refusal(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]


def made(name, code):
    return {"FunctionName": name, "Runtime": "python3.11", "Handler": "app.handler", "Role": mayfly.ROLE, "Code": code}


def test_a_package_over_the_inline_limit_comes_from_a_bucket_with_flat_memory():
    handler = "import os\ndef handler(e, c):\n    return os.path.getsize('/var/task/model.bin')\n"
    large = archive({"app.py": handler, "model.bin": 200 * MIB})
    with mayfly.server() as cloud:
        functions, objects = cloud.client("lambda"), cloud.client("s3")
        status, error = refusal(functions.create_function,
                                **made("inline", {"ZipFile": archive({"app.py": handler, "model.bin": 51 * MIB})}))
        assert status == 413 and error["Code"] == "RequestEntityTooLargeException", error
        objects.create_bucket(Bucket="packages")
        objects.put_object(Bucket="packages", Key="large.zip", Body=large)
        status_file = pathlib.Path(f"/proc/{cloud.process.pid}")

        def resident(name):
            line = next(line for line in (status_file / "status").read_text().splitlines() if line.startswith(name))
            return int(line.split()[1]) >> 10

        # The high-water mark begins anew here.
        (status_file / "clear_refs").write_text("5")
        before = resident("VmRSS")
        functions.create_function(**made("large", {"S3Bucket": "packages", "S3Key": "large.zip"}))
        functions.get_waiter("function_active_v2").wait(FunctionName="large", WaiterConfig={"Delay": 1})
        assert invoke(functions, "large")[1] == 200 * MIB
        grown = resident("VmHWM") - before
        assert grown < 64, f"a package of 200 MiB cost {grown} MiB of memory"
        assert functions.get_function_configuration(FunctionName="large")["CodeSize"] == len(large)
        objects.put_object(Bucket="packages", Key="huge.zip", Body=archive({"app.py": handler, "model.bin": 251 * MIB}))
        status, error = refusal(functions.create_function, **made("huge", {"S3Bucket": "packages", "S3Key": "huge.zip"}))
        assert status in (400, 413), error


def test_a_bomb_is_refused_by_what_it_really_inflates_to(cloud, functions, objects):
    bomb = archive({"app.py": "def handler(e, c): pass\n", "zeros": 300 * MIB}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < MIB
    status, error = refusal(functions.create_function, **made("bomb", {"ZipFile": bomb}))
    assert status == 400 and error["Code"] == "InvalidParameterValueException"
    assert error["Message"] == "Unzipped size must be smaller than 262144000 bytes", error
    # A head that claims less than what follows is not believed.
    lying = bytearray(bomb)
    at = bomb.rindex(b"PK\x01\x02")
    lying[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    assert refusal(functions.create_function, **made("bomb", {"ZipFile": bytes(lying)}))[0] == 400
    objects.create_bucket(Bucket="bombs")
    objects.put_object(Bucket="bombs", Key="bomb.zip", Body=bomb)
    status, _ = refusal(functions.create_function, **made("bomb", {"S3Bucket": "bombs", "S3Key": "bomb.zip"}))
    assert status == 400
    status, _ = refusal(functions.publish_layer_version, LayerName="bomb", Content={"ZipFile": bomb})
    assert status == 400
    status, _ = refusal(functions.create_function, **made("bomb", {"S3Bucket": "bombs", "S3Key": "absent.zip"}))
    assert status in (400, 404)


def test_paths_that_leave_the_folder_are_refused_and_odd_ones_are_not(functions):
    for name in ("../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "./../evil"):
        package = archive({"app.py": "def handler(e, c): pass\n", name: "x"})
        status, error = refusal(functions.create_function, **made("paths", {"ZipFile": package}))
        assert status == 400 and error["Code"] == "InvalidParameterValueException", name
    odd = {"./app.py": "def handler(e, c):\n    import os\n    return sorted(os.listdir('/var/task'))\n",
           "ü ö.txt": "x", "-rf": "x", "a..b": "x"}
    create(functions, "odd-names", odd)
    assert invoke(functions, "odd-names")[1] == sorted(["app.py", "ü ö.txt", "-rf", "a..b"])
