"""The registry of container images: a stock client against it, the protocol by hand, and the API over it."""

import json
import threading

import botocore.exceptions
import images
import mayfly
import pytest
from images import Image, Registry, sha256, skopeo, tar


@pytest.fixture(scope="module")
def registry(cloud):
    return Registry.of(cloud)


def repository(cloud, name):
    return cloud.client("ecr").create_repository(repositoryName=name)["repository"]


def test_a_stock_client_pushes_copies_and_pulls(cloud, registry, tmp_path):
    ecr = cloud.client("ecr")
    uri = repository(cloud, "team/stock")["repositoryUri"]
    repository(cloud, "team/copy")
    image = Image(tar({"etc/motd": "hello\n"}), tar({"big": b"x" * 3_000_000}), Cmd=["/app"])
    login = ["--dest-tls-verify=false", "--dest-creds", f"AWS:{registry.password}"]
    source = ["--src-tls-verify=false", "--src-creds", f"AWS:{registry.password}"]
    skopeo("copy", *login, f"oci:{image.layout(tmp_path / 'in')}:v1", f"docker://{uri}:v1")
    # The second push finds the layers by mounting them.
    skopeo("copy", *source, *login, f"docker://{uri}:v1", f"docker://{uri.replace('stock', 'copy')}:v1")
    skopeo("copy", *source, f"docker://{uri.replace('stock', 'copy')}:v1", f"oci:{tmp_path / 'out'}:v1")
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert [one["digest"] for one in index["manifests"]] == [image.digest]
    for digest, data in image.blobs.items():
        assert (tmp_path / "out" / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes() == data
    tags = skopeo("list-tags", "--tls-verify=false", "--creds", f"AWS:{registry.password}", f"docker://{uri}")
    assert json.loads(tags)["Tags"] == ["v1"]

    details = ecr.describe_images(repositoryName="team/stock", imageIds=[{"imageTag": "v1"}])["imageDetails"][0]
    assert details["imageDigest"] == image.digest and details["imageTags"] == ["v1"]
    assert details["imageSizeInBytes"] == sum(map(len, image.blobs.values()))
    got = ecr.batch_get_image(repositoryName="team/stock", imageIds=[{"imageTag": "v1"}, {"imageTag": "none"}])
    assert got["images"][0]["imageManifest"].encode() == image.manifest
    assert got["failures"][0]["failureCode"] == "ImageNotFound"


def test_an_upload_in_chunks_is_checked_and_survives_kill_9():
    with mayfly.server() as server:
        repository(server, "chunks")
        registry = Registry.of(server)
        first, second = b"a" * 700_000, b"b" * 40_000
        whole = sha256(first + second)
        status, headers, _ = registry.call("POST", "/v2/chunks/blobs/uploads/")
        assert status == 202
        location = headers["Location"]
        status, headers, _ = registry.call("PATCH", location, first, Content_Range=f"0-{len(first) - 1}")
        assert (status, headers["Range"]) == (202, f"0-{len(first) - 1}")
        server.kill()
        server.start()
        status, headers, _ = registry.call("GET", location)
        assert (status, headers["Range"]) == (204, f"0-{len(first) - 1}")
        assert registry.code("PATCH", location, second, Content_Range="5-9") == (416, "RANGE_INVALID")
        assert registry.code("PUT", f"{location}?digest={sha256(first)}", second) == (400, "DIGEST_INVALID")
        # What came with the refused end is part of the upload.
        status, headers, _ = registry.call("PUT", f"{location}?digest={whole}")
        assert (status, headers["Docker-Content-Digest"]) == (201, whole)
        server.kill()
        server.start()
        status, headers, body = registry.call("GET", f"/v2/chunks/blobs/{whole}", Range="bytes=699999-700001")
        assert (status, body, headers["Content-Range"]) == (206, b"abb", "bytes 699999-700001/740000")
        assert registry.call("GET", f"/v2/chunks/blobs/{whole}")[2] == first + second
        assert registry.code("GET", f"/v2/chunks/blobs/{whole}", Range="bytes=800000-") == (416, "RANGE_INVALID")
        status, headers, _ = registry.call("HEAD", f"/v2/chunks/blobs/{whole}")
        assert (status, headers["Content-Length"]) == (200, "740000")
        assert registry.call("DELETE", f"/v2/chunks/blobs/{whole}")[0] == 202
        assert registry.call("HEAD", f"/v2/chunks/blobs/{whole}")[0] == 404


def test_images_of_several_machines_are_one_and_deleting_keeps_what_is_named(cloud, registry):
    ecr = cloud.client("ecr")
    repository(cloud, "many")
    image = Image(tar({"a": "a"}))
    other = Image(tar({"a": "a"}), tar({"b": "b"}), architecture="arm64")
    manifests = [
        {"mediaType": images.MANIFEST, "digest": one.digest, "size": len(one.manifest),
         "platform": {"os": "linux", "architecture": architecture}}
        for one, architecture in [(image, "amd64"), (other, "arm64")]
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": images.INDEX, "manifests": manifests}).encode()
    put = ("PUT", "/v2/many/manifests/all", index)
    assert registry.code(*put, Content_Type=images.INDEX) == (404, "MANIFEST_UNKNOWN")
    registry.push("many", image, image.digest)
    registry.push("many", other, other.digest)
    status, headers, _ = registry.call(*put, Content_Type=images.INDEX)
    assert (status, headers["Docker-Content-Digest"]) == (201, sha256(index))
    status, headers, body = registry.call("GET", "/v2/many/manifests/all")
    assert (headers["Content-Type"], body) == (images.INDEX, index)

    shared = image.layers[0]["digest"]
    assert registry.code("DELETE", f"/v2/many/blobs/{shared}") == (409, "DENIED")
    gone = ecr.batch_delete_image(repositoryName="many", imageIds=[{"imageDigest": image.digest}])
    assert gone["failures"][0]["failureCode"] == "ImageReferencedByManifestList"
    assert registry.call("DELETE", "/v2/many/manifests/all")[0] == 202
    assert registry.code("GET", "/v2/many/manifests/all") == (404, "MANIFEST_UNKNOWN")
    assert registry.call("DELETE", f"/v2/many/manifests/{sha256(index)}")[0] == 202
    gone = ecr.batch_delete_image(repositoryName="many", imageIds=[{"imageDigest": image.digest}])
    assert gone["imageIds"] == [{"imageDigest": image.digest}]
    # The other image has that layer too.
    assert registry.call("HEAD", f"/v2/many/blobs/{shared}")[0] == 200


def test_the_registry_admits_passwords_of_its_own_alone(cloud, registry):
    for bad in [None, "QVdTOng=", registry.authorization.split()[1][:-8] + "AAAAAAA="]:
        stranger = Registry(cloud.endpoint, bad)
        for method, path in [("GET", "/v2/"), ("GET", "/v2/_catalog"), ("POST", "/v2/any/blobs/uploads/")]:
            status, headers, body = stranger.call(method, path)
            assert status == 401 and headers["WWW-Authenticate"].startswith("Basic realm="), path
            assert json.loads(body)["errors"][0]["code"] == "UNAUTHORIZED"
    status, headers, _ = registry.call("GET", "/v2/")
    assert (status, headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")
    # API Gateway has paths that begin alike.
    assert "Items" in cloud.client("apigatewayv2").get_apis()


def test_bad_requests_to_the_registry_are_told_in_its_words(cloud, registry):
    repository(cloud, "strict")
    ask = registry.code
    assert ask("POST", "/v2/none/blobs/uploads/") == (404, "NAME_UNKNOWN")
    assert ask("POST", "/v2/No-Name/blobs/uploads/") == (400, "NAME_INVALID")
    assert ask("GET", "/v2/strict/manifests/v1") == (404, "MANIFEST_UNKNOWN")
    assert ask("GET", f"/v2/strict/blobs/{sha256(b'')}") == (404, "BLOB_UNKNOWN")
    assert ask("PATCH", "/v2/strict/blobs/uploads/none", b"x") == (404, "BLOB_UPLOAD_UNKNOWN")
    assert ask("POST", "/v2/strict/blobs/uploads/?digest=md5:00", b"x") == (400, "DIGEST_INVALID")
    assert ask("POST", f"/v2/strict/blobs/uploads/?digest={sha256(b'y')}", b"x") == (400, "DIGEST_INVALID")
    assert ask("PUT", "/v2/strict/manifests/v1", b"{", Content_Type=images.MANIFEST) == (400, "MANIFEST_INVALID")
    image = Image(tar({"a": "strict"}))
    put = ("PUT", "/v2/strict/manifests/v1", image.manifest)
    assert ask(*put, Content_Type=images.MANIFEST) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert ask(*put, Content_Type=images.INDEX) == (400, "MANIFEST_INVALID")
    assert ask("PUT", "/v2/strict/manifests/v1", b" " * 5_000_000)[1] == "SIZE_INVALID"
    assert ask("GET", "/v2/strict/nothing") == (404, "UNSUPPORTED")
    assert ask("POST", "/v2/strict/manifests/v1") == (405, "UNSUPPORTED")

    ecr = cloud.client("ecr")
    with pytest.raises(ecr.exceptions.RepositoryAlreadyExistsException):
        repository(cloud, "strict")
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.list_images(repositoryName="none")
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidParameterException"):
        ecr.create_repository(repositoryName="No-Name")


def test_many_push_the_same_layer_at_once_and_it_is_kept_once(cloud, registry):
    names = [f"crowd/{number}" for number in range(6)]
    for name in names:
        repository(cloud, name)
    image = Image(tar({"same": b"s" * 2_000_000}))
    failures = []

    def push(name):
        try:
            registry.push(name, image)
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=push, args=(name,)) for name in names]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures
    held = list((cloud.data / "blobs").glob(f"*/layer-{image.layers[0]['digest'].removeprefix('sha256:')}"))
    assert len(held) == 1
    for name in names:
        cloud.client("ecr").delete_repository(repositoryName=name, force=True)
    mayfly.until(lambda: not held[0].exists())
