"""A function that causes its own next invocation is stopped, and what was given up can be seen and sent again."""

import json

import mayfly
from mayfly import create, until

LOOP = """
import os, urllib.request, json, sys
sys.path.insert(0, os.path.dirname(__file__))
import boto3
# Here, where an instance has a whole processor.
client = boto3.client("s3")
def handler(event, context):
    client.put_object(Bucket="looping", Key="again", Body=b"x")
"""


def boto3_files():
    import test_story

    return test_story.boto3_files()


def test_a_function_that_writes_to_its_own_bucket_is_stopped():
    with mayfly.server("[limits]\nasync_retry_seconds = 0\ndelivery_depth = 4\n") as cloud:
        functions, objects, logs = (cloud.client(name) for name in ("lambda", "s3", "logs"))
        made = create(functions, "loop", {"app.py": LOOP, **boto3_files()}, Timeout=30, MemorySize=512)
        objects.create_bucket(Bucket="looping")
        functions.add_permission(FunctionName="loop", StatementId="s3", Action="lambda:InvokeFunction",
                                 Principal="s3.amazonaws.com", SourceArn="arn:aws:s3:::looping")
        rule = {"LambdaFunctionArn": made["FunctionArn"], "Events": ["s3:ObjectCreated:*"]}
        objects.put_bucket_notification_configuration(
            Bucket="looping", NotificationConfiguration={"LambdaFunctionConfigurations": [rule]})
        config = functions.get_function_recursion_config(FunctionName="loop")
        assert config["RecursiveLoop"] == "Terminate"
        objects.put_object(Bucket="looping", Key="first", Body=b"x")

        def listed(*arguments):
            return json.loads(cloud.run("deliveries", "--json", *arguments).stdout)["Deliveries"]

        [dead] = until(listed)
        assert (dead["Depth"], dead["State"]) == (4, "Dead") and "Recursive loop" in dead["Reason"]
        assert "Recursive loop" in cloud.run("deliveries").stdout
        assert "a recursive loop is cut" in cloud.tail()

        def runs():
            return len(mayfly.logged(logs, "loop", "REPORT"))

        until(lambda: runs() == 4)
        cloud.run("deliveries", "redrive", dead["Id"])
        again = until(lambda: [one for one in listed() if one["Id"] != dead["Id"]])
        until(lambda: runs() == 8)
        cloud.run("deliveries", "drop", again[0]["Id"])
        assert listed() == [] and listed("--state", "waiting") == []
        assert cloud.run("deliveries", "drop", "nothing", check=False).returncode != 0

        functions.put_function_recursion_config(FunctionName="loop", RecursiveLoop="Allow")
        objects.put_object(Bucket="looping", Key="second", Body=b"x")
        until(lambda: runs() > 20)
        functions.put_function_recursion_config(FunctionName="loop", RecursiveLoop="Terminate")
        until(listed)
