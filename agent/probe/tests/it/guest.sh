#!/bin/sh
# Runs "$@" in a guest of 256 MiB and half a core, its cgroup mounted as a container engine mounts it.
# NAME is that of the group.
set -e
c=/sys/fs/cgroup
if [ -e $c/cgroup.controllers ]; then
  mkdir $c/$NAME
  echo 268435456 >$c/$NAME/memory.max
  echo '50000 100000' >$c/$NAME/cpu.max
  echo $$ >$c/$NAME/cgroup.procs
  exec unshare -m -C sh -ec 'umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"' sh "$@"
fi
for h in memory cpu cpuacct; do
  mkdir $c/$h/$NAME
done
echo 268435456 >$c/memory/$NAME/memory.limit_in_bytes
echo 50000 >$c/cpu/$NAME/cpu.cfs_quota_us
for h in memory cpu cpuacct; do
  echo $$ >$c/$h/$NAME/cgroup.procs
done
exec unshare -m sh -ec '
t=/run
mount -t tmpfs tmpfs $t
for h in memory cpu cpuacct; do
  mkdir $t/$h
  mount --bind /sys/fs/cgroup/$h/$NAME $t/$h
done
mount --bind $t /sys/fs/cgroup
for h in memory cpu cpuacct; do
  mount --bind $t/$h /sys/fs/cgroup/$h
done
umount -l $t
exec "$@"' sh "$@"
