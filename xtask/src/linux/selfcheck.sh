#!/bin/sh
# What a kernel does all day, with results that can be checked. Says
# "selfcheck: passed" at the end, or which check failed.
fail() { echo "selfcheck: FAILED: $1"; exit 1; }
check() { echo "selfcheck: $1"; }

check "200 processes"
n=0
while [ $n -lt 200 ]; do /bin/true || fail "a process"; n=$((n + 1)); done

check "floating point in four processes at a time"
for process in 1 2 3 4; do
    for turn in 1 2 3; do
        awk 'BEGIN { s = 0; for (i = 1; i <= 9000; i++) s += i / 3.7; printf "%.6f\n", s }'
    done >/tmp/float.$process &
done
wait
[ "$(cat /tmp/float.* | sort -u)" = "10947162.162162" ] || fail "floating point"

check "a pipe of a megabyte"
sum=$(yes 0123456789abcde | head -c 1048576 | md5sum)
[ "$sum" = "$(yes 0123456789abcde | head -c 1048576 | cat | cat | md5sum)" ] || fail "the pipe"

check "signals"
sleep 100 & child=$!
kill -USR1 $child
wait $child
[ $? -eq 138 ] || fail "a signal's status"
caught=no
trap 'caught=yes' USR2
kill -USR2 $$
[ $caught = yes ] || fail "a signal's handler"

check "time"
[ "$(date +%Y)" -ge 2025 ] || fail "the year is $(date +%Y)"
before=$(cut -d. -f1 /proc/uptime)
sleep 2
after=$(cut -d. -f1 /proc/uptime)
[ $((after - before)) -ge 1 ] || fail "sleep was too short"
last=0
for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    now=$(tr -d . </proc/uptime | cut -d' ' -f1)
    [ "$now" -ge "$last" ] || fail "time went back"
    last=$now
done

check "memory"
dd if=/dev/urandom of=/tmp/file bs=64k count=64 2>/dev/null
cp /tmp/file /tmp/copy
cmp /tmp/file /tmp/copy || fail "a copy differs"
# Blocks of this size are mapped and unmapped, a new process each time.
sum=$(md5sum </tmp/file)
for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ "$(dd if=/tmp/file bs=2M 2>/dev/null | md5sum)" = "$sum" ] || fail "a mapped block differs"
done
rm -f /tmp/file /tmp/copy /tmp/float.*

# More of it, in a program that has to be built: the tests bring it along.
if [ -x /bin/storm ]; then
    check "memory, processes and signals, by storm"
    storm || fail "storm"
fi

# A disk, where there is one: its first sectors are kept.
if [ -b /dev/vda ]; then
    check "disk"
    dd if=/dev/urandom of=/tmp/new bs=4k count=64 2>/dev/null
    dd if=/dev/vda of=/tmp/old bs=4k count=64 2>/dev/null || fail "reading the disk"
    dd if=/tmp/new of=/dev/vda bs=4k count=64 conv=fsync 2>/dev/null || fail "writing the disk"
    echo 3 >/proc/sys/vm/drop_caches
    dd if=/dev/vda of=/tmp/read bs=4k count=64 2>/dev/null
    cmp /tmp/new /tmp/read || fail "the disk gave back something else"
    dd if=/tmp/old of=/dev/vda bs=4k count=64 conv=fsync 2>/dev/null
fi
echo "selfcheck: passed"
