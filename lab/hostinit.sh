#!/bin/sh
# Become one host of the lab: own root (overlay), processes, /tmp, /run, host name; then sshd as its first process.
# usage: ip netns exec NS unshare -m -u -p -f --kill-child=KILL sh hostinit.sh NAME DIRECTORY REPOSITORY
set -e
name=$1 dir=$2 repo=$3
hostname "$name"
mount --make-rprivate /
mkdir -p "$dir/layers" "$dir/root" "$dir/shared"
mount -t tmpfs -o size=64m,mode=755 tmpfs "$dir/layers"
mkdir "$dir/layers/up" "$dir/layers/work"
cp -R "$dir/seed/." "$dir/layers/up/"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/layers/up,workdir=$dir/layers/work" "$dir/root"
cd "$dir/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs sysfs sys
mount -t tmpfs -o size=64m,mode=1777 tmpfs tmp
mount -t tmpfs -o size=64m,mode=1777 tmpfs var/tmp
mount -t tmpfs -o size=8m,mode=755 tmpfs run
mkdir -p run/sshd lab .old ".$repo"
mount --rbind "$repo" ".$repo"
mount --bind "$dir/shared" lab
[ ! -f lab/labclk.so ] || echo /lab/labclk.so > etc/ld.so.preload
pivot_root . .old
cd /
umount -l /.old
# Without CAP_SYS_TIME: the real-time clock is the machine's, no namespace protects it.
exec setpriv --bounding-set=-sys_time,-sys_boot,-sys_module,-sys_rawio /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config.lab </dev/null >/run/sshd.log 2>&1
