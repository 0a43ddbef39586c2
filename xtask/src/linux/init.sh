#!/bin/sh
# The first process: mounts what programs expect, loads the drivers of the
# devices that the machine may have, and gives the console to a shell.
/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
export PATH=/sbin:/usr/sbin:/bin:/usr/bin HOME=/root TERM=${TERM:-vt100}
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
mount -t tmpfs run /run
hostname linux
for module in /lib/modules/*; do
    # The kernel's own decompression needs a call that busybox does not make.
    case $module in
    *.xz) unxz -c "$module" >/tmp/module.ko ;;
    *) cp "$module" /tmp/module.ko ;;
    esac
    insmod /tmp/module.ko 2>/dev/null
done
rm -f /tmp/module.ko
ip link set lo up
# A virtio console comes with a driver that has only now been loaded.
if grep -q console=hvc0 /proc/cmdline && [ -c /dev/hvc0 ]; then
    exec </dev/hvc0 >/dev/hvc0 2>&1
fi
# The size of the terminal, if the host tool knows it.
if [ -n "$COLUMNS" ]; then
    stty rows "$LINES" cols "$COLUMNS"
    unset LINES COLUMNS
fi
# The network: guest N has 10.0.3.(15 + N) among the guests, and asks QEMU's
# user network, where there is one, for 10.0.2.(15 + N). N is in the address
# of the interface, which is QEMU's first one plus N.
if [ -d /sys/class/net/eth0 ]; then
    host=$((0x$(cut -d: -f6 /sys/class/net/eth0/address) - 0x56 + 15))
    ip link set eth0 up
    ip address add 10.0.3.$host/24 dev eth0
    udhcpc -i eth0 -r 10.0.2.$host -s /etc/dhcp.sh -t 8 -T 2 -n -q >/run/dhcp.log 2>&1 &
fi
# A page to fetch, once there is an address.
page=$(sed -n 's/.*fetch=\([^ ]*\).*/\1/p' /proc/cmdline)
cd /root
echo
echo "Linux $(uname -r) on $(nproc) vCPU: a shell of busybox."
echo "selfcheck tests the machine; poweroff, reboot."
if [ -n "$page" ]; then
    wait
    echo "wget $page"
    wget -q -T 60 -O - "$page"
fi
# What busybox's commands ask of the first process by signals.
trap 'poweroff -f' USR1 USR2
trap 'reboot -f' TERM
setsid cttyhack sh &
wait $!
poweroff -f
