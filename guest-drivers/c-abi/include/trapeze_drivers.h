/* The drivers of Trapeze's paravirtual devices, for a kernel in C.
 * Made from guest-drivers/c-abi/src/abi.rs by a test; do not edit.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef TRAPEZE_DRIVERS_H
#define TRAPEZE_DRIVERS_H

#include <stddef.h>
#include <stdint.h>

/* How a call ended: 0, or a number below zero. */
enum trapeze_status {
    /* It worked. */
    TRAPEZE_OK = 0,
    /* All slots are taken: complete something first. */
    TRAPEZE_FULL = -1,
    /* The device failed. */
    TRAPEZE_IO = -2,
    /* The device, or the library, does not know such requests. */
    TRAPEZE_UNSUPPORTED = -3,
    /* The memory cannot be reached by devices. */
    TRAPEZE_ADDRESS = -4,
    /* Too many bytes, or too few. */
    TRAPEZE_LENGTH = -5,
    /* The device broke down and was stopped; its requests end with this. */
    TRAPEZE_BROKEN = -6,
    /* The device is not one that the driver knows. */
    TRAPEZE_DEVICE = -7,
    /* The VMM refused. */
    TRAPEZE_VMM = -8,
    /* There is none: no VMM, no such device, or it is not open. */
    TRAPEZE_NONE = -9,
    /* Another call for it is under way: the kernel lacks a lock. */
    TRAPEZE_BUSY = -10,
};

/* What a request to a disk does. */
enum trapeze_operation {
    /* Disk to memory. */
    TRAPEZE_OPERATION_READ = 0,
    /* Memory to disk. */
    TRAPEZE_OPERATION_WRITE = 1,
    /* Makes durable what was written by requests that have ended. */
    TRAPEZE_OPERATION_FLUSH = 2,
};

/* A request that has ended. */
struct trapeze_completion {
    /* What the request was given with. */
    void *tag;
    /* How it ended. */
    int32_t status;
};

/* Finds the VMM from M-mode, before anything else is called; TRAPEZE_NONE on
 * other machines. Trap handler and interrupts are afterwards as before. Once
 * found, the VMM can be called from S-mode as well.
 *
 * The caller promises:
 * In M-mode, on one hart. */
int32_t trapeze_detect_by_trap(void);

/* Finds the VMM from S-mode, by asking the SBI.
 *
 * The caller promises:
 * In S-mode, on an SBI, on one hart. */
int32_t trapeze_detect_by_sbi(void);

/* A text for a status, for messages. */
const char *trapeze_status_text(int32_t status);

/* Lets the VMM give this hart to somebody else for a while; returns at once
 * if nobody wants it. */
void trapeze_yield(void);

/* Has the registers of S-mode of the hart that calls in the 4096 bytes at
 * `page`; TRAPEZE_VMM where it can't be, and then CSR instructions are the way
 * as ever. From then on the last GiB of S-mode's addresses is taken, and
 * `sstatus` is at -2048: docs/protocol.md, "The CPU page".
 *
 * The caller promises:
 * `page` is aligned to 4096 and used for nothing else. It may be called in
 * M-mode, and on several harts at a time. */
int32_t trapeze_cpu_page(void *page);

/* Lets devices interrupt a hart: by 9, the S-mode external interrupt, or by
 * 11, that of M-mode. The PLIC has no part in it. */
int32_t trapeze_interrupt_connect(uint32_t interrupt, uint64_t hart);

/* Whether a device has news: 1 or 0. Only a look at memory. */
int32_t trapeze_interrupt_pending(void);

/* Takes the news: bit n says that device n has completed something. Whoever
 * takes them looks at all of these devices. */
uint64_t trapeze_interrupt_take(void);

/* What counter `number` has counted: exits of this guest, by cause.
 * TRAPEZE_NONE beyond the last.
 *
 * The caller promises:
 * `value` points to the caller's own. */
int32_t trapeze_counter(uint64_t number, uint64_t *value);

/* The name of counter `number`, of up to 32 bytes, and a zero.
 *
 * The caller promises:
 * `name` points to 33 bytes of the caller's own. */
int32_t trapeze_counter_name(uint64_t number, char *name);

/* Takes a disk, 0 to 3 among the paravirtual disks, into service. It
 * interrupts after so many completions, or as many as there are requests, if
 * these are fewer; 0: never. */
int32_t trapeze_block_open(uint32_t disk, uint32_t interrupt_after);

/* Size in sectors of 512 bytes; 0 if it is not open. */
uint64_t trapeze_block_capacity(uint32_t disk);

/* Number of the device that the disk is: its bit in the news; 64 if it is
 * not open. */
uint64_t trapeze_block_device(uint32_t disk);

/* Gives a request to a disk and tells it. `tag` comes back with its end.
 *
 * The caller promises:
 * `data` is the disk's until then, and mapped where it is. */
int32_t trapeze_block_submit(
    uint32_t disk,
    int32_t operation,
    uint64_t sector,
    void *data,
    size_t len,
    void *tag);

/* The same without telling it: it may not notice until
 * trapeze_block_kick. One for many requests costs one exit, or none.
 *
 * The caller promises:
 * As for trapeze_block_submit. */
int32_t trapeze_block_enqueue(
    uint32_t disk,
    int32_t operation,
    uint64_t sector,
    void *data,
    size_t len,
    void *tag);

/* Tells a disk of new requests, if it does not look by itself. */
int32_t trapeze_block_kick(uint32_t disk);

/* The next request that has ended: 1; 0 if there is none, after which there
 * is an interrupt for the next.
 *
 * The caller promises:
 * `done` points to the caller's own. */
int32_t trapeze_block_complete(uint32_t disk, struct trapeze_completion *done);

/* Changes after how many completions the disk interrupts. */
int32_t trapeze_block_interrupts(uint32_t disk, uint32_t after);

/* Takes a disk into service again, after it broke down and all its requests
 * were completed. */
int32_t trapeze_block_restart(uint32_t disk);

/* Reads whole sectors, and waits until it is done.
 *
 * The caller promises:
 * `data` points to `len` bytes of the caller's own, mapped where they are. */
int32_t trapeze_block_read(uint32_t disk, uint64_t sector, void *data, size_t len);

/* Writes whole sectors, and waits until it is done.
 *
 * The caller promises:
 * As for trapeze_block_read. */
int32_t trapeze_block_write(uint32_t disk, uint64_t sector, const void *data, size_t len);

/* Makes durable what was written, and waits until it is. */
int32_t trapeze_block_flush(uint32_t disk);

/* Takes the paravirtual console into service. From now on, what is typed
 * comes in there, and interrupts. */
int32_t trapeze_console_open(void);

/* Number of the device that the console is: its bit in the news; 64 if it is
 * not open. */
uint64_t trapeze_console_device(void);

/* Shows bytes, which are copied: they may be on a stack. One exit for each
 * 256 of them.
 *
 * The caller promises:
 * `bytes` points to `len` bytes of the caller's own. */
int32_t trapeze_console_write(const void *bytes, size_t len);

/* Takes what was typed, up to `len` bytes; says how many. After 0 there is an
 * interrupt for the next.
 *
 * The caller promises:
 * `bytes` points to `len` bytes of the caller's own. */
int32_t trapeze_console_read(void *bytes, uint32_t len);

/* Shows one byte at once, whatever else is under way: for last words. */
int32_t trapeze_console_emergency(uint8_t byte);

#endif
