#!/bin/sh
# shellcheck disable=SC2125,SC2217,SC2254,SC3045
# (a prefix that is meant to be a pattern; nothing of a child may read the requests; read -d is
# tried before it is used.)
#
# The gander probe: answers requests on standard input with framed sections on standard output.
# See wire.rs for the protocol. It reads /proc and /sys and writes nothing anywhere.
#
# It lies in a file behind a forced command (command="/usr/local/lib/gander/probe"), or it comes to
# a node in two lines that script.rs makes of it: the exec request has what stands before and behind
# the marks "the second line", which says hello; what stands between them, nearly all of it, follows
# over standard input. (dropbear takes no command of more than 9000 bytes, and who sends a long one
# keeps a buffer of its length for as long as the session lives.) For that:
#  - a comment has a line of its own;
#  - a line ends where a semicolon may stand, or in one of ; { ( | & do then else in;
#  - in the first line no single quote, backslash or exclamation mark: a login shell (csh, fish) may
#    read them.
#
# What dash and BusyBox cost is one or two system calls for every byte that `read` reads, so the
# tick reads no more of a file than it needs; what bash and ksh cost is a seek back for every
# line, so there a file is taken in one piece.

PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
exec 2>/dev/null
# Not to keep a mount point busy.
cd /
set -f
# The standard separators are space, tab, newline.
standard=$IFS
nl=${IFS#??}
tab=${IFS%?}
tab=${tab#?}
# Said with the greeting where the second line is still to come.
rest=

# ---- the second line ----

# The answer being built. One variable, so that an answer is one write.
o=
# Fits the last cpu line of /proc/stat, once that is known.
cpu=intr*
# Jobs that hung the last time they were tried, as JOB:SECTION:PROCESS.
hung=" "
# Whether stat -f is known to work here.
statfs=
# A guest that shares its host's kernel (LXC, Docker) sees the host in most of /proc. What is its own
# is in its cgroup, mounted where a machine of its own has the root of all groups; that one has no
# events (version 2) and is told what to run when a group is empty (version 1).
group=
c=/sys/fs/cgroup
if [ -r $c/cgroup.events ]; then
  group=2
elif [ -r $c/memory/memory.limit_in_bytes ]; then
  [ -e $c/memory/release_agent ] || group=1
fi
# The files of the pressure are $pressure/cpu$dot, $pressure/memory$dot, $pressure/io$dot.
pressure=/proc/pressure
dot=
[ "$group" ] && { pressure=$c; dot=.pressure; }
[ -r "$pressure/cpu$dot" ] || pressure=

# load FILE LAST: the lines of FILE in $v, as far as the first that fits the pattern LAST.
load() {
  v=
  while read -r l; do
    v=$v$l$nl
    case $l in
      $2) break ;;
    esac
  done <"$1"
}
case $BASH_VERSION$KSH_VERSION in
  ?*) v=; read -r -d "" v </proc/uptime; [ "$v" ] && load() { v=; read -r -d "" v <"$1"; } ;;
esac

# say TEXT: prints it. In mksh printf is a program, so it would fork.
case $KSH_VERSION in
  *MIRBSD*) say() { print -rn -- "$1"; } ;;
  *) say() { printf %s "$1"; } ;;
esac

# section NAME FILE LAST: starts the section NAME and loads FILE for it.
section() {
  if [ -r "$2" ]; then
    o=$o=$1$nl
    load "$2" "$3"
  else
    v=
    o="$o?$1 $2 cannot be read$nl"
  fi
}

# Whole disks only: /sys/block lists no partitions, /proc/diskstats does.
disks() {
  if [ -d /sys/block ]; then
    o=$o=blockstat$nl
    IFS=$standard
    set +f
    for d in /sys/block/*; do
      case $d in
        */loop*|*/ram*|*/zram*|*/sr*|*/fd*) continue ;;
      esac
      read -r l <"$d/stat"
      case $l in
        *[1-9]*) o="$o${d##*/} $l$nl" ;;
      esac
      l=
    done
    set -f
    IFS=$nl
  else
    section diskstats /proc/diskstats
    for l in $v; do
      case $l in
        *" loop"*|*" ram"*|*" zram"*|*" sr"*|*" fd"*) ;;
        *" "*" "*[a-z]*" "*[1-9]*) o=$o$l$nl ;;
      esac
    done
  fi
}

# fact NAME FILE: the first line of FILE.
fact() {
  l=
  read -r l <"$2"
  [ "$l" ] && o="$o$1 $l$nl"
}

