#!/usr/bin/perl
# without-io-uring.pl COMMAND...: runs it in a world where io_uring_setup fails with EPERM, as containers' seccomp filters
# make it. x86_64 and aarch64.
use strict;
use warnings;
use POSIX ();

die "usage: without-io-uring.pl COMMAND [ARGUMENT...]\n" unless @ARGV;

my $machine = (POSIX::uname())[4];
my %prctl_of = (x86_64 => 157, aarch64 => 167);
my $prctl = $prctl_of{$machine} or die "without-io-uring.pl: not known for $machine\n";

use constant {
    PR_SET_SECCOMP => 22, PR_SET_NO_NEW_PRIVS => 38, SECCOMP_MODE_FILTER => 2,
    BPF_LD_W_ABS => 0x20, BPF_JEQ => 0x15, BPF_RET => 0x06,
    SECCOMP_RET_ERRNO => 0x00050000, SECCOMP_RET_ALLOW => 0x7fff0000,
    IO_URING_SETUP => 425, EPERM => 1,
};

# struct sock_filter { u16 code; u8 jt, jf; u32 k; }; the system call's number is at offset 0 of struct seccomp_data.
my @filter = (
    pack('SCCL', BPF_LD_W_ABS, 0, 0, 0),
    pack('SCCL', BPF_JEQ,      0, 1, IO_URING_SETUP),
    pack('SCCL', BPF_RET,      0, 0, SECCOMP_RET_ERRNO | EPERM),
    pack('SCCL', BPF_RET,      0, 0, SECCOMP_RET_ALLOW),
);
my $filter  = join '', @filter;
my $program = pack('Sx![P]P', scalar @filter, $filter);

syscall($prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 or die "without-io-uring.pl: no_new_privs: $!\n";
syscall($prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, $program, 0, 0) == 0 or die "without-io-uring.pl: seccomp: $!\n";
exec {$ARGV[0]} @ARGV or die "without-io-uring.pl: $ARGV[0]: $!\n";
