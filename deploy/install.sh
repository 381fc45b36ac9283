#!/bin/sh
# Installs edgepose as a service on Raspberry Pi OS or Debian 12 or 13.
set -eu

TREE=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
PROGRAM=/opt/edgepose
CONFIG=/etc/edgepose/edgepose.toml
STATE=/var/lib/edgepose
UNIT=/etc/systemd/system/edgepose.service
RULES=/etc/udev/rules.d/60-edgepose.rules
USERS=/usr/lib/sysusers.d/edgepose.conf
COMMAND=/usr/local/bin/edgepose
PASSWORD=/etc/credstore/edgepose.mqtt-password
MANUAL=/usr/local/share/man/man1/edgepose.1
BASH=/usr/local/share/bash-completion/completions/edgepose
ZSH=/usr/local/share/zsh/site-functions/_edgepose
FISH=/usr/local/share/fish/vendor_completions.d/edgepose.fish
EXTRAS=stream,web

usage() {
    cat <<'END'
usage: sudo deploy/install.sh [--source URI] [--broker URL] [--username NAME] [--dry-run]
       sudo deploy/install.sh --uninstall | --purge [--dry-run]

Installs edgepose as a service, or brings it up to date. A configuration that is there
stays as it is; so does what the service remembers.

  --source URI   the camera of a first configuration; else the first that is found
  --broker URL   the MQTT broker of a first configuration, such as mqtt://homeassistant.local;
                 else the one on this machine: mosquitto is installed where none answers
  --username NAME  user name at this broker; the password is asked for, or read from standard
                 input, and stored in /etc/credstore, readable by root only
  --dry-run      only say what would be done
  --uninstall    remove everything but the configuration, what the service remembers,
                 and its user
  --purge        remove these, too

Exit code: 0; 1 when it is installed and "edgepose doctor" found something amiss;
2 when it could not be installed, and then what was there before goes on.
END
}

say() { printf '%s\n' "$*"; }

die() {
    say "install.sh: $*" >&2
    exit 2
}

run() {
    if [ "$dry" ]; then say "    $*"; else "$@"; fi
}

quietly() {
    if [ "$dry" ]; then say "    $*"; else "$@" >/dev/null; fi
}

booted() { [ -d /run/systemd/system ]; }

check_machine() {
    [ "$dry" ] || [ "$(id -u)" = 0 ] || die "needs root: sudo $0"
    command -v apt-get >/dev/null || die "no apt-get; expected Raspberry Pi OS or Debian 12 or 13"
    command -v systemctl >/dev/null || die "no systemd, which the service needs"
    if has_package edgepose; then
        die "edgepose is here as a Debian package, which apt upgrades and removes"
    fi
    arch=$(dpkg --print-architecture)
    case $arch in
        amd64 | arm64 | armhf) ;;
        *) die "architecture $arch; expected amd64, arm64 or armhf" ;;
    esac
}

has_package() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

wanted_packages() {
    echo python3 python3-venv
    # PyPI has no wheels of these for 32 bits.
    [ "$arch" != armhf ] || echo python3-numpy python3-opencv python3-dev gcc libc6-dev
    # Raspberry Pi OS has it, Debian has not.
    if apt-cache policy python3-picamera2 | grep -q 'Candidate: [0-9]'; then
        echo python3-picamera2
    fi
    if [ ! -e "$CONFIG" ] && [ -z "$broker" ] && ! broker_answers; then echo mosquitto; fi
}

broker_answers() { ss -Htln 'sport = :1883' 2>/dev/null | grep -q .; }

install_packages() {
    say "Packages of the system; on a Pi this takes minutes"
    run apt-get update -qq
    missing=
    for package in $(wanted_packages); do
        has_package "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    [ "$dry" ] || say "   $missing"
    # shellcheck disable=SC2086 # a list
    quietly env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends $missing
}

# Looked at before anything is installed, and again where Python came only then.
check_python() {
    command -v python3 >/dev/null || return 0
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        die "$(python3 -V); expected Python 3.11 or later, as in Debian 12"
    fi
    if [ "$arch" = armhf ] && ! python3 -c 'import sys; sys.exit(sys.version_info > (3, 12))'; then
        die "the TFLite runtime for 32 bits ends with Python 3.11; install a 64-bit system"
    fi
}

make_user() {
    say "User edgepose"
    run install -Dm 644 "$TREE/systemd/edgepose.sysusers" "$USERS"
    run systemd-sysusers "$USERS"
}

