"""Every input member of every implemented operation, in AWS's models (botocore's): acted on, kept, or refused.

Whatever an operation does not read, it refuses by name; so a member that the models gain shows up here as one more
that is refused. `members.json` says which they are, and `KEPT` which ones are taken and change nothing. Run as a
program, this writes `members.json` anew.
"""

import json
import pathlib

FILE = pathlib.Path(__file__).with_name("members.json")

# Members that are taken without effect: kept and shown again, or about things that cannot happen here.
KEPT = {
    "lambda": {
        "CreateFunction.Architectures": "kept; code runs on this machine's architecture",
        "CreateFunction.Role": "kept; any role of any account, until there are policies of identities",
        "CreateFunction.TracingConfig": "kept; there are no traces",
        "PublishLayerVersion.CompatibleArchitectures": "kept",
        "PublishLayerVersion.CompatibleRuntimes": "kept",
        "PublishLayerVersion.LicenseInfo": "kept",
        "UpdateFunctionCode.Architectures": "kept; code runs on this machine's architecture",
        "UpdateFunctionConfiguration.Role": "kept; any role of any account, until there are policies of identities",
        "UpdateFunctionConfiguration.TracingConfig": "kept; there are no traces",
    },
    "s3": {
        "*.RequestPayer": "nobody pays, so whoever agrees to pay is served like anyone else",
        "ListObjectVersions.OptionalObjectAttributes": "only objects in archives have a restore status",
        "ListObjects.OptionalObjectAttributes": "only objects in archives have a restore status",
        "ListObjectsV2.OptionalObjectAttributes": "only objects in archives have a restore status",
        "PutBucketPolicy.ConfirmRemoveSelfBucketAccess": "an account's root is never locked out of its bucket",
        "*.WebsiteRedirectLocation": "kept; there are no website endpoints",
    },
    "apigatewayv2": {
        "CreateRoute.OperationName": "kept, as AWS does",
        "UpdateRoute.OperationName": "kept, as AWS does",
        "CreateApi.Version": "kept, as AWS does",
        "UpdateApi.Version": "kept, as AWS does",
    },
    "events": {
        "DeleteRule.Force": "no rule is managed by a service",
        "RemoveTargets.Force": "no rule is managed by a service",
        "PutRule.RoleArn": "kept; roles are not asked",
    },
    "codedeploy": {
        "CreateDeploymentGroup.serviceRoleArn": "kept; roles are not asked",
        "UpdateDeploymentGroup.serviceRoleArn": "kept; roles are not asked",
    },
    "application-autoscaling": {
        "RegisterScalableTarget.RoleARN": "kept; roles are not asked",
    },
    "scheduler": {
        "*.ClientToken": "calls are done once by what they do",
    },
    "logs": {
        "CreateLogGroup.logGroupClass": "only STANDARD",
        "FilterLogEvents.interleaved": "events always come in the order of their times",
        "FilterLogEvents.unmask": "nothing is masked",
        "GetLogEvents.unmask": "nothing is masked",
        "PutLogEvents.sequenceToken": "AWS ignores it too",
    },
}

DEPTH_MAX = 3
# What HTTP itself reads: a length that promises more than comes makes the server wait for the rest.
FRAMING = {"ContentLength"}


def paths(shape, path=(), seen=()):
    """The members of a structure, and of the structures in it."""
    for name, member in shape.members.items():
        yield (*path, name)
        inner = member
        while inner.type_name in ("list", "map"):
            inner = inner.member if inner.type_name == "list" else inner.value
        if inner.type_name == "structure" and inner.name not in seen and len(path) < DEPTH_MAX:
            yield from paths(inner, (*path, name), (*seen, inner.name))


def with_member(shape, base, path, sample):
    """The input `base` with the member at `path` set."""
    if shape.type_name == "list":
        return [with_member(shape.member, (base or [None])[0], path, sample)]
    if shape.type_name == "map":
        return {"key": with_member(shape.value, (base or {}).get("key"), path, sample)}
    name, *rest = path
    out = dict(base) if isinstance(base, dict) else sample(shape)
    inner = shape.members[name]
    out[name] = with_member(inner, out.get(name), rest, sample) if rest else sample(inner)
    return out


def prepare(objects):
    """What the samples name; operations that came before may have deleted it."""
    objects.create_bucket(Bucket="aaa")
    objects.put_object(Bucket="aaa", Key="aaa")


def refused(cloud, caller, operations, sample):
    """Operation -> the members that it answers NotImplemented to; what is in a refused member is not listed again."""
    found, objects = {}, cloud.client("s3")
    for service, operation in operations:
        shape = operation.input_shape
        names = []
        prepare(objects)
        for path in paths(shape) if shape else []:
            name = ".".join(path)
            if name in FRAMING or any(name.startswith(f"{other}.") for other in names):
                continue
            answer = caller.send(service, operation, with_member(shape, sample(shape), path, sample))
            if answer.status_code == 501:
                names.append(name)
        if names:
            found.setdefault(service, {})[operation.name] = names
    return found


def listed():
    return json.loads(FILE.read_text())


def acted_on_or_kept(service, operations):
    """`KEPT` of a service by operation, with its stars written out: (operation, member) -> what becomes of it."""
    out = {}
    for case, what in KEPT.get(service, {}).items():
        operation, member = case.split(".")
        for candidate in operations:
            if operation in ("*", candidate.name) and candidate.input_shape:
                names = candidate.input_shape.members if member == "*" else [member]
                out |= {(candidate.name, name): what for name in names if name in candidate.input_shape.members}
    return out


def main():
    import mayfly
    import test_models

    with mayfly.server() as cloud:
        found = refused(cloud, test_models.Caller(cloud), test_models.operations(), test_models.sample)
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
