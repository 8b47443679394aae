// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

/**
 * The structures and numbers of {@code include/uapi/linux/io_uring.h} that {@link IoUring} needs: offsets in bytes, each with
 * its C declaration. All values are of the machine's byte order, which is little-endian on x86-64 and arm64.
 */
final class IoUringLayout {
    /** The same on x86-64 and arm64. */
    static final int SYS_IO_URING_SETUP = 425;

    static final int SYS_IO_URING_ENTER = 426;
    static final int SYS_IO_URING_REGISTER = 427;

    // ---- struct io_uring_params

    /** {@code __u32 sq_entries} */
    static final int PARAMS_SQ_ENTRIES = 0;
    /** {@code __u32 cq_entries} */
    static final int PARAMS_CQ_ENTRIES = 4;
    /** {@code __u32 flags}: {@code IORING_SETUP_*} */
    static final int PARAMS_FLAGS = 8;
    /** {@code __u32 features}: {@code IORING_FEAT_*} */
    static final int PARAMS_FEATURES = 20;
    /** {@code struct io_sqring_offsets sq_off}, 40 bytes */
    static final int PARAMS_SQ_OFF = 40;
    /** {@code struct io_cqring_offsets cq_off}, 40 bytes */
    static final int PARAMS_CQ_OFF = 80;

    static final int PARAMS_BYTES = 120;

    // ---- struct io_sqring_offsets, struct io_cqring_offsets: where the fields of the rings are in their mapping

    /** {@code __u32 head}, in both */
    static final int OFF_HEAD = 0;
    /** {@code __u32 tail}, in both */
    static final int OFF_TAIL = 4;
    /** {@code __u32 ring_mask}, in both */
    static final int OFF_RING_MASK = 8;
    /** {@code __u32 flags} of the submission queue: {@code IORING_SQ_*} */
    static final int SQ_OFF_FLAGS = 16;
    /** {@code __u32 array}: indexes into the submission queue entries */
    static final int SQ_OFF_ARRAY = 24;
    /** {@code __u32 cqes}: the completion queue entries */
    static final int CQ_OFF_CQES = 20;
    /** {@code __u32 flags} of the completion queue: {@code IORING_CQ_*}; 0 before Linux 5.8, which has none */
    static final int CQ_OFF_FLAGS = 24;

    // ---- struct io_uring_sqe

    /** {@code __u8 opcode; __u8 flags; __u16 ioprio; __s32 fd}, written as one long */
    static final int SQE_OPCODE_AND_FD = 0;
    /** {@code __u64 off} */
    static final int SQE_OFF = 8;
    /** {@code __u64 addr} */
    static final int SQE_ADDR = 16;
    /** {@code __u32 len; __u32 rw_flags}, written as one long */
    static final int SQE_LEN_AND_FLAGS = 24;
    /** {@code __u64 user_data}; what follows stays zero: buf_index, personality, file_index, addr3 */
    static final int SQE_USER_DATA = 32;

    static final int SQE_BYTES = 64;

    // ---- struct io_uring_cqe

    /** {@code __u64 user_data} */
    static final int CQE_USER_DATA = 0;
    /** {@code __s32 res} */
    static final int CQE_RES = 8;

    /** With {@code __u32 flags} at the end. */
    static final int CQE_BYTES = 16;

    // ---- places of the mappings

    static final long IORING_OFF_SQ_RING = 0;
    static final long IORING_OFF_SQES = 0x10000000L;

    // ---- flags

    /** The size of the completion queue is given. Linux 5.5 */
    static final int IORING_SETUP_CQSIZE = 1 << 3;
    /** The ring takes nothing before it is enabled, by the task that is to be the single issuer. Linux 5.10 */
    static final int IORING_SETUP_R_DISABLED = 1 << 6;
    /** A bad submission does not hold up those behind it. Linux 5.18 */
    static final int IORING_SETUP_SUBMIT_ALL = 1 << 7;
    /** The kernel interrupts nobody to complete; it waits for the task's next system call. Linux 5.19 */
    static final int IORING_SETUP_COOP_TASKRUN = 1 << 8;
    /** {@link #IORING_SQ_TASKRUN} tells that there is something to complete. Linux 5.19 */
    static final int IORING_SETUP_TASKRUN_FLAG = 1 << 9;
    /** One task alone submits. Linux 6.0 */
    static final int IORING_SETUP_SINGLE_ISSUER = 1 << 12;
    /** Completions are made in {@code io_uring_enter(IORING_ENTER_GETEVENTS)} of the issuer and nowhere else. Linux 6.1 */
    static final int IORING_SETUP_DEFER_TASKRUN = 1 << 13;

    /** Both rings are in one mapping. Linux 5.4 */
    static final int IORING_FEAT_SINGLE_MMAP = 1;

    static final int IORING_ENTER_GETEVENTS = 1;

    static final int IORING_SQ_CQ_OVERFLOW = 1 << 1;
    static final int IORING_SQ_TASKRUN = 1 << 2;

    static final int IORING_CQ_EVENTFD_DISABLED = 1;

    static final int IORING_REGISTER_EVENTFD = 4;
    static final int IORING_REGISTER_ENABLE_RINGS = 12;

    private IoUringLayout() {}
}
