"""Remedies for the reason codes of MQTT 5 (2.4); those of 3.1.1 are translated to them."""

from typing import Final

CONNECT_REMEDIES: Final = {
    0x80: "the broker's log has the reason",
    0x81: "it may expect another protocol there; check the port in mqtt.url",
    0x82: "it may expect another protocol there; check the port in mqtt.url",
    0x83: "the broker's log has the reason",
    0x84: "it refuses this version of MQTT; update the broker, or set mqtt.protocol to 5",
    0x88: "it is starting or overloaded",
    0x89: "it is overloaded, or has too many clients",
    0x90: "it does not allow the topic of the last will; change mqtt.base_topic or its access list",
    0x95: "it does not take even the connect packet; raise its limit (mosquitto: max_packet_size)",
    0x97: "raise its limit of connections or messages, or end other clients",
    0x99: "it does not take the last will, a text; turn off its check of payloads",
    0x9A: "it retains no messages, not even a last will (mosquitto: retain_available)",
    0x9B: "it accepts QoS 0 only, and the last will needs more (mosquitto: max_qos)",
    0x9C: "write the address of the other server into mqtt.url",
    0x9D: "write its new address into mqtt.url",
    0x9F: "too many clients connect at once, or this one too often",
}
"""By the code of a refused connection. Logins (0x85 to 0x87, 0x8A, 0x8C) have their own text."""

DISCONNECT_REMEDIES: Final = {
    0x87: "its access list forbids a topic; deploy/mosquitto/edgepose.acl has the topics in use",
    0x8E: "another client uses the same client id; check mqtt.client_id and device.id",
    0x8F: "its access list or limits forbid a topic filter",
    0x90: "its access list or limits forbid a topic; check mqtt.base_topic",
    0x93: "raise its limit of unacknowledged messages (receive maximum)",
    0x95: "raise its limit (mosquitto: max_packet_size)",
    0x96: "raise its limit, or lower the camera's fps",
    0x97: "raise its limit, or lower the camera's fps",
    0x98: "an administrator ended the connection",
    0x99: "turn off its check of payloads",
    0x9A: "it retains no messages (mosquitto: retain_available)",
    0x9B: "it takes QoS 0 only (mosquitto: max_qos)",
    0x9C: "write the address of the other server into mqtt.url",
    0x9D: "write its new address into mqtt.url",
    0x9F: "this client connects too often, or too many do at once",
    0xA0: "it limits the length of connections",
    0xA2: "it has no wildcard subscriptions, which requests need",
}
"""By the code of an ended session."""

SUBSCRIBE_REMEDIES: Final = {
    0x97: "raise its limit of subscriptions",
    0xA2: "it has no wildcard subscriptions, which requests need",
}
"""By the code of a refused topic, where its access list is not the reason."""

ACCESS_LIST: Final = "check its access list"


def with_remedy(text: str, remedies: dict[int, str], code: int, default: str = "") -> str:
    """Return the name of a reason code with its remedy, if there is one."""
    remedy = remedies.get(code, default)
    return f"{text}; {remedy}" if remedy else text
