# Looks at what power cuts have left of the file systems of power-cut.sh: /dev/vda after the first cut, vdb after the second
# and so on. Each must be mountable, keep every promise that was made before its cut, and be clean when checked.
# environment: FS as there; the share has "promised-0", "promised-1" ...
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

load-module "$FS" 2>/dev/null || true

# shellcheck disable=SC2016 # it is perl's
keeper='
my ($kept, $broken) = (0, 0);
sub content { my ($name, $version, $length) = @_; my $line = "$name $version $length\n"; substr($line x ($length / length($line) + 1), 0, $length) }
sub text { my ($name) = @_; open(my $in, "<", "/run/a/$name") or return; local $/; my $text = <$in>; $text // "" }
sub broken { print "broken promise: @_\n"; $broken++ }
my %latest;
while (<STDIN>) {
  my ($kind, $name, $number) = split;
  $latest{"$kind $name"} = $number // 1;
}
for my $key (sort keys %latest) {
  my ($kind, $name) = split / /, $key;
  my $number = $latest{$key};
  my $text = text($name);
  if (!defined $text) { broken("$key $number: the file is not there"); next }
  if ($kind eq "appended") {
    my $whole = join("", map { sprintf("%-99s\n", "$name record $_") } 1 .. $number);
    if (substr($text, 0, length($whole)) ne $whole) { broken("$key $number: other records"); next }
  } else {
    my ($named, $version, $length) = split(/[ \n]/, $text);
    if (($named // "") ne $name || $version < $number || $text ne content($name, $version, $length)) {
      broken("$key $number: it has version " . ($version // "none") . " and " . length($text) . " bytes");
      next;
    }
  }
  $kept++;
}
print "$kept promises kept\n";
exit($broken ? 1 : 0);
'
cut=0
for disk in /dev/vd?; do
  check "cut $cut: mount" mount -t "$FS" "$disk" /run/a
  perl -e "$keeper" <"/run/share/promised-$cut" >/tmp/kept || {
    head -n 5 /tmp/kept
    fail "cut $cut: promises were broken"
  }
  check "cut $cut: write again" sh -c 'echo again >/run/a/again && sync -f /run/a/again'
  check "cut $cut: unmount" umount /run/a
  case $FS in
    ext4) check "cut $cut: check" e2fsck -f -n "$disk" ;;
    xfs) check "cut $cut: check" xfs_repair -n "$disk" ;;
    btrfs) check "cut $cut: check" btrfs check --readonly "$disk" ;;
  esac
  say "cut $cut: $(tail -n 1 /tmp/kept), $FS clean"
  cut=$((cut + 1))
done
