# What test_systemd.py has run in the systemd guest, as root. Each step leaves files in $DAMOD_GUEST_OUT, which the tests
# on the host look at; nothing here decides whether it is right. Run twice: the second time after a reboot.
O=$DAMOD_GUEST_OUT
ADMIN=/sys/kernel/mm/damon/admin/kdamonds

# NAME COMMAND...: its output in the file NAME, its status and how long it took in NAME.status.
step() {
    local name=$1 begin=$EPOCHREALTIME status
    shift
    echo "$name" >&2
    "$@" >"$O/$name" 2>&1
    status=$?
    echo "$status $(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))" >"$O/$name.status"
    return $status
}
# SECONDS COMMAND...: until the command succeeds.
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.3
    done
}
main_pid() { systemctl show -P MainPID damod; }
# All running kdamonds: index, pid, the first scheme's action and quota, as the kernel has them.
kdamonds() {
    local at
    for at in "$ADMIN"/*/; do
        [ "$(cat "$at/state" 2>/dev/null)" = on ] || continue
        echo "$(basename "$at") $(cat "$at/pid") $(cat "$at"/contexts/0/schemes/0/{action,quotas/bytes} | tr '\n' ' ')"
    done
}
# The daemon's pid, the kernel's kdamonds, and what systemd knows.
look() {
    echo "main $(main_pid)"
    kdamonds
    systemctl show damod -p ActiveState -p SubState -p StatusText -p Type -p NRestarts -p Result
}
is_new() { [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ] && systemctl is-active damod; }
as() {
    local who=$1
    shift
    runuser -u "$who" -- bash -c 'cd; exec "$@"' bash "$@"
}
policy() { # NAME BYTES
    cat >"/etc/damo.d/$1.yaml" <<END
description: counts what is idle
kdamonds:
- contexts:
  - ops: paddr
    schemes:
    - action: stat
      access_pattern: {nr_accesses: {max: 0%}}
      quotas: {sz_bytes: $2, reset_interval_ms: 1s}
END
}

if [ "$boot" -gt 1 ]; then
    await 60 systemctl is-active damod
    step reboot-look look
    step reboot-policies damoctl policy list
    before=$(main_pid)
    step purge dpkg --purge damod
    step purge-left bash -c '
        ls -d /usr/lib/damod /usr/bin/damo* /etc/damod.yaml /run/damod /usr/lib/damo.d /var/lib/damod /etc/damo.d 2>/dev/null
        ls /etc/systemd/system/*.wants 2>/dev/null | grep damod
        ls /var/lib/systemd/deb-systemd-helper-enabled 2>/dev/null | grep damod
        systemctl list-unit-files --no-legend "damod*" | grep -v damod-test; true'
    step purge-kdamonds kdamonds
    step purge-processes bash -c 'pgrep -af "damod" | grep -v damod-test | grep -v run.sh; true'
    exit 0
fi

# -- as installed -------------------------------------------------------------------------------------------------------
step machine bash -c 'uname -r; cat /sys/devices/system/node/online; cat /sys/fs/cgroup/cgroup.controllers; systemctl --version | head -1'
step failed systemctl --failed --no-legend
step boot-time systemd-analyze time
step boot-look look
systemctl stop damod.service
step activation-before look
step activation damoctl status
step activation-after look
step security systemd-analyze security damod.service --no-pager
step man-where bash -c 'ls -l /usr/share/man/man*/damo*.gz'

# -- a policy: reload, restart, kill, watchdog -----------------------------------------------------------------------------
policy 50-kept 100M
step reload-first systemctl reload damod
step reload-first-look look
sleep 3
policy 50-kept 200M
step reload-edit systemctl reload damod
step reload-edit-look look
sleep 5
step ages-before damoctl report access --json --raw_number
step restart systemctl restart damod
step restart-look look
step ages-restart damoctl report access --json --raw_number
old=$(main_pid)
kill -KILL "$old"
step kill-back await 60 is_new "$old"
await 60 damoctl status
step kill-look look
step ages-kill damoctl report access --json --raw_number

mkdir -p /run/systemd/system/damod.service.d
printf '[Service]\nWatchdogSec=12\nTimeoutStopSec=4\n' >/run/systemd/system/damod.service.d/test.conf
systemctl daemon-reload
systemctl restart damod
step watchdog-before look
old=$(main_pid)
sleep 15
step watchdog-idle look
kill -STOP "$old"
step watchdog-back await 90 is_new "$old"
await 60 damoctl status
step watchdog-look look
rm -r /run/systemd/system/damod.service.d
systemctl daemon-reload
systemctl restart damod

# -- restarted in the middle of an apply -----------------------------------------------------------------------------------
for n in 1 2 3 4 5 6; do policy "6$n-more$n" "${n}0M"; done
systemctl reload --no-block damod
# The first of the six runs: now. A builtin reads it, because starting a program takes as long as starting a kdamond.
end=$((SECONDS + 20))
until read -r state <"$ADMIN/1/state" && [ "$state" = on ] || [ $SECONDS -gt $end ]; do :; done
step midway systemctl restart damod
step midway-look look
step midway-journal journalctl -u damod -n 30 --no-pager --no-hostname -o cat
step midway-policies damoctl policy list
for n in 2 3 4 5 6; do rm "/etc/damo.d/6$n-more$n.yaml"; done
systemctl reload damod
step fewer-look look

# -- what people do, behind the hardening ----------------------------------------------------------------------------------
step alice-status as alice damoctl status
step bob-status as bob damoctl status
step alice-access as alice damoctl report access
step alice-record as alice damoctl record --timeout 3 --out mine.data
step alice-files ls -ln /home/alice
step alice-reads as alice damoctl report record_info --input mine.data
step alice-detached as alice damoctl record --detach --name day
sleep 3
step alice-stops as alice damoctl record stop day
await 30 bash -c 'ls /var/lib/damod/records/day/damon.data'
step alice-day ls -lnR /var/lib/damod/records
step alice-elsewhere as alice damoctl record --timeout 1 --out /root/not-mine.data
step alice-enables as alice damoctl policy enable lru-sort
step alice-disables as alice damoctl policy disable lru-sort
sleep 1000 &
target=$!
step children as alice damoctl start --name kids --include_child_tasks "$target"
step children-status damoctl status --json
step children-stop as alice damoctl stop kids
kill $target
step perf as alice damoctl record --timeout 3 --do_profile --out hot.data
step perf-files ls -ln /home/alice
step denied bash -c 'journalctl -u damod --no-pager | grep -i "permission denied\|not permitted\|read-only file\|traceback"; true'
step journal journalctl -u damod --no-pager --no-hostname -o short-monotonic
sync
reboot_now
