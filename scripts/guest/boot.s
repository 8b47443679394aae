# A boot sector that tests a disk with nothing but the firmware's driver. SeaBIOS loads it from LBA 0 to 0x7c00.
#
#   LBA 0        this sector
#   LBA 1..16    a pattern: every byte of sector n is n, written by seabios-boot.sh
#   LBA 32..47   the pattern's copy, written by this program
#
# It reads the pattern with one call of INT 13h (SeaBIOS splits and polls), checks each byte, writes it to LBA 32,
# reads that back and compares. A line on the serial port says what happened; then one byte to QEMU's isa-debug-exit
# device ends QEMU with status (byte << 1 | 1).

.code16
.globl _start

.set COM1,        0x3f8
.set COM1_STATUS, 0x3fd
.set DEBUG_EXIT,  0x501
.set EXIT_PASSED, 0x15      # QEMU ends with 43; no other path in QEMU or SeaBIOS gives it
.set EXIT_FAILED, 0x16
.set SECTORS,     16
.set WORDS,       SECTORS * 256
.set SOURCE,      0x1000    # segments of the two buffers
.set COPY,        0x2000

_start:
    xor  %ax, %ax
    mov  %ax, %ds
    mov  %ax, %ss
    mov  $0x7c00, %sp
    cld
    sti
    mov  %dl, drive

    mov  $read_failed, %di          # read LBA 1..16
    mov  $0x4200, %ax
    call disk

    mov  $SOURCE, %ax               # check: the high byte of (position / 512 + 1) fills each sector
    mov  %ax, %es
    xor  %si, %si
check:
    mov  %si, %ax
    shr  $9, %ax
    inc  %ax
    mov  $wrong_data, %di
    cmp  %es:(%si), %al
    jne  fail
    inc  %si
    cmp  $WORDS * 2, %si
    jne  check

    movw $32, packet_lba            # write LBA 32..47
    mov  $write_failed, %di
    mov  $0x4300, %ax
    call disk

    movw $COPY, packet_segment      # read it back elsewhere
    mov  $read_failed, %di
    mov  $0x4200, %ax
    call disk

    mov  $wrong_data, %di
    mov  $COPY, %ax
    mov  %ax, %es
    push %ds
    mov  $SOURCE, %ax
    mov  %ax, %ds
    xor  %si, %si
    push %di
    xor  %di, %di
    mov  $WORDS, %cx
    repe cmpsw
    pop  %di
    pop  %ds
    jne  fail

    mov  $passed, %di
    mov  $EXIT_PASSED, %bl
    jmp  finish

# INT 13h extension in %ax with the packet; %di is the message should it fail.
disk:
    mov  drive, %dl
    mov  $packet, %si
    int  $0x13
    jc   fail
    ret

fail:
    mov  $EXIT_FAILED, %bl
finish:
    mov  %di, %si
print:
    lodsb
    test %al, %al
    jz   exit
    mov  %al, %bh
1:  mov  $COM1_STATUS, %dx          # wait until the port can take a byte
    in   %dx, %al
    test $0x20, %al
    jz   1b
    mov  $COM1, %dx
    mov  %bh, %al
    out  %al, %dx
    jmp  print
exit:
    mov  $DEBUG_EXIT, %dx
    mov  %bl, %al
    out  %al, %dx
    hlt

passed:       .asciz "boot sector: read, wrote and compared 16 sectors\n"
read_failed:  .asciz "boot sector: read failed\n"
write_failed: .asciz "boot sector: write failed\n"
wrong_data:   .asciz "boot sector: wrong data\n"
drive:        .byte 0

# Disk address packet of the INT 13h extensions.
.balign 4
packet:         .byte 16, 0
                .word SECTORS
                .word 0
packet_segment: .word SOURCE
packet_lba:     .quad 1

.org 510
.word 0xaa55
