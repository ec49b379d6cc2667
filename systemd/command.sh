#!/bin/sh
# Installed by systemd/install: the command line of this host's miner, with its user, settings and data.
set -eu
settings=/etc/streetvision-miner/miner.env
user=streetvision

if [ "$(id -un)" != "$user" ] && [ "$(id -u)" != 0 ]; then
    exec sudo -- "$0" "$@"
fi
export HOME=/var/lib/streetvision-miner
export SVM_DATA__PATH=/var/lib/streetvision-miner
export SVM_WALLET__PATH=/etc/streetvision-miner/wallets
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
        [A-Z]*=*)
            value=${line#*=}
            case $value in # as systemd reads it
                \"*\") value=${value#\"} value=${value%\"} ;;
                \'*\') value=${value#\'} value=${value%\'} ;;
            esac
            export "${line%%=*}=$value"
            ;;
    esac
done <"$settings"
set -- /opt/streetvision-miner/.venv/bin/python -m miner "$@"
cd /opt/streetvision-miner
[ "$(id -un)" = "$user" ] || set -- runuser -u "$user" -- "$@"
exec "$@"
