"""What was accepted is there afterwards, however the process ended."""

import json
import os
import statistics
import threading

import botocore.exceptions

import mayfly
from mayfly import create, until


# More by hand: MAYFLY_KILL_ROUNDS=100.
ROUNDS = int(os.environ.get("MAYFLY_KILL_ROUNDS", "20"))
SLOW_TO_BREAK = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)


def start_of_nothing():
    """The seconds until a server is ready that has nothing to bring back: on this machine, and now."""
    with mayfly.server() as empty:
        seconds = []
        for _ in range(3):
            empty.kill()
            seconds.append(empty.start().ready_seconds)
    return statistics.median(seconds)


def test_kill_9_under_load_loses_no_object_and_no_event():
    """Writers put objects whose notifications run a function; the server is killed again and again."""
    with mayfly.server("[limits]\nasync_retry_seconds = 0\n") as running:
        functions, objects, logs = running.client("lambda"), running.client("s3"), running.client("logs")
        made = create(functions, "seen", {"app.py": "def handler(e, c):\n    for r in e['Records']:\n        print('SEEN', r['s3']['object']['key'])\n"})
        objects.create_bucket(Bucket="kill")
        functions.add_permission(FunctionName="seen", StatementId="s", Action="lambda:InvokeFunction",
                                 Principal="s3.amazonaws.com")
        objects.put_bucket_notification_configuration(Bucket="kill", NotificationConfiguration={
            "LambdaFunctionConfigurations": [{"LambdaFunctionArn": made["FunctionArn"], "Events": ["s3:ObjectCreated:*"]}]})
        acknowledged, invoked, ready = [], [], []
        for round in range(ROUNDS):
            stop, flowing = threading.Event(), threading.Event()

            def write(worker):
                aws, events = running.client("s3"), running.client("lambda")
                for number in range(100_000):
                    key = f"{round}-{worker}-{number}"
                    try:
                        aws.put_object(Bucket="kill", Key=key, Body=key.encode())
                        acknowledged.append(key)
                        event = {"Records": [{"s3": {"object": {"key": f"event-{key}"}}}]}
                        events.invoke(FunctionName="seen", InvocationType="Event", Payload=json.dumps(event))
                        invoked.append(f"event-{key}")
                    except SLOW_TO_BREAK:
                        return
                    if number >= 5:
                        flowing.set()
                    if stop.is_set():
                        return

            workers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
            for worker in workers:
                worker.start()
            assert flowing.wait(60), running.tail()
            running.kill()
            stop.set()
            for worker in workers:
                worker.join()
            running.start()
            ready.append(running.ready_seconds)
        for key in acknowledged:
            assert objects.get_object(Bucket="kill", Key=key)["Body"].read() == key.encode()

        def unseen():
            seen = {line.split()[-1] for line in mayfly.logged(logs, "seen", "SEEN")}
            return {*acknowledged, *invoked} - seen

        until(lambda: not unseen(), seconds=300, every=1)
        assert len(acknowledged) > ROUNDS * 5
        print(f"{len(acknowledged)} objects and {len(invoked)} invocations acknowledged, ready in {max(ready):.2f} s at most")
        assert statistics.median(ready) < max(1.0, 10 * start_of_nothing()), ready


def test_a_second_process_is_refused_and_a_stop_is_clean():
    with mayfly.server() as running:
        second = mayfly.Server(running.data.parent)
        second.data = running.data
        try:
            second.start()
            raise AssertionError("a second process opened the same data")
        except RuntimeError as refused:
            assert "in use by another mayfly process" in str(refused)
        finally:
            second.log.close()
        assert oct((running.data / "root-key.json").stat().st_mode & 0o777) == "0o600"
        assert running.stop() == 0
