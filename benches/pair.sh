#!/bin/bash
# What the verbs of a pair cost on two nodes with 2 roots, 22 datasets and 20 snapshots of each: a run in which nothing has
# changed, on the active node and on the standby one, `pair status`, and a promotion. Prints seconds, and the median, and how
# often the other node was connected to. Between the three observations of a role there is no waiting here, so it is in none
# of the figures.
#
#   cargo lab exec --nodes 2 --timeout 3600 -- /src/benches/pair.sh [ROUNDS]
set -euo pipefail
rounds=${1:-5}

# The same on both nodes, but for the names.
configure='
mkdir -p /etc/replicator
cat > /etc/replicator/replicator.toml <<END
[template.few]
hourly = 24
[[dataset]]
name = ["tank/one", "tank/two"]
use = "few"
recursive = true
[pair.data]
roots = ["tank/one", "tank/two"]
node = "$(hostname)"
peer = { node = "$other", host = "root@$other" }
fixed = "$role"
watch = { times = 3, distance = "0s", timeout = "30s" }
END
chmod 644 /etc/replicator/replicator.toml
replicator config check > /dev/null'

on() { # NODE COMMAND
    if [ "$1" = node1 ]; then bash -c "$2" < /dev/null; else ssh -n -o BatchMode=yes "$1" "$2"; fi
}
roles() { # The active node, the standby one
    on "$1" "other=$2 role=active; $configure"
    on "$2" "other=$1 role=standby; $configure"
}
seconds() { # NODE COMMAND; on the clock of that node, without its shell
    on "$1" "began=\$EPOCHREALTIME; $2 > /tmp/said 2>&1 || { cat /tmp/said >&2; exit 1; }
        echo \"\$EPOCHREALTIME \$began\" | awk '{ printf \"%.3f\n\", \$1 - \$2 }'"
}
show() { # TITLE, figures on standard input
    sort -n | awk -v title="$1" '{ all[NR] = $1; list = list " " $1 }
        END { print title ":" list ", median " all[int((NR + 1) / 2)] " s" }'
}
measure() { # TITLE NODE COMMAND
    for ((i = 0; i < rounds; i++)); do seconds "$2" "$3"; done | show "$1"
}
opened() { # NODE; how many connections it has opened
    on "$1" "awk '/^Tcp:/ && seen++ { print \$6 }' /proc/net/snmp"
}
connections() { # TITLE NODE COMMAND
    local before after
    before=$(opened "$2")
    on "$2" "$3" > /dev/null 2>&1
    after=$(opened "$2")
    echo "$1: $((after - before)) connections to the other node"
}
quietly() { # NODE COMMAND
    on "$1" "$2 > /tmp/said 2>&1 || { cat /tmp/said >&2; exit 1; }"
}
state() {
    for node in node1 node2; do on $node 'zfs list -Hp -t all -o name,guid,createtxg'; done | sha256sum
}

# In the middle of an hour nothing is due but once.
for node in node1 node2; do
    on $node 'date --utc --set "2026-06-15 12:10:00" > /dev/null; zpool create -O mountpoint=/tank tank /dev/ubdb'
done
for root in one two; do
    zfs create tank/$root
    for i in $(seq 10); do zfs create tank/$root/d"$i"; done
    for s in $(seq 20); do zfs snapshot -r tank/$root@s"$s"; done
done
roles node1 node2
quietly node1 'replicator pair promote data'
quietly node1 'replicator run'
quietly node2 'replicator run'
before=$(state)

measure "start of a program" node1 /bin/true
measure "run on the active node" node1 'replicator run'
measure "run on the standby node" node2 'replicator run'
measure "pair status" node1 'replicator pair status'
connections "run on the active node" node1 'replicator run'
connections "run on the standby node" node2 'replicator run'
connections "pair status" node1 'replicator pair status'
[ "$(state)" = "$before" ] || {
    echo "something was due or has changed: these are not the figures of a run without work" >&2
    exit 1
}

active=node1 standby=node2
for ((i = 0; i < rounds; i++)); do
    quietly $active 'replicator pair demote data'
    seconds $standby 'replicator pair promote data'
    old=$active active=$standby standby=$old
    roles $active $standby
    quietly $standby 'replicator pair rejoin data'
done | show "promote, the other node answers"
