#!/bin/sh
# What udhcpc learnt becomes true: busybox calls this (networking/udhcp).
case $1 in
bound | renew)
    ip address add "$ip/${mask:-24}" dev "$interface" 2>/dev/null
    for gateway in $router; do ip route replace default via "$gateway"; done
    : >/etc/resolv.conf
    for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
    ;;
esac