# The group of a guest: values of one line, and of tables the lines that count.
cgroup() {
  o=$o=cgroup$group$nl
  case $group in
    2) for d in memory.max memory.current memory.swap.max memory.swap.current cpu.max cpuset.cpus.effective; do
        fact $d $c/$d
      done
      load $c/cpu.stat "throttled_u*"
      o=$o$v$nl
      load $c/memory.stat "slab_r*"
      ;;
    1) for d in memory.limit_in_bytes memory.usage_in_bytes memory.memsw.limit_in_bytes memory.memsw.usage_in_bytes; do
        fact $d $c/memory/$d
      done
      for d in cpu.cfs_quota_us cpu.cfs_period_us; do
        fact $d $c/cpu/$d
      done
      fact cpuacct.usage $c/cpuacct/cpuacct.usage
      fact cpuset.cpus $c/cpuset/cpuset.cpus
      load $c/cpuacct/cpuacct.stat
      o=$o$v$nl
      load $c/cpu/cpu.stat
      o=$o$v$nl
      load $c/memory/memory.stat "total_active_f*"
      ;;
  esac
  for l in $v; do
    case $l in
      inactive_f*|active_f*|slab_r*|hier*|total_inactive_f*|total_active_f*) o=$o$l$nl ;;
    esac
  done
}

tick() {
  IFS=$nl
  # The intr line behind the cpu lines is long, tens of KB on big machines: dash stops before it.
  section stat /proc/stat "$cpu"
  for l in $v; do
    case $l in
      cpu*) o=$o$l$nl; cpu="${l%%" "*} *" ;;
      *) break ;;
    esac
  done
  section meminfo /proc/meminfo "SRecl*"
  # Kernels before 3.14 have no MemAvailable; it is estimated from the file caches.
  a="*ctive?f*"
  for l in $v; do
    case $l in
      MemA*) o=$o$l$nl; a=- ;;
      Mem*|Buffers:*|Cached:*|SwapT*|SwapF*|$a) o=$o$l$nl ;;
      SRecl*) o=$o$l$nl; break ;;
    esac
  done
  read -r l </proc/loadavg
  o=$o=loadavg$nl$l$nl
  read -r l </proc/uptime
  o=$o=uptime$nl$l$nl
  disks
  section netdev /proc/net/dev
  for l in $v; do
    case $l in
      # Interfaces of containers come in hundreds and are counted on their bridge as well.
      *lo:*|veth*|cali*|lxc*|*"|"*) ;;
      # Silent ones say nothing.
      *:*[1-9]*) o="$o $l$nl" ;;
    esac
  done
  if [ "$pressure" ]; then
    o=$o=pressure$nl
    IFS=$standard
    read -r a b l <"$pressure/cpu$dot"
    o="${o}cpu $a $b$nl"
    for d in memory io; do
      { read -r a b l; o="$o$d $a $b$nl"; read -r a b l; o="$o$d $a $b$nl"; } <"$pressure/$d$dot"
    done
    IFS=$nl
  fi
  [ "$group" ] && cgroup
  section sockstat /proc/net/sockstat "UDP:*"
  for l in $v; do
    case $l in
      TCP:*|UDP:*) o=$o$l$nl ;;
    esac
  done
  if [ -r /proc/net/sockstat6 ]; then
    load /proc/net/sockstat6 "UDP6:*"
    for l in $v; do
      case $l in
        TCP6:*|UDP6:*) o=$o$l$nl ;;
      esac
    done
  fi
  IFS=$standard
}

facts() {
  f=
  for d in /etc/os-release /usr/lib/os-release; do
    [ "$f" ] || { [ -r "$d" ] && f=$d; }
  done
  o=$o=os_release$nl
  if [ "$f" ]; then
    load "$f"
    IFS=$nl
    for l in $v; do
      case $l in
        ID=*|PRETTY_NAME=*|NAME=*|VERSION_ID=*) o=$o$l$nl ;;
      esac
    done
    IFS=$standard
  else
    fact release /etc/redhat-release
  fi
  o=$o=kernel$nl
  fact ostype /proc/sys/kernel/ostype
  fact osrelease /proc/sys/kernel/osrelease
  fact hostname /proc/sys/kernel/hostname
  fact boot_id /proc/sys/kernel/random/boot_id
  fact online /sys/devices/system/cpu/online
  l=
  # The marks of engines may also lie in an image that a machine was made of.
  if [ "$group" ]; then
    l=container
    [ -e /.dockerenv ] && l=docker
    [ -e /run/.containerenv ] && l=podman
  fi
  read -r d </run/systemd/container && l=$d
  [ "$l" ] && o="${o}container $l$nl"
  o="${o}arch $(uname -m </dev/null)$nl"
  # Of the first CPU only.
  o=$o=cpuinfo$nl
  n=0
  while read -r l; do
    case $l in
      "model name"*|"cpu model"*|cpu"$tab"*|"CPU impl"*|"CPU part"*|Hardware*|Model*|machine*) o=$o$l$nl ;;
      processor*) n=$((n+1)); [ "$n" -lt 2 ] || break ;;
    esac
  done </proc/cpuinfo
  fact board /proc/device-tree/model
}

