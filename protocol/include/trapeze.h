/* The paravirtual interface of Trapeze: see docs/protocol.md.
 * Made from the crate `trapeze-protocol` by its test; do not edit.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef TRAPEZE_H
#define TRAPEZE_H

#include <stdint.h>

/* Hypercalls: a7, a6, a0; and the value of `version` */
#define TRAPEZE_EXTENSION                    0x854505aul
#define TRAPEZE_VERSION                      0x10000ul
#define TRAPEZE_CALL_VERSION                 0x0ul
#define TRAPEZE_CALL_FEATURES                0x1ul
#define TRAPEZE_CALL_DEVICE_COUNT            0x2ul
#define TRAPEZE_CALL_DESCRIBE                0x3ul
#define TRAPEZE_CALL_DEVICE_FEATURES         0x4ul
#define TRAPEZE_CALL_ACCEPT_FEATURES         0x5ul
#define TRAPEZE_CALL_GET_STATUS              0x6ul
#define TRAPEZE_CALL_SET_STATUS              0x7ul
#define TRAPEZE_CALL_QUEUE_STATE             0x8ul
#define TRAPEZE_CALL_QUEUE_SET_UP            0x9ul
#define TRAPEZE_CALL_QUEUE_STOP              0xaul
#define TRAPEZE_CALL_CONFIG_READ             0xbul
#define TRAPEZE_CALL_CONFIG_WRITE            0xcul
#define TRAPEZE_CALL_CONFIG_GENERATION       0xdul
#define TRAPEZE_CALL_NOTIFY                  0xeul
#define TRAPEZE_CALL_INTERRUPT_SET_UP        0xful
#define TRAPEZE_CALL_INTERRUPT_DONE          0x10ul
#define TRAPEZE_CALL_YIELD                   0x11ul
#define TRAPEZE_CALL_COUNTER                 0x12ul
#define TRAPEZE_CALL_COUNTER_NAME            0x13ul
#define TRAPEZE_CALL_CPU_PAGE_SET_UP         0x14ul
#define TRAPEZE_CALL_CPU_PAGE_END            0x15ul
#define TRAPEZE_FEATURE_YIELD                0x1ul
#define TRAPEZE_FEATURE_COUNTERS             0x2ul
#define TRAPEZE_FEATURE_CPU_PAGE             0x4ul

/* Errors, in a0 */
#define TRAPEZE_ERROR_FAILED                 (-1l)
#define TRAPEZE_ERROR_NOT_SUPPORTED          (-2l)
#define TRAPEZE_ERROR_INVALID_PARAMETER      (-3l)
#define TRAPEZE_ERROR_DENIED                 (-4l)
#define TRAPEZE_ERROR_INVALID_ADDRESS        (-5l)
#define TRAPEZE_ERROR_INVALID_STATE          (-10l)

/* Devices */
#define TRAPEZE_MAX_DEVICES                  0x40ul
#define TRAPEZE_DEVICE_NET                   0x1ul
#define TRAPEZE_DEVICE_BLOCK                 0x2ul
#define TRAPEZE_DEVICE_CONSOLE               0x3ul
#define TRAPEZE_DEVICE_ENTROPY               0x4ul
#define TRAPEZE_DEVICE_BALLOON               0x5ul
#define TRAPEZE_STATUS_ACKNOWLEDGE           0x1ul
#define TRAPEZE_STATUS_DRIVER                0x2ul
#define TRAPEZE_STATUS_DRIVER_OK             0x4ul
#define TRAPEZE_STATUS_FEATURES_OK           0x8ul
#define TRAPEZE_STATUS_NEEDS_RESET           0x40ul
#define TRAPEZE_STATUS_FAILED                0x80ul
#define TRAPEZE_RING_INDIRECT_DESC           0x10000000ul
#define TRAPEZE_RING_EVENT_IDX               0x20000000ul
#define TRAPEZE_RING_VERSION_1               0x100000000ul

/* Block */
#define TRAPEZE_BLOCK_F_SEG_MAX              0x4ul
#define TRAPEZE_BLOCK_F_RO                   0x20ul
#define TRAPEZE_BLOCK_F_BLK_SIZE             0x40ul
#define TRAPEZE_BLOCK_F_FLUSH                0x200ul
#define TRAPEZE_BLOCK_QUEUE                  0x0ul
#define TRAPEZE_BLOCK_SECTOR                 0x200ul
#define TRAPEZE_BLOCK_READ                   0x0ul
#define TRAPEZE_BLOCK_WRITE                  0x1ul
#define TRAPEZE_BLOCK_FLUSH                  0x4ul
#define TRAPEZE_BLOCK_GET_ID                 0x8ul
#define TRAPEZE_BLOCK_OK                     0x0ul
#define TRAPEZE_BLOCK_IO_ERROR               0x1ul
#define TRAPEZE_BLOCK_UNSUPPORTED            0x2ul