# Whatever has failed has said so.
give_up() {
    [ -z "$new" ] || run rm -rf "$new" "$CONFIG.new"
    exit 2
}

# Each time a new environment beside the one in use, which stays if this one fails.
make_environment() {
    new=$PROGRAM/venv-$(date +%Y%m%d%H%M%S)
    say "Program in $new; on a Pi this takes minutes"
    run mkdir -p "$PROGRAM"
    if [ "$arch" = armhf ] || python3 -c 'import picamera2' 2>/dev/null; then
        run python3 -m venv --system-site-packages "$new"
    else
        run python3 -m venv "$new"
    fi
    # /tmp may be memory, of which the smallest Pi has too little.
    export TMPDIR=/var/tmp
    if [ "$arch" = armhf ]; then
        install_on_armhf
    else
        # shellcheck disable=SC2046 # none or one
        run "$new/bin/pip" install --quiet "${TREE}[$EXTRAS]" $(numpy_of_the_system)
    fi
    if [ -e "$CONFIG" ]; then quietly "$new/bin/edgepose" config check "$CONFIG"; fi
}

# Over a numpy 1 that the system has, picamera2 dies of a numpy 2.
numpy_of_the_system() {
    case $("$new/bin/python" -c 'import numpy; print(numpy.__version__)' 2>/dev/null) in
        1.*) echo 'numpy<2' ;;
    esac
}

# The system's OpenCV is not known to pip, which would compile another for hours. Many 32-bit
# systems have a 64-bit kernel, for which pip would want the other runtime.
install_on_armhf() {
    run "$new/bin/pip" install --quiet --no-deps "$TREE"
    run "$new/bin/python" - "$new/bin/pip" "tflite-runtime,$EXTRAS" <<'END'
import re, subprocess, sys
from importlib.metadata import requires

pip, extras = sys.argv[1], sys.argv[2].split(",")
wanted = []
for line in requires("edgepose"):
    extra = re.search("extra == .([a-z-]+)", line)
    if not line.startswith(("opencv", "ai-edge-litert")) and (extra is None or extra[1] in extras):
        wanted.append(line.partition(";")[0] if extra else line)
# pip misses the OpenCV that the system has
subprocess.run([pip, "install", "--quiet", "--no-warn-conflicts", *wanted], check=True)
END
}

write_configuration() {
    if [ -e "$CONFIG" ]; then
        say "Configuration $CONFIG stays as it is"
        return
    fi
    say "Configuration $CONFIG"
    # The service may write there: the page saves zones, with the file before it as a backup.
    run install -dm 2775 -g edgepose "${CONFIG%/*}"
    (
        umask 117
        quietly "$new/bin/edgepose" config init "$CONFIG.new" --source "$source" --broker "$broker"
        [ -z "$username" ] || run sed -i "s/^#username = .*/username = \"$username\"/" "$CONFIG.new"
    )
    quietly "$new/bin/edgepose" config check "$CONFIG.new"
    run chown root:edgepose "$CONFIG.new"
    run mv "$CONFIG.new" "$CONFIG"
    [ -z "$username" ] || store_password
}

# Asked for before anything is installed, so that the rest needs nobody.
read_password() {
    [ -n "$username" ] && [ ! -e "$CONFIG" ] && [ -z "$dry" ] || return 0
    if [ -t 0 ]; then
        printf 'Password of %s at the MQTT broker: ' "$username"
        stty -echo
        trap 'stty echo' EXIT
    fi
    IFS= read -r password || true
    if [ -t 0 ]; then
        stty echo
        trap - EXIT
        echo
    fi
    [ -n "$password" ] || die "--username: expected a password on standard input"
}

store_password() {
    say "Password of $username in $PASSWORD"
    [ -z "$dry" ] || return 0
    (
        umask 077
        mkdir -p "${PASSWORD%/*}"
        printf '%s\n' "$password" >"$PASSWORD"
    )
}

install_help() {
    run install -Dm 644 "$TREE/docs/edgepose.1" "$MANUAL"
    run install -Dm 644 "$TREE/deploy/completion/edgepose.bash" "$BASH"
    run install -Dm 644 "$TREE/deploy/completion/edgepose.zsh" "$ZSH"
    run install -Dm 644 "$TREE/deploy/completion/edgepose.fish" "$FISH"
}

