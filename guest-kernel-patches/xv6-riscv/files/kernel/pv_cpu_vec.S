#
# traps from user mode, and back, where the CPU page brings the page table
# with the mode: see pv_cpu.c. a trapframe is at its kernel address here,
# and its layout is that of proc.h.
#

#include "pv_cpu.h"

.macro each op
        \op ra, 40(a0)
        \op gp, 56(a0)
        \op t1, 80(a0)
        \op t2, 88(a0)
        \op s0, 96(a0)
        \op s1, 104(a0)
        \op a1, 120(a0)
        \op a2, 128(a0)
        \op a3, 136(a0)
        \op a4, 144(a0)
        \op a5, 152(a0)
        \op a6, 160(a0)
        \op a7, 168(a0)
        \op s2, 176(a0)
        \op s3, 184(a0)
        \op s4, 192(a0)
        \op s5, 200(a0)
        \op s6, 208(a0)
        \op s7, 216(a0)
        \op s8, 224(a0)
        \op s9, 232(a0)
        \op s10, 240(a0)
        \op s11, 248(a0)
        \op t3, 256(a0)
        \op t4, 264(a0)
        \op t5, 272(a0)
        \op t6, 280(a0)
.endm

.section .text
.globl pv_uservec
.align 4
pv_uservec:
        # no register is free: the page has room for one.
        sd a0, PV_SCRATCH(zero)
        ld a0, PV_SSCRATCH(zero)
        each sd
        sd sp, 48(a0)
        sd tp, 64(a0)
        sd t0, 72(a0)
        ld t0, PV_SCRATCH(zero)
        sd t0, 112(a0)

        # kernel_sp, kernel_hartid, and usertrap(), which does not return.
        ld sp, 8(a0)
        ld tp, 32(a0)
        ld t0, 16(a0)
        jr t0

.globl pv_userret
pv_userret:
        each ld
        ld sp, 48(a0)
        ld tp, 64(a0)
        ld t0, 72(a0)
        ld a0, 112(a0)
        sret
