#!/usr/bin/env bash
# Two network namespaces as two machines: lenet trains over TCP between them, reads its data once a machine, and survives the
# loss of one of them.
# usage: two_machines.sh LENET DIR      (as root; LENET is a binary with the feature mpi, DIR has IDX files)
set -euo pipefail
lenet=$(realpath "$1") dir=$(realpath "$2")
for program in ip mpirun unshare sha256sum; do
    command -v "$program" >/dev/null || { echo "missing: $program (Debian: iproute2 openmpi-bin)" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "network namespaces need root" >&2; exit 1; }
a=lenet-a-$$ b=lenet-b-$$ work=$(mktemp -d)
clean() {
    ip netns del "$a" 2>/dev/null || true
    ip netns del "$b" 2>/dev/null || true
    rm -rf "$work" "/etc/netns/$a" "/etc/netns/$b"
}
trap clean EXIT
ip netns add "$a"
ip netns add "$b"
ip -n "$a" link add veth0 type veth peer name veth0 netns "$b"
ip -n "$a" addr add 10.77.0.1/24 dev veth0
ip -n "$b" addr add 10.77.0.2/24 dev veth0
for space in "$a" "$b"; do
    ip -n "$space" link set lo up
    ip -n "$space" link set veth0 up
    # What `ip netns exec` lays over /etc/hosts: Open MPI 5 wants names.
    mkdir -p "/etc/netns/$space"
    printf '127.0.0.1 localhost\n10.77.0.1 %s\n10.77.0.2 %s\n' "$a" "$b" > "/etc/netns/$space/hosts"
done
# The way from one machine to the other: instead of ssh, a shell in the other's network, with a name of its own.
cat > "$work/agent" <<AGENT
#!/bin/sh
shift
exec ip netns exec $b unshare --uts sh -c "echo $b > /proc/sys/kernel/hostname; \$*"
AGENT
chmod +x "$work/agent"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# job MACHINES COMMAND...: a rank a machine that is named, as many as `:N` says.
job() {
    ip netns exec "$a" unshare --uts sh -c "echo $a > /proc/sys/kernel/hostname; exec \"\$@\"" - \
        mpirun --host "$1" --oversubscribe --bind-to none --mca plm_rsh_agent "$work/agent" \
        --mca btl tcp,self,vader --mca btl_tcp_if_include veth0 --mca oob_tcp_if_include veth0 "${@:2}"
}
# first-reads COMMAND...: hides the data from all but the first rank of each machine.
cat > "$work/first-reads" <<AGENT
#!/bin/sh
[ "\$OMPI_COMM_WORLD_LOCAL_RANK" = 0 ] && exec "\$@"
exec unshare --mount sh -c "mount -t tmpfs none '$dir' && exec \"\\\$@\"" - "\$@"
AGENT
chmod +x "$work/first-reads"
train=("$lenet" train lenet-modern --data "idx:$dir" --threads 1 --epochs 30 --set train.checkpoint_seconds=1)
sum() { sha256sum < "$work/$1/model/model.safetensors"; }

cd "$work"
"${train[@]}" --out alone >/dev/null 2>&1
job "$a,$b" "${train[@]}" --out both >/dev/null
[ "$(sum alone)" = "$(sum both)" ] || { echo "two machines have other bits than one" >&2; exit 1; }
echo "two machines: the bits of one"

if OMPI_COMM_WORLD_LOCAL_RANK=1 "$work/first-reads" "${train[@]}" --out hidden 2>/dev/null; then
    echo "the data was to be hidden" >&2
    exit 1
fi
job "$a:2,$b:2" -n 4 "$work/first-reads" "${train[@]}" --out shared >/dev/null
[ "$(sum alone)" = "$(sum shared)" ] || { echo "four ranks on two machines have other bits" >&2; exit 1; }
echo "two machines with two ranks each: the bits of one, the data read once a machine"

job "$a,$b" "${train[@]}" --out killed >/dev/null 2>&1 &
mpi=$!
until [ "$(cat killed/metrics.jsonl 2>/dev/null | wc -l)" -ge 3 ]; do
    kill -0 "$mpi" 2>/dev/null || { echo "it ended before it was killed" >&2; exit 1; }
    sleep 0.05
done
killed=""
for pid in $(ip netns pids "$b"); do
    if tr '\0' '\n' < "/proc/$pid/environ" | grep -qx OMPI_COMM_WORLD_RANK=1; then kill -9 "$pid" && killed=$pid; fi
done
[ -n "$killed" ] || { echo "rank 1 was not found on the second machine" >&2; exit 1; }
began=$SECONDS
if wait "$mpi"; then echo "a job without one of its machines must fail" >&2; exit 1; fi
echo "a machine lost: the job ended after $((SECONDS - began)) s"
[ -f killed/checkpoint/last.safetensors ] && [ ! -d killed/model ] || { echo "no checkpoint is left" >&2; exit 1; }
job "$a:2,$b:1" -n 3 "$lenet" train --resume killed --threads 1 >/dev/null
[ "$(sum alone)" = "$(sum killed)" ] || { echo "three ranks went on to other bits" >&2; exit 1; }
echo "three ranks went on: the bits of the undisturbed run"