/* Console */
#define TRAPEZE_CONSOLE_F_SIZE               0x1ul
#define TRAPEZE_CONSOLE_F_EMERG_WRITE        0x4ul
#define TRAPEZE_CONSOLE_RECEIVE              0x0ul
#define TRAPEZE_CONSOLE_TRANSMIT             0x1ul
#define TRAPEZE_CONSOLE_EMERG_WR             0x8ul

/* Entropy */
#define TRAPEZE_ENTROPY_QUEUE                0x0ul

/* Balloon */
#define TRAPEZE_BALLOON_F_MUST_TELL_HOST     0x1ul
#define TRAPEZE_BALLOON_INFLATE              0x0ul
#define TRAPEZE_BALLOON_DEFLATE              0x1ul

/* Network */
#define TRAPEZE_NET_F_MTU                    0x8ul
#define TRAPEZE_NET_F_MAC                    0x20ul
#define TRAPEZE_NET_F_STATUS                 0x10000ul
#define TRAPEZE_NET_S_LINK_UP                0x1ul
#define TRAPEZE_NET_RECEIVE                  0x0ul
#define TRAPEZE_NET_TRANSMIT                 0x1ul

/* Queues */
#define TRAPEZE_DESCRIPTOR_NEXT              0x1ul
#define TRAPEZE_DESCRIPTOR_WRITE             0x2ul
#define TRAPEZE_DESCRIPTOR_INDIRECT          0x4ul
#define TRAPEZE_AVAIL_NO_INTERRUPT           0x1ul
#define TRAPEZE_USED_NO_NOTIFY               0x1ul

/* Interrupts: a1 of interrupt_set_up, and the flags of the line */
#define TRAPEZE_LINE_SUPERVISOR              0x9ul
#define TRAPEZE_LINE_MACHINE                 0xbul
#define TRAPEZE_INTERRUPT_DONE               0x1ul

/* The CPU page: offsets from x0, in S-mode */
#define TRAPEZE_CPU_SSTATUS                  (-2048)
#define TRAPEZE_CPU_SIE                      (-2040)
#define TRAPEZE_CPU_STVEC                    (-2032)
#define TRAPEZE_CPU_SSCRATCH                 (-2024)
#define TRAPEZE_CPU_SEPC                     (-2016)
#define TRAPEZE_CPU_SCAUSE                   (-2008)
#define TRAPEZE_CPU_STVAL                    (-2000)
#define TRAPEZE_CPU_PENDING                  (-1992)
#define TRAPEZE_CPU_KERNEL_SATP              (-1984)
#define TRAPEZE_CPU_USER_SATP                (-1976)
#define TRAPEZE_CPU_SCRATCH                  (-1024)

struct trapeze_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

struct trapeze_used_element {
    uint32_t id;
    uint32_t length;
};

struct trapeze_interrupt_line {
    uint64_t pending;
    uint64_t changed;
    uint32_t flags;
    uint32_t reserved[11];
} __attribute__((aligned(64)));

struct trapeze_cpu_registers {
    uint64_t sstatus;
    uint64_t sie;
    uint64_t stvec;
    uint64_t sscratch;
    uint64_t sepc;
    uint64_t scause;
    uint64_t stval;
    uint64_t pending;
};

struct trapeze_block_header {
    uint32_t kind;
    uint32_t reserved;
    uint64_t sector;
};

struct trapeze_block_config {
    uint64_t capacity;
    uint32_t size_max;
    uint32_t seg_max;
    uint8_t geometry[4];
    uint32_t blk_size;
};

struct trapeze_console_config {
    uint16_t cols;
    uint16_t rows;
    uint32_t max_nr_ports;
    uint32_t emerg_wr;
};

struct trapeze_balloon_config {
    uint32_t num_pages;
    uint32_t actual;
};

struct trapeze_net_config {
    uint8_t mac[6];
    uint16_t status;
    uint16_t max_virtqueue_pairs;
    uint16_t mtu;
};

struct trapeze_net_header {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
    uint16_t num_buffers;
};

/* One hypercall. Only for a kernel that knows that it is a guest: see
 * "Am I a guest?" in docs/protocol.md. Not from user mode. */
struct trapeze_reply {
    int64_t error;
    uint64_t value;
};

static inline struct trapeze_reply trapeze_call(uint64_t function, uint64_t arg0, uint64_t arg1,
                                                uint64_t arg2, uint64_t arg3, uint64_t arg4,
                                                uint64_t arg5)
{
    register uint64_t a0 __asm__("a0") = arg0;
    register uint64_t a1 __asm__("a1") = arg1;
    register uint64_t a2 __asm__("a2") = arg2;
    register uint64_t a3 __asm__("a3") = arg3;
    register uint64_t a4 __asm__("a4") = arg4;
    register uint64_t a5 __asm__("a5") = arg5;
    register uint64_t a6 __asm__("a6") = function;
    register uint64_t a7 __asm__("a7") = TRAPEZE_EXTENSION;
    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1)
                     : "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a6), "r"(a7)
                     : "memory");
    return (struct trapeze_reply){(int64_t)a0, a1};
}

#endif
