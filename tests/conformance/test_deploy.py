"""The command line against a real server: deploy, change, roll back, delete, invoke, logs."""

import json
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import mayfly
import pytest

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Word: {Type: String, Default: hello}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: deploy-hello
      Runtime: python3.11
      Handler: app.handler
      CodeUri: src/
      Environment: {Variables: {WORD: !Ref Word}}
      Events:
        Get: {Type: HttpApi, Properties: {Path: /hello, Method: GET}}
  Inbox:
    Type: AWS::S3::Bucket
    Properties: {BucketName: deploy-inbox}
Outputs:
  Url: {Value: !Sub "https://${ServerlessHttpApi}.execute-api.${AWS::Region}.amazonaws.com/"}
"""
CODE = "import os\ndef handler(event, context):\n    print('said', os.environ['WORD'])\n    return os.environ['WORD']\n"


def project(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text(CODE)
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    return tmp_path


def test_a_template_is_deployed_changed_and_deleted(cloud, tmp_path):
    folder = project(tmp_path)
    cloud.run("deploy", folder, "--stack", "hello")
    assert json.loads(cloud.run("invoke", "deploy-hello").stdout) == "hello"
    again = cloud.run("deploy", folder, "--stack", "hello", "--json")
    actions = {resource["Action"] for resource in json.loads(again.stdout)["Resources"]}
    assert actions == {"unchanged"}, again.stdout
    cloud.run("deploy", folder, "--stack", "hello", "--parameter", "Word=changed")
    assert json.loads(cloud.run("invoke", "deploy-hello").stdout) == "changed"
    assert "deploy-hello" in cloud.run("functions").stdout
    mayfly.until(lambda: "said changed" in cloud.run("logs", "deploy-hello").stdout)
    cloud.run("delete", "--stack", "hello", "--yes")
    assert "deploy-hello" not in cloud.run("functions").stdout


def test_a_failed_deploy_names_the_line_and_rolls_back(cloud, tmp_path):
    folder = project(tmp_path)
    broken = TEMPLATE.replace("Runtime: python3.11", "Runtime: cobol85").replace("deploy-", "broken-")
    (folder / "template.yaml").write_text(broken)
    failed = cloud.run("deploy", folder, "--stack", "broken", check=False)
    assert failed.returncode != 0
    assert "Hello" in failed.stderr and "template.yaml:" in failed.stderr, failed.stderr
    buckets = [bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]]
    assert "broken-inbox" not in buckets
    unsupported = TEMPLATE.replace("AWS::S3::Bucket", "AWS::Redshift::Cluster")
    (folder / "template.yaml").write_text(unsupported)
    refused = cloud.run("deploy", folder, "--stack", "broken", check=False)
    assert refused.returncode != 0 and "AWS::Lambda::Function" in refused.stderr, refused.stderr


def test_env_and_doctor_speak_to_people_and_programs(cloud):
    lines = cloud.run("env", "--data", cloud.data).stdout
    script = f"{lines}\nprintf %s \"$AWS_ENDPOINT_URL\""
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert shell.stdout == cloud.endpoint
    checks = json.loads(cloud.run("doctor", "--json").stdout)
    assert any("namespaces" in json.dumps(check) for check in checks if isinstance(check, dict)) or checks


def test_the_photos_demo_runs(tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(mayfly.ROOT / "examples" / "photos", folder, ignore=shutil.ignore_patterns(".mayfly"))
    # What is started in the background by a shell ignores Ctrl-C, and so would all that it starts.
    heeds = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, folder / "demo.py", mayfly.BINARY]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heeds)
    try:
        said = ""
        for line in demo.stdout:
            said += line
            if line.startswith("Ctrl-C"):
                break
        assert "thumb" in said.lower(), said
        url = said.split("Open ")[1].split()[0]
        with urllib.request.urlopen(url) as page:
            assert page.status == 200 and b"<html" in page.read().lower(), "the page stays open"
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=mayfly.PATIENCE) == 0
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(url, timeout=60)
    finally:
        demo.kill()
        demo.wait()
