#!/bin/sh
# The gander probe: answers requests on standard input with framed sections.
LC_ALL=C;
nl=${IFS#??};
read -r os </proc/sys/kernel/ostype;
echo;
echo "@gander hello 1 $os";
while read -r seq want; do
  o="=loadavg$nl";
  read -r l </proc/loadavg;
  o="$o$l$nl";
  echo "@gander answer $seq ${#o}";
  printf "%s" "$o";
  echo "@gander end $seq";
done
