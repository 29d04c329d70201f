#!/bin/bash
# Records the samples in this folder on real ZFS, inside a node of the lab. See README.md.
set -euo pipefail
out=${1:?folder for the samples}
mkdir -p "$out"

zpool create -O xattr=sa -O atime=off tank /dev/ubdb
zpool create -O atime=off vault /dev/ubdc
key=/tmp/key
echo 'only for these samples' > $key

noise() { head -c "$1" /dev/urandom > "$2"; }
lines() { for i in $(seq 1 "$2"); do echo "line $i of a file that compresses well"; done > "$1"; }

# Plain, with a space in the name; incremental from snapshot and bookmark, with frees.
zfs create -o compression=off "tank/plain data"
lines "/tank/plain data/text" 40
mkdir "/tank/plain data/dir"
ln -s text "/tank/plain data/dir/link"
zfs snapshot "tank/plain data@one"
zfs send "tank/plain data@one" > "$out/full.zfs"
lines "/tank/plain data/more" 30
rm "/tank/plain data/dir/link"
truncate -s 0 "/tank/plain data/text"
zfs snapshot "tank/plain data@two"
zfs bookmark "tank/plain data@one" "tank/plain data#one"
zfs send -i @one "tank/plain data@two" > "$out/incremental.zfs"
zfs send -i "#one" "tank/plain data@two" > "$out/incremental-from-bookmark.zfs"

# Compressed, large and embedded blocks, large dnodes, a spill block.
zfs create -o compression=zstd -o recordsize=1M -o dnodesize=auto tank/packed
lines /tank/packed/large 9000
lines /tank/packed/tiny 2
head -c 100 /dev/zero | tr '\0' e > /tank/packed/embedded
for i in $(seq 1 12); do
    python3 -c "import os; os.setxattr('/tank/packed/tiny', 'user.key$i', os.urandom(60))"
done
zfs snapshot tank/packed@one
zfs send -L -c -e tank/packed@one > "$out/compressed-large-embedded.zfs"

# Raw.
encrypted=(-o encryption=on -o keyformat=passphrase -o "keylocation=file://$key")
zfs create "${encrypted[@]}" -o compression=lz4 tank/secret
lines /tank/secret/text 60
zfs snapshot tank/secret@one
zfs send -w tank/secret@one > "$out/raw.zfs"
lines /tank/secret/more 20
zfs snapshot tank/secret@two
zfs send -w -i @one tank/secret@two > "$out/raw-incremental.zfs"

# A volume, and a package with properties and holds.
zfs create -s -V 1M -o volblocksize=16k tank/vol
zfs snapshot tank/vol@one
zfs send tank/vol@one > "$out/volume.zfs"
zfs create tank/tree
zfs create tank/tree/child
zfs set org.example:note=hello tank/tree
lines /tank/tree/a 3
zfs snapshot -r tank/tree@one
zfs hold keep tank/tree@one
zfs snapshot -r tank/tree@two
zfs send -R -h tank/tree@two > "$out/package.zfs"

# Redacted.
zfs create tank/redact
noise 40000 /tank/redact/secret
lines /tank/redact/open 30
zfs snapshot tank/redact@one
zfs clone tank/redact@one tank/redclone
noise 40000 /tank/redclone/secret
zfs snapshot tank/redclone@r
zfs redact tank/redact@one book tank/redclone@r
zfs send --redact book tank/redact@one > "$out/redacted.zfs"

# Tokens of transfers cut short.
cut_short() { # name, bytes, target, arguments of zfs send
    local name=$1 bytes=$2 target=$3
    shift 3
    zfs send "$@" 2> /dev/null | head -c "$bytes" | zfs receive -s -u "$target" 2> /dev/null || true
    zfs get -Hpo value receive_resume_token "$target" > "$out/$name.token"
}
zfs create -o compression=off -o recordsize=128k tank/big
noise 900000 /tank/big/noise
zfs snapshot tank/big@one
noise 500000 /tank/big/more
zfs snapshot tank/big@two
cut_short full 600000 vault/full tank/big@one
zfs send tank/big@one | zfs receive -u vault/incremental
cut_short incremental 300000 vault/incremental -i @one tank/big@two
cut_short flags 600000 vault/flags -L -c -e tank/big@one
zfs create "${encrypted[@]}" -o compression=off tank/secret-big
noise 700000 /tank/secret-big/noise
zfs snapshot tank/secret-big@one
cut_short raw 400000 vault/raw -w tank/secret-big@one
cut_short redacted 46000 vault/redacted --redact book tank/redact@one

# The rest of a stream: small, because the transfer was nearly done when it was cut.
zfs create -o compression=off -o recordsize=4k tank/small
noise 12000 /tank/small/a
zfs snapshot tank/small@one
zfs send tank/small@one > /tmp/small
head -c $(($(stat -c %s /tmp/small) - 9000)) /tmp/small | zfs receive -s -u vault/small 2> /dev/null || true
zfs get -Hpo value receive_resume_token vault/small > "$out/resumed.token"
zfs send -t "$(cat "$out/resumed.token")" > "$out/resumed.zfs"

# A list in native encoding as the kernel writes it.
cp /etc/zfs/zpool.cache "$out/zpool-cache.nvlist"

# What OpenZFS' own reader says of the streams: records and payload bytes of each type.
for stream in "$out"/*.zfs; do
    zstream dump "$stream" | sed -nE "s|.*Total DRR_([A-Z_]+) records = ([0-9]+) \(([0-9]+) bytes\)|$(basename "$stream") \1 \2 \3|p"
done > "$out/records.txt"
for token in "$out"/*.token; do
    echo "== $(basename "$token")"
    zstream token "$(cat "$token")" || true
done > "$out/tokens.txt"
gzip -9n "$out"/*.zfs "$out"/*.nvlist