install_service() {
    say "Service edgepose"
    run install -Dm 644 "$TREE/systemd/edgepose.service" "$UNIT"
    run install -Dm 644 "$TREE/deploy/udev/60-edgepose.rules" "$RULES"
    if booted; then
        run systemctl daemon-reload
    fi
    if [ -e /run/udev/control ]; then
        run udevadm control --reload
        run udevadm trigger --subsystem-match=usb --subsystem-match=apex
    fi
    run ln -sfn "$new" "$PROGRAM/venv.next"
    run mv -T "$PROGRAM/venv.next" "$PROGRAM/venv"
    trap - EXIT
    run ln -sf "$PROGRAM/venv/bin/edgepose" "$COMMAND"
    run systemctl --quiet enable edgepose
}

# From the old environment the old program runs until then.
start_service() {
    if booted; then run systemctl restart edgepose || verdict=1; fi
    for old in "$PROGRAM"/venv-*; do
        [ ! -d "$old" ] || [ "$old" = "$new" ] || run rm -rf "$old"
    done
}

# Once the service runs: it is asked, as it holds the camera.
examine() {
    say "edgepose doctor"
    run "$COMMAND" doctor
}

install_all() {
    read_password
    trap give_up EXIT
    check_python
    install_packages
    check_python
    make_user
    make_environment
    write_configuration
    install_service
    install_help
    verdict=0
    start_service
    if ! booted; then
        say "Installed; systemd does not run here, and will start it with the system." \
            "Next: edgepose doctor"
        return
    fi
    examine || verdict=1
    next_step
    return $verdict
}

next_step() {
    [ -z "$dry" ] || return 0
    if [ $verdict != 0 ]; then
        say "Installed, but something is amiss. Next: mend what is said above, then" \
            "sudo systemctl restart edgepose"
        return
    fi
    say "All is well; edgepose runs, and will each time this machine starts." \
        "Next: edgepose watch$(elsewhere)"
    if grep -q '^source = "demo://' "$CONFIG"; then
        say "It found no camera and watches its own clip. Once there is one:" \
            "sudo nano $CONFIG, put it in the place of demo://, then" \
            "sudo systemctl reload edgepose"
    fi
}

# Of a broker that is not this machine's, without user and password.
elsewhere() {
    url=$("$COMMAND" config show "$CONFIG" | sed -n '/^\[mqtt\]/,/^\[/s|^url = "\(.*\)"|\1|p')
    case $url in
        mqtt://localhost | mqtt://localhost:1883 | embedded) ;;
        *) say " --mqtt $url" | sed 's|//[^/]*@|//|' ;;
    esac
}

uninstall() {
    if booted && [ -e "$UNIT" ]; then run systemctl --quiet disable --now edgepose; fi
    run rm -rf "$PROGRAM" "$UNIT" "$RULES" "$USERS" "$COMMAND" "$MANUAL" "$BASH" "$ZSH" "$FISH"
    if booted; then run systemctl daemon-reload; fi
    if [ "$action" = uninstall ]; then
        say "Removed; ${CONFIG%/*} and $STATE stay. To remove them, too: $0 --purge"
        return
    fi
    run rm -rf "${CONFIG%/*}" "$STATE" "$UNIT.d" "$PASSWORD"
    # A small Debian has no userdel; what is left then owns nothing.
    if command -v userdel >/dev/null && getent passwd edgepose >/dev/null; then
        run userdel edgepose
    fi
    say "Removed, with configuration and state; packages of the system stay"
}

action=install_all dry='' source=auto broker='' username='' password='' new=''
while [ $# -gt 0 ]; do
    case $1 in
        --source | --broker | --username)
            [ $# -gt 1 ] || die "$1: expected a value"
            case $1 in
                --source) source=$2 ;;
                --broker) broker=$2 ;;
                *) username=$2 ;;
            esac
            shift
            ;;
        --dry-run) dry=1 ;;
        --uninstall) action=uninstall ;;
        --purge) action=purge ;;
        -h | --help)
            usage
            exit
            ;;
        *) die "unknown argument $1; see --help" ;;
    esac
    shift
done

case $username in
    *[!A-Za-z0-9._@-]*) die "--username $username: expected letters, digits, \".\", \"_\", \"-\" or \"@\"" ;;
esac
check_machine
case $action in
    install_all) install_all ;;
    *) uninstall ;;
esac
