# Writes to a file system whose disk's power may be cut at any moment, and tells the host what an fsync has promised: a line
# in "promised" in the shared directory when the call has returned. Makes "begin" there once the file system is made, ends
# when "enough" is there. power-cut-check.sh looks at what the cuts have left.
# environment: FS=ext4|xfs|btrfs
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

load-module "$FS" 2>/dev/null || true
case $FS in
  ext4) check "mkfs" mkfs.ext4 -q -F "$DISK" ;;
  xfs) check "mkfs" mkfs.xfs -q -f "$DISK" ;;
  btrfs) check "mkfs" mkfs.btrfs -q -f "$DISK" ;;
  *) fail "FS must be ext4, xfs or btrfs" ;;
esac
check "mount" mount -t "$FS" "$DISK" /run/a
# The kernel writes back at once what nobody syncs, so that there is much to lose.
echo 5 >/proc/sys/vm/dirty_writeback_centisecs
echo 2 >/proc/sys/vm/dirty_expire_centisecs
sync
touch /run/share/begin

# Writes that nobody asks to be kept: there is always something that a cut may lose, and blocks come and go.
noise() {
  round=0
  while [ ! -e /run/share/enough ]; do
    round=$((round + 1))
    dd if=/dev/urandom of=/run/a/noise$((round % 7)) bs=64k count=$((round % 20 + 1)) conv=notrunc 2>/dev/null
    rm -f /run/a/noise$(((round + 3) % 7))
    mkdir -p /run/a/directory$((round % 5))/inner
    rmdir /run/a/directory$(((round + 2) % 5))/inner 2>/dev/null
  done
}
noise &

# replaced NAME VERSION  the file NAME holds that version or a later one, whole: it was renamed, and the directory synced
# created NAME           the file is there with its first version: its fsync has returned
# appended NAME COUNT    the file begins with that many records
# shellcheck disable=SC2016 # it is perl's
writer='
use IO::Handle;
my ($id) = @ARGV;
srand($id);
open(my $promised, ">>", "/run/share/promised") or die "promised: $!";
sub promise { syswrite($promised, "@_\n") }
sub content { my ($name, $version, $length) = @_; my $line = "$name $version $length\n"; substr($line x ($length / length($line) + 1), 0, $length) }
sub store {
  my ($file, $text) = @_;
  open(my $out, ">", $file) or die "$file: $!";
  syswrite($out, $text) == length($text) or die "$file: $!";
  $out->sync or die "fsync $file: $!";
  close $out;
}
sub sync_directory { open(my $d, "<", "/run/a") or die "directory: $!"; $d->sync or die "fsync of the directory: $!"; close $d }
open(my $log, ">>", "/run/a/log$id") or die "log: $!";
my ($round, $records) = (0, 0);
until (-e "/run/share/enough") {
  $round++;
  my $kind = int(rand(3));
  my $length = 200 + int(rand(rand() < 0.2 ? 300000 : 9000));
  if ($kind == 0) {
    my $name = "replaced$id." . $round % 4;
    store("/run/a/new$id", content($name, $round, $length));
    rename("/run/a/new$id", "/run/a/$name") or die "rename: $!";
    sync_directory();
    promise("replaced", $name, $round);
  } elsif ($kind == 1) {
    my $name = "created$id.$round";
    store("/run/a/$name", content($name, 1, $length));
    promise("created", $name);
  } else {
    $records++;
    syswrite($log, sprintf("%-99s\n", "log$id record $records")) == 100 or die "append: $!";
    $log->sync or die "fsync of the log: $!";
    promise("appended", "log$id", $records);
  }
}
'
writers=
for id in 1 2 3; do
  perl -e "$writer" $id &
  writers="$writers $!"
done
for writer in $writers; do
  wait "$writer" || fail "a writer failed"
done
wait
say "promises: $(wc -l </run/share/promised)"