# Heavy sections run in a process of their own that is given two seconds. Lines that begin with @
# are between the processes. A line that is not ours begins with a space, a digit or a slash.

# run COMMAND...: announces the process that may hang.
run() (
  read -r p l </proc/self/stat
  echo "@job $p"
  exec "$@"
)

sensors() {
  echo "=thermal"
  set +f
  for d in /sys/class/thermal/thermal_zone*; do
    read -r t <"$d/temp" && read -r n <"$d/type" && echo "$t $n"
  done
  echo "=hwmon"
  for d in /sys/class/hwmon/hwmon*/temp*_input /sys/class/hwmon/hwmon*/device/temp*_input; do
    read -r t <"$d" || continue
    n=
    l=
    read -r n <"${d%/*}/name"
    read -r l <"${d%_input}_label"
    case $l in
      # The package above them says enough.
      "Core "*) continue ;;
    esac
    echo "$t $n $l"
  done
  set -f
}

processes() {
  set +f
  set -- /proc/[0-9]*
  set -f
  echo "=processes"
  # Where the first is hidden from us (mount option hidepid), most others are.
  [ -d /proc/1 ] && echo "total $#"
}

# The local filesystems, one for each device: a network one that is dead is never touched.
filesystems() {
  grep -hE "^procs_blocked |^[^ ]+ / |^[^ ]+ [^ ]+ (ext[234]|xfs|btrfs|zfs|bcachefs|f2fs|jfs|reiserfs|nilfs2|ocfs2|gfs2|vfat|msdos|exfat|ntfs3?|fuseblk|ufs|hfsplus|ubifs|jffs2|simfs|vzfs) " /proc/stat /proc/mounts | {
    seen=" "
    n=0
    b=
    set --
    while read -r d m t l; do
      case $t in
        "") b=1; echo "blocked $m"; continue ;;
        nfs*|cifs|smb*|ceph|glusterfs|lustre|9p|fuse.*|squashfs|iso9660|erofs|rootfs) continue ;;
      esac
      case $seen in
        *" $d "*) continue ;;
      esac
      p=$m
      case $m in
        # Spaces and the like come as octal escapes.
        *0[0-9][0-9]*|*134*) p=$(printf "%b" "$m") ;;
      esac
      # Files can be mount points too: containers have /etc/hosts.
      [ -d "$p" ] || continue
      seen="$seen$d "
      [ "$n" -gt 0 ] || echo "=mounts"
      printf " %s %s %s%s" "$d" "$m" "$t" "$nl"
      set -- "$@" "$p"
      n=$((n+1))
      [ "$n" -lt 64 ] || break
    done
    if [ -z "$b" ]; then
      echo "?mounts there is no grep, or /proc/mounts cannot be read"
    elif [ "$n" -eq 0 ]; then
      echo "=mounts"
    elif [ "$statfs" ] || stat -f -c %S / >/dev/null; then
      echo "=statfs"
      run stat -f -c "%S %b %f %a %c %d %n" "$@"
    else
      echo "=df"
      df -kP "$@"
      echo "=dfi"
      df -iP "$@"
    fi
  }
}

# Whether an update waits for a reboot, and how many wait to be installed, where files tell.
updates() {
  echo "=updates"
  if [ -e /run/reboot-required ] || [ -e /var/run/reboot-required ]; then
    echo "reboot 1"
  elif [ -e /var/lib/dpkg/status ]; then
    echo "reboot 0"
  fi
  [ -r /var/lib/update-notifier/updates-available ] || return
  while read -r l; do
    case $l in
      *[0-9]*) echo "available $l" ;;
    esac
  done </var/lib/update-notifier/updates-available
}

units() {
  [ -d /run/systemd/system ] || return
  echo "=units"
  if run systemctl list-units --state=failed --no-legend --no-pager --plain; then
    echo "complete"
  else
    echo "?units systemctl could not list the failed units"
  fi
}

