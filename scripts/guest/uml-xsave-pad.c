/*
 * Lets User-Mode Linux before 6.13 run on CPUs with a large XSAVE area (AMX: 11008 bytes).
 *
 * UML keeps a fixed buffer for a process's floating-point state, large enough for AVX-512 only, and moves it with
 * PTRACE_GETREGSET and PTRACE_SETREGSET (NT_X86_XSTATE). The host kernel truncates what it hands out, but it takes
 * only a full area and refuses UML's with EFAULT: "ptrace set fp regs failed, errno = 14", and the guest's init dies.
 *
 * This library, loaded with LD_PRELOAD, stands in front of ptrace(): it pads with zeros what UML sets, and it marks
 * the components that do not fit into UML's buffer as unused, in both directions. A guest process loses those
 * components (AMX tiles), which no guest of ours uses.
 *
 *   byte     0          512                576             len(UML)            len(host)
 *            | legacy    | XSAVE header     | components... | zeros              |
 *                          ^ XSTATE_BV, 64 bits: which components hold data
 *
 * Build: cc -O2 -shared -fPIC -o uml-xsave-pad.so uml-xsave-pad.c
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
    XSTATE_BV_OFFSET = 512,      /* Intel SDM volume 1, 13.4.2 */
    XSTATE_LEGACY_MASK = 3,      /* x87 and SSE: in the first 512 bytes, always fit */
    XSTATE_COMPONENT_COUNT = 63, /* bit 63 is not a component */
    CPUID_XSTATE_LEAF = 13,
    CPUID_ECX_SUPERVISOR = 1, /* the component is not in the user's area at all */
    AREA_SIZE_MAX = 64 * 1024 /* arbitrary, above any XSAVE area there is */
};

typedef long (*ptrace_function)(int, pid_t, void *, void *);

static ptrace_function next_ptrace;

/* Static, not on the stack: UML calls from its kernel stacks of a few pages. It runs on one thread at a time. */
static unsigned char area[AREA_SIZE_MAX] __attribute__((aligned(64)));

__attribute__((constructor)) static void find_next_ptrace(void) {
    next_ptrace = (ptrace_function) dlsym(RTLD_NEXT, "ptrace");
    if (next_ptrace == NULL) {
        abort();
    }
}

/* The components that lie wholly within the first `length` bytes of an uncompacted area. */
static uint64_t components_within(size_t length) {
    static size_t cached_length;
    static uint64_t cached_mask;
    if (cached_length != length) {
        cached_mask = XSTATE_LEGACY_MASK;
        for (unsigned i = 2; i < XSTATE_COMPONENT_COUNT; i++) {
            unsigned size, offset, ecx, edx;
            __cpuid_count(CPUID_XSTATE_LEAF, i, size, offset, ecx, edx);
            if (size != 0 && (ecx & CPUID_ECX_SUPERVISOR) == 0 && (size_t) offset + size <= length) {
                cached_mask |= UINT64_C(1) << i;
            }
        }
        cached_length = length;
    }
    return cached_mask;
}

static void mask_components(void *xsave_area, size_t buffer_length) {
    uint64_t present;
    unsigned char *header = (unsigned char *) xsave_area + XSTATE_BV_OFFSET;
    memcpy(&present, header, sizeof present);
    present &= components_within(buffer_length);
    memcpy(header, &present, sizeof present);
}

static long get_xstate(pid_t pid, void *type, struct iovec *buffer) {
    size_t buffer_length = buffer->iov_len;
    long result = next_ptrace(PTRACE_GETREGSET, pid, type, buffer);
    if (result == 0 && buffer->iov_len >= XSTATE_BV_OFFSET + sizeof(uint64_t)) {
        mask_components(buffer->iov_base, buffer_length);
    }
    return result;
}

static long set_xstate(pid_t pid, void *type, struct iovec *buffer) {
    static size_t host_length; /* the same for every process of this machine */
    if (host_length == 0) {
        struct iovec probe = {area, sizeof area};
        if (next_ptrace(PTRACE_GETREGSET, pid, type, &probe) != 0) {
            return -1;
        }
        host_length = probe.iov_len;
    }
    if (buffer->iov_len >= host_length || buffer->iov_len < XSTATE_BV_OFFSET + sizeof(uint64_t)) {
        return next_ptrace(PTRACE_SETREGSET, pid, type, buffer);
    }
    memcpy(area, buffer->iov_base, buffer->iov_len);
    memset(area + buffer->iov_len, 0, host_length - buffer->iov_len);
    mask_components(area, buffer->iov_len);
    struct iovec padded = {area, host_length};
    return next_ptrace(PTRACE_SETREGSET, pid, type, &padded);
}

/* The C library declares it with an enum and `...`; callers pass at most these four arguments. */
long ptrace(enum __ptrace_request request, ...) {
    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (address == (void *) NT_X86_XSTATE && request == PTRACE_GETREGSET) {
        return get_xstate(pid, address, data);
    }
    if (address == (void *) NT_X86_XSTATE && request == PTRACE_SETREGSET) {
        return set_xstate(pid, address, data);
    }
    return next_ptrace(request, pid, address, data);
}
