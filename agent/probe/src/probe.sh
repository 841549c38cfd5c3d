#!/bin/sh
# shellcheck disable=SC2125,SC2217,SC2254,SC3045
# (a prefix that is meant to be a pattern; nothing of a child may read the requests; read -d is
# tried before it is used.)
#
# The gander probe: answers requests on standard input with framed sections on standard output.
# See wire.rs for the protocol. It reads /proc and /sys and writes nothing anywhere.
#
# It comes to a node as the one line that exec_command() makes of it, or lies there in a file
# behind a forced command (command="/usr/local/lib/gander/probe"). For the former:
#  - a comment has a line of its own;
#  - no single quote, backslash or exclamation mark: a login shell (csh, fish) may read them;
#  - a line ends where a semicolon may stand, or in one of ; { ( | & do then else in.
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
# The answer being built. One variable, so that an answer is one write.
o=
# Fits the last cpu line of /proc/stat, once that is known.
cpu=intr*
# The process that hung in a slow section, while it may still be there.
stuck=
# Whether stat -f is known to work here.
statfs=
pressure=
[ -r /proc/pressure/cpu ] && pressure=1

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
    read -r a b l </proc/pressure/cpu
    o="${o}cpu $a $b$nl"
    for d in memory io; do
      { read -r a b l; o="$o$d $a $b$nl"; read -r a b l; o="$o$d $a $b$nl"; } <"/proc/pressure/$d"
    done
    IFS=$nl
  fi
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

# Slow sections run in a process of their own that is given two seconds. Lines that begin with @
# are between the processes: @top, @dog and @job tell who they are.
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
      ( read -r p l </proc/self/stat; echo "@job $p"; exec stat -f -c "%S %b %f %a %c %d %n" "$@" )
    else
      echo "=df"
      df -kP "$@"
      echo "=dfi"
      df -iP "$@"
    fi
  }
}

job() {
  read -r p l </proc/self/stat
  echo "@job $p"
  sensors
  processes
  filesystems
  echo "@end"
}

dog() {
  ( read -r p l </proc/self/stat; echo "@dog $p"; exec sleep 2 )
  echo "@late"
}

# Runs the job against the dog and prints what came in time. Neither holds our own channel open.
bounded() {
  e=
  dog=
  {
    read -r p l </proc/self/stat
    echo "@top $p"
    dog &
    job &
    wait
  } </dev/null | while IFS= read -r l; do
    case $l in
      "@top "*) top=${l#* } ;;
      "@dog "*) dog=${l#* }; [ "$e" ] && { kill "$dog"; break; } ;;
      "@job "*) job=${l#* } ;;
      "@end") [ "$dog" ] && { kill "$dog"; break; }; e=1 ;;
      "@late") kill -9 "$job" "$top"; echo "@late $s $job"; break ;;
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

slow() {
  # Look again which is the last CPU.
  cpu=intr*
  if [ "$stuck" ] && alive "$stuck"; then
    o="$o?$hung still hangs in process $stuck, not tried again before that ends$nl"
    return
  fi
  stuck=
  r=$(bounded)
  case $r in
    *"=statfs$nl"[0-9]*) statfs=1 ;;
  esac
  case $r in
    *"$nl@late "*) set -- ${r##*"$nl@late "}; hung=$1; stuck=$2; o="$o${r%"$nl@late "*}$nl?$hung gave up after 2 s$nl" ;;
    *) o=$o$r$nl ;;
  esac
}

# fact NAME FILE: the first line of FILE.
fact() {
  l=
  read -r l <"$2"
  [ "$l" ] && o="$o$1 $l$nl"
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

os=
read -r os </proc/sys/kernel/ostype || os=$(uname -s </dev/null)
# The words are apart here, so that a shell that prints its command does not greet for us.
# The empty line ends whatever was printed before.
printf "%s@%s hello %s %s%s" "$nl" gander 1 "$os" "$nl"

while read -r seq want; do
  o=
  case $want in *tick*) tick ;; esac
  case $want in *facts*) facts ;; esac
  case $want in *slow*) slow ;; esac
  say "@gander answer $seq ${#o}$nl$o@gander end $seq$nl" || exit 1
done
