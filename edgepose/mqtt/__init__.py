"""The MQTT client side: topics, payloads, connection, outbox, spool and discovery."""
