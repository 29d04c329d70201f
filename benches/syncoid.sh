#!/bin/bash
# Pulls the same tree of 41 datasets with 10 snapshots each from another node, by this program as `syncoid` and by the real
# one, in turns: with nothing to do, and with one new snapshot of each dataset. Prints seconds, and the ratio of medians.
#
#   cargo lab exec --nodes 2 --timeout 3600 -- /src/benches/syncoid.sh [ROUNDS]
set -euo pipefail
rounds=${1:-5}
real=/opt/sanoid/usr/sbin/syncoid
far() { ssh -o BatchMode=yes node2 "$@"; }

far "zpool create -O mountpoint=none tank /dev/ubdb
for i in \$(seq 40); do zfs create -p tank/src/d\$i; done
for s in \$(seq 10); do zfs snapshot -r tank/src@s\$s; done"
zpool create -O mountpoint=none back /dev/ubdb

run() { # PROGRAM TARGET; seconds on standard output
    local began=$EPOCHREALTIME
    "$1" -r --no-sync-snap --quiet "root@node2:tank/src" "back/$2" > /tmp/said 2>&1 || { cat /tmp/said >&2; exit 1; }
    echo "$EPOCHREALTIME $began" | awk '{ printf "%.3f\n", $1 - $2 }'
}
same() { # Nothing is won by doing less.
    diff <(far zfs list -Hp -t snapshot -o name,guid -r tank/src | sed 's,^tank/src,,') \
         <(zfs list -Hp -t snapshot -o name,guid -r "back/$1" | sed "s,^back/$1,,") > /dev/null ||
        { echo "the snapshots of $1 are not those of the source" >&2; exit 1; }
}
median() { sort -n "$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

echo "first: ours $(run syncoid ours) s, syncoid $(run $real real) s"
same ours; same real
for what in no-op incremental; do
    : > /tmp/ours; : > /tmp/real
    for round in $(seq "$rounds"); do
        [ "$what" = no-op ] || far "zfs snapshot -r tank/src@$what$round"
        run syncoid ours >> /tmp/ours
        run $real real >> /tmp/real
        same ours; same real
    done
    echo "$what: ours $(tr '\n' ' ' < /tmp/ours)"
    echo "$what: syncoid $(tr '\n' ' ' < /tmp/real)"
    echo "$what: medians $(median /tmp/ours) and $(median /tmp/real) s, ratio 1/$(echo "$(median /tmp/real) $(median /tmp/ours)" | awk '{ printf "%.1f", $1 / $2 }')"
done
