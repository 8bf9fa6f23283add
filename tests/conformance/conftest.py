import os

import pytest

import brokers
import mayfly
from endpoints import Endpoint


@pytest.fixture(scope="session")
def cloud():
    """One server for the tests that do not stop it. Retries come at once, so that nothing has to sleep; and a slow
    machine is no full one."""
    with mayfly.server("[limits]\nasync_retry_seconds = 0\nnode_queue_ms = 120000\n") as running:
        yield running


@pytest.fixture(scope="session")
def ordinary():
    """A server of a user without privileges. Where the tests are run by such a user, every server is."""
    with mayfly.server(user=mayfly.ORDINARY if os.geteuid() == 0 else None) as running:
        yield running


@pytest.fixture(scope="session")
def functions(cloud):
    return cloud.client("lambda")


@pytest.fixture(scope="session")
def objects(cloud):
    return cloud.client("s3")


@pytest.fixture(scope="session")
def logs(cloud):
    return cloud.client("logs")


@pytest.fixture
def endpoint():
    made = Endpoint()
    yield made
    made.stop()


def broker(kind):
    """One of its kind, for everybody."""
    @pytest.fixture(scope="session")
    def fixture():
        with brokers.running(kind) as running:
            yield running
    return fixture


redis_server, nats_server, rabbit_server = broker(brokers.Redis), broker(brokers.Nats), broker(brokers.RabbitMq)
kafka_server, postgres_server, mqtt_server = broker(brokers.Kafka), broker(brokers.PostgreSql), broker(brokers.Mosquitto)
