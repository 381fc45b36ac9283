#!/bin/sh
# Writes users.conf from lines "name password" on standard input:
#
#     sh users.sh <names-and-passwords >users.conf
#
# A device's name is its id. "homeassistant" may do what Home Assistant does, "dashboard"
# only look; whatever else stands there is a device.
set -eu

# What is read with QoS 1 comes on a subject below $MQTT.sub; no MQTT client can ask for that
# itself. "edgepose/#" means the topic "edgepose" as well. An empty list would allow everything.
user() { # name, password, may say, may hear
    cat <<END
  {
    user: "$1", password: "$2", allowed_connection_types: [MQTT]
    permissions: {
      publish: $3
      subscribe: ["\$MQTT.sub.>", $4]
    }
  }
END
}

echo "users: ["
while read -r name password; do
    case $name in
    '' | \#*) ;;
    homeassistant)
        user "$name" "$password" \
            '[edgepose.*.*.set, edgepose.*.request.*, homeassistant.>]' \
            'edgepose, edgepose.>, homeassistant, homeassistant.>'
        ;;
    dashboard) user "$name" "$password" '{ deny: ">" }' 'edgepose, edgepose.>' ;;
    *)
        user "$name" "$password" \
            "[edgepose.$name.>, homeassistant.device.$name.config, homeassistant.device.$name.*.config]" \
            "edgepose.$name.availability, edgepose.$name.stats, edgepose.$name.*.set, edgepose.$name.request.*, homeassistant.status"
        ;;
    esac
done
echo "]"
