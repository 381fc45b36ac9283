"""Doctor's check of the broker."""

import importlib.util
from typing import Final

from edgepose import extras, urls
from edgepose.config import schema
from edgepose.config.schema import Config
from edgepose.doctor.remedies import RESTART
from edgepose.errors import EdgeposeError
from edgepose.mqtt import options as mqtt_options
from edgepose.mqtt.client import MqttSink
from edgepose.mqtt.messages import Finding

BROKER_S: Final = 12.0  # five for the connection and five for the answer, of the sink
NO_PASSWORD: Final = (
    "write it with sudo nano /etc/credstore/edgepose.mqtt-password, and the user name into"
    f" mqtt.username; then: {RESTART}. Is it there already? sudo edgepose doctor may read it"
)


def broker(config: Config) -> Finding:
    """Log in, under another name than the daemon, so that it is not thrown out."""
    if urls.broker(config.mqtt.url).embedded:
        if importlib.util.find_spec("amqtt") is None:
            mend = extras.install("broker")
            return Finding("broker", "fail", "the built-in broker needs amqtt", mend)
        return Finding("broker", "ok", "the built-in one starts with the daemon")
    try:
        options = mqtt_options.login(config)
        sink = MqttSink(options)
    except (EdgeposeError, OSError) as error:
        mend = f"change it below [mqtt] of the configuration, then: {RESTART}"
        return Finding("broker", "fail", str(error), mend)
    sink.start()
    sink.wait_tried(BROKER_S)
    failure, protocol, trouble = sink.failure, sink.protocol, sink.trouble
    sink.close()
    if failure is not None:
        mend = _mend_login(config) if options.password else NO_PASSWORD
        return Finding("broker", "fail", str(failure), mend)
    if protocol is None:
        found = f"{options.address}: {trouble or 'no answer'}"
        return Finding("broker", "fail", found, _mend_way(config, trouble))
    version = "5" if protocol == schema.Mqtt().protocol else "3.1.1"
    return Finding("broker", "ok", f"{options.address} lets us in, with MQTT {version}")


def _mend_login(config: Config) -> str:
    where = config.mqtt.password_file or "/etc/credstore/edgepose.mqtt-password"
    if urls.broker(config.mqtt.url).password:
        where = "mqtt.url"
    return f"correct mqtt.username, or the password in {where}; then: {RESTART}"


def _mend_way(config: Config, trouble: str) -> str:
    """Say what to do where no broker answers; the daemon tries again for ever."""
    if ";" in trouble:  # it says itself what to do
        return f"change it below [mqtt] of the configuration, then: {RESTART}"
    asked = urls.broker(config.mqtt.url)
    if urls.is_local(asked.host):
        mend = "sudo systemctl restart mosquitto; is there none? sudo apt install mosquitto"
    else:
        mend = f"is {asked.host} on, and does a broker run there? Is mqtt.url right?"
    return f"{mend}; without TLS it is mqtt://, not mqtts://" if asked.tls else mend
