#!/usr/bin/perl
# A small QMP client. Needs only what perl-base has, which every Debian machine has.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;

my $usage = <<'U';
usage: qmp.pl SOCK COMMAND...

Sends commands to a running QEMU (GUEST_QMP of qemu-run.sh), one after the other, and prints the answers.
  {"execute":"..."}                a QMP command, as it is
  event:NAME[:TEXT[:SECONDS]]      waits until the event NAME with TEXT in it was seen since the start of this call
                                   (default 20 s)
  anything else                    a command of QEMU's human monitor

exit status: 0, or 1 when a command fails or an event does not come, 2 wrong arguments or no QEMU at SOCK
U

if (@ARGV == 1 && $ARGV[0] =~ /^(-h|--help)$/) {
    print $usage;
    exit 0;
}
if (@ARGV < 2) {
    print STDERR $usage;
    exit 2;
}

my $path = shift @ARGV;
my $socket = IO::Socket::UNIX->new(Peer => $path);
if (!$socket) {
    print STDERR "qmp.pl: cannot connect to $path: $!\n";
    exit 2;
}
my $select = IO::Select->new($socket);
my $buffer = '';
my @events;

# Each message is one line. Returns nothing when none came in time.
sub read_message {
    my ($timeout) = @_;
    while (1) {
        return $1 if $buffer =~ s/^(.*?)\r?\n//;
        return unless $select->can_read($timeout);
        sysread($socket, $buffer, 65536, length $buffer) or fail("QEMU closed the connection");
    }
}

sub fail {
    print STDERR "qmp.pl: $_[0]\n";
    exit 1;
}

sub execute {
    my ($command) = @_;
    syswrite($socket, "$command\n") or fail("cannot send: $!");
    while (1) {
        my $message = read_message(60) // fail("no answer to $command");
        if ($message =~ /^\{"timestamp"|"event":/) {
            push @events, $message;
        } elsif ($message =~ /^\{"error"|"error": *\{"class"/) {
            fail("$command: $message");
        } else {
            return $message;
        }
    }
}

sub wait_for_event {
    my ($name, $text, $seconds) = @_;
    my $deadline = time + $seconds;
    while (1) {
        for my $event (@events) {
            return $event if $event =~ /"event": "\Q$name\E"/ && index($event, $text) >= 0;
        }
        my $left = $deadline - time;
        my $message = $left > 0 ? read_message($left) : undef;
        fail("no event $name $text within $seconds s") unless defined $message;
        push @events, $message;
    }
}

# JSON strings need little escaping in this direction.
sub human_command {
    my ($line) = @_;
    $line =~ s/(["\\])/\\$1/g;
    my $answer = execute(
        qq({"execute":"human-monitor-command","arguments":{"command-line":"$line"}}));
    my ($text) = $answer =~ /"return": "((?:[^"\\]|\\.)*)"/;
    $text =~ s/\\r//g;
    $text =~ s/\\n/\n/g;
    $text =~ s/\\(["\\])/$1/g;
    fail("$_[0]: $text") if $text =~ /^Error/m;
    return $text;
}

defined read_message(20) or fail("no greeting");
execute('{"execute":"qmp_capabilities"}');
for my $command (@ARGV) {
    if ($command =~ /^\{/) {
        print execute($command), "\n";
    } elsif ($command =~ /^event:([^:]*)(?::([^:]*))?(?::(\d+))?$/) {
        print wait_for_event($1, $2 // '', $3 // 20), "\n";
    } else {
        print human_command($command);
    }
}