# How many sockets there are of each state.
tcp() {
  [ -r /proc/net/tcp ] || return
  echo "=tcp"
  run awk 'BEGIN {
    for (i = 1; i < ARGC; i++) while (0 < (getline l < ARGV[i])) {
      if (50000 < ++n) { print "?tcp there are more than 50000 sockets, too many to count"; exit };
      split(l, a);
      s[a[4]]++;
    };
    for (i in s) if (i != "st") print i, s[i];
    print "complete";
  }' /proc/net/tcp /proc/net/tcp6 || echo "?tcp awk is missing or failed"
}

# Containers by their groups: of Docker, Podman, containerd and CRI-O, LXC, and systemd-nspawn.
containers() {
  m=$c
  a=$c
  [ -d $c/memory ] && { m=$c/memory; a=$c/cpuacct; }
  set +f
  set -- $m/docker/[0-9a-f]* $m/system.slice/docker-*.scope $m/machine.slice/libpod-*.scope $m/libpod_parent/libpod-* $m/user.slice/user-*/user@*/user.slice/libpod-*.scope $m/kubepods*/pod*/[0-9a-f]* $m/kubepods*/*/pod*/[0-9a-f]* $m/kubepods*/*/*/cri*.scope $m/kubepods*/*/*.slice/*/cri*.scope $m/lxc/* $m/lxc.payload.* $m/machine.slice/systemd-nspawn@*
  set -f
  for d do
    shift
    [ -d "$d" ] && set -- "$@" "$d"
  done
  echo "=containers"
  [ $# -gt 0 ] || return
  run awk 'BEGIN {
    m = ARGV[1]; c = ARGV[2];
    for (i = 3; i < ARGC && i < 260; i++) {
      d = ARGV[i];
      p = substr(d, length(m) + 1);
      u = ""; f = 0; t = ""; name = "";
      if (0 < (getline l < (d "/memory.current"))) u = l; else if (0 < (getline l < (d "/memory.usage_in_bytes"))) u = l;
      while (0 < (getline l < (d "/memory.stat"))) if (l ~ /^(total_)?inactive_file /) { sub(/.* /, "", l); f = l };
      if (0 < (getline l < (c p "/cpuacct.usage"))) t = l;
      if (0 < (getline l < (c p "/cpu.stat")) && l ~ /^usage_usec /) { sub(/.* /, "", l); t = l "000" };
      close(d "/memory.current"); close(d "/memory.usage_in_bytes"); close(d "/memory.stat"); close(c p "/cpu.stat"); close(c p "/cpuacct.usage");
      if (match(p, /[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]+/)) {
        j = "/var/lib/docker/containers/" substr(p, RSTART, RLENGTH) "/config.v2.json";
        if (0 < (getline l < j) && match(l, /"Name":"[/][A-Za-z0-9_.-]*"/)) name = substr(l, RSTART + 9, RLENGTH - 10);
        close(j);
      };
      print "", (u == "" ? "-" : u), f, (t == "" ? "-" : t), (name == "" ? "-" : name), p;
    };
  }' "$m" "$a" "$@" || echo "?containers awk is missing or failed"
}

gpus() {
  set +f
  set -- /sys/class/drm/card[0-9]*/device/gpu_busy_percent
  set -f
  if [ -r "$1" ]; then
    echo "=amdgpu"
    for d do
      d=${d%/*}
      p=${d%/device}
      v=
      for l in gpu_busy_percent mem_info_vram_used mem_info_vram_total; do
        t=-
        read -r t <"$d/$l"
        v="$v $t"
      done
      echo "${p##*/}$v"
    done
  fi
  command -v nvidia-smi >/dev/null || return
  echo "=nvidia"
  run nvidia-smi --query-gpu=index,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw --format=csv,noheader,nounits || echo "?nvidia nvidia-smi failed"
}

