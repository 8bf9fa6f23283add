"""The context object that a handler gets as its second argument.

Its members are those of the developer guide's page "Using the Lambda context object to retrieve Python
function information". `memory_limit_in_mb` is text there, and so it is here.
"""

import os
import sys
import time

from . import codec
from .faults import Fault

# The invocation under way, for log lines. One instance runs one event at a time.
request_id = ""
# Whom it is for, if the function keeps tenants apart.
tenant_id = None
# As the environment has it.
trace_id = None
# What is alike in all contexts of this process.
_fixed = {}


def remember():
    """Looks up what is alike in all contexts, once the function is initialised."""
    environ = os.environ
    _fixed.update(
        function_name=environ.get("AWS_LAMBDA_FUNCTION_NAME"),
        function_version=environ.get("AWS_LAMBDA_FUNCTION_VERSION"),
        memory_limit_in_mb=environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
        log_group_name=environ.get("AWS_LAMBDA_LOG_GROUP_NAME"),
        log_stream_name=environ.get("AWS_LAMBDA_LOG_STREAM_NAME"),
    )


class LambdaContext:
    def __init__(self, headers):
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn", "")
        self._epoch_deadline_time_in_ms = int(headers.get("lambda-runtime-deadline-ms", 0))
        self.__dict__.update(_fixed)
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        client = _parse(headers.get("lambda-runtime-client-context"), "Client Context")
        self.client_context = None if client is None else ClientContext(client)
        self.identity = CognitoIdentity(
            _parse(headers.get("lambda-runtime-cognito-identity"), "Cognito Identity")
        )

    def get_remaining_time_in_millis(self):
        return max(self._epoch_deadline_time_in_ms - int(time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        members = ",".join("%s=%s" % member for member in vars(self).items() if member[0][0] != "_")
        return "LambdaContext([%s])" % members


class CognitoIdentity:
    def __init__(self, given):
        given = given or {}
        self.cognito_identity_id = given.get("cognitoIdentityId")
        self.cognito_identity_pool_id = given.get("cognitoIdentityPoolId")

    def __repr__(self):
        return "CognitoIdentity([cognito_identity_id=%s,cognito_identity_pool_id=%s])" % (
            self.cognito_identity_id,
            self.cognito_identity_pool_id,
        )


class ClientContext:
    def __init__(self, given):
        self.custom = given.get("custom")
        self.env = given.get("env")
        client = given.get("client")
        self.client = None if client is None else Client(client)

    def __repr__(self):
        return "ClientContext([custom=%s,env=%s,client=%s])" % (self.custom, self.env, self.client)


class Client:
    FIELDS = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")

    def __init__(self, given):
        for field in self.FIELDS:
            setattr(self, field, given.get(field))

    def __repr__(self):
        return "Client([%s])" % ",".join("%s=%s" % (field, getattr(self, field)) for field in self.FIELDS)


def _parse(header, what):
    if not header:
        return None
    try:
        return codec.decode(header.encode("latin-1"))
    except Fault as fault:
        reason = str(fault).partition(": ")[2]
        raise Fault("Runtime.LambdaContextUnmarshalError", "Unable to parse %s JSON: %s" % (what, reason))