# Series that the owner of the machine leaves for us in files. They are read, never run.
prom() {
  set +f
  set -- /var/lib/gander/textfile/*.prom /var/lib/prometheus/node-exporter/*.prom /var/lib/node_exporter/textfile_collector/*.prom
  set -f
  for d do
    shift
    [ -f "$d" ] && set -- "$@" "$d"
  done
  [ $# -gt 0 ] || return
  echo "=prom"
  run awk 'BEGIN {
    for (i = 1; i < ARGC; i++) {
      k = 0;
      while (n <= 500 && 0 < (getline l < ARGV[i])) {
        k++;
        if (l !~ /^[ \t]*(#|$)/) { n++; print ARGV[i] ":" k ":" substr(l, 1, 400) };
      };
      close(ARGV[i]);
    };
  }' "$@" || echo "?prom awk is missing or failed"
}

# Every process that is no thread of the kernel, or one that was busy: who gets to the top is decided
# by the difference to the list before.
top() {
  set +f
  set -- /proc/[0-9]*
  set -f
  echo "=top"
  run awk 'BEGIN {
    while (0 < (getline l < "/etc/passwd")) { split(l, a, ":"); user[a[3]] = a[1] };
    for (i = 1; i < ARGC && n <= 1000; i++) {
      s = ""; f = ARGV[i] "/stat";
      while (0 < (getline l < f)) s = s l;
      close(f);
      if (!sub(/^.*[)] /, "", s) || split(s, a, " ") < 22 || (a[21] == 0 && a[12] + a[13] < 1000)) continue;
      name = "-"; uid = "-"; rss = 0; f = ARGV[i] "/status";
      while (0 < (getline l < f)) {
        if (l ~ /^Name:/) name = substr(l, 7);
        if (l ~ /^Uid:/) { split(l, b); uid = b[3] };
        if (l ~ /^VmRSS:/) { split(l, b); rss = b[2]; break };
      };
      close(f);
      n++;
      print substr(ARGV[i], 7), a[20], a[12] + a[13], rss, (uid in user) ? user[uid] : uid, name;
    };
  }' "$@" || echo "?top awk is missing or failed"
}

job() {
  for j do
    read -r p l </proc/self/stat
    echo "@run $j $p"
    "$j"
  done
  echo "@end"
}

dog() {
  ( read -r p l </proc/self/stat; echo "@dog $p"; exec sleep 2 )
  echo "@late"
}

# bounded JOB...: runs the jobs against the dog and prints what came in time. Neither holds our own
# channel open.
bounded() {
  e=
  dog=
  {
    read -r p l </proc/self/stat
    echo "@top $p"
    dog &
    job "$@" &
    wait
  } </dev/null | while IFS= read -r l; do
    case $l in
      "@top "*) top=${l#* } ;;
      "@dog "*) dog=${l#* }; [ "$e" ] && { kill "$dog"; break; } ;;
      "@run "*) j=${l#* }; shell=${j#* }; j=${j%% *}; s=$j; job=$shell ;;
      "@job "*) job=${l#* } ;;
      "@end") [ "$dog" ] && { kill "$dog"; break; }; e=1 ;;
      "@late") kill -9 "$job" "$shell" "$top"; echo "@late $s $job $j"; break ;;
      =*) s=${l#=}; echo "$l" ;;
      *) printf "%s%s" "$l" "$nl" ;;
    esac
  done
}

# alive PID: there, and not just waiting to be reaped.
alive() {
  read -r l <"/proc/$1/stat" || return 1
  case $l in
    *") Z "*) return 1 ;;
  esac
}

# heavy JOB...: one that hung and still does is left out, one that hung and was ended comes last, so
# that it does not take the others their time again.
heavy() {
  first=
  last=
  for j do
    case $hung in
      *" $j:"*) d=${hung#*" $j:"}
        d=${d%% *}
        if alive "${d#*:}"; then
          o="$o?${d%:*} still hangs in process ${d#*:}, not tried again before that ends$nl"
        else
          hung="${hung%%" $j:"*} ${hung#*" $j:$d "}"
          last="$last $j"
        fi
        ;;
      *) first="$first $j" ;;
    esac
  done
  [ "$first$last" ] || return
  r=$(bounded $first $last)
  case $r in
    *"=statfs$nl"[0-9]*) statfs=1 ;;
  esac
  case $r in
    *"$nl@late "*|"@late "*) set -- ${r##*"@late "}
      hung="$hung$3:$1:$2 "
      r=${r%"@late "*}
      o="$o$r?$1 gave up after 2 s$nl"
      ;;
    ?*) o=$o$r$nl ;;
  esac
}

slow() {
  # Look again which is the last CPU.
  cpu=intr*
  heavy sensors processes filesystems
}

rare() {
  heavy updates tcp containers units gpus prom
}

# ---- the second line ----

os=
read -r os </proc/sys/kernel/ostype || os=$(uname -s </dev/null)
# The words are apart here, so that a shell that prints its command does not greet for us.
# The empty line ends whatever was printed before.
# Behind a forced command sshd says what was asked for instead.
printf "%s@%s hello %s %s from=%s%s%s%s" "$nl" gander 1 "$os" "${SSH_CONNECTION%% *}" "${SSH_ORIGINAL_COMMAND:+ locked}" "$rest" "$nl"
# ---- the second line is read here ----

while read -r seq want; do
  o=
  case $want in *tick*) tick ;; esac
  case $want in *facts*) facts ;; esac
  case $want in *slow*) slow ;; esac
  case $want in *rare*) rare ;; esac
  case $want in *top*) heavy top ;; esac
  say "@gander answer $seq ${#o}$nl$o@gander end $seq$nl" || exit 1
done
