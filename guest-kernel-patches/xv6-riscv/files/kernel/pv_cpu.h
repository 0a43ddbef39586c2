// the CPU page: on Trapeze, the registers of supervisor mode are words at the
// end of the addresses, so that one is a load or a store and no exit. on any
// other machine pv_cpu is 0, and riscv.h does what it always did.

#define PV_SCRATCH   (-1024)  // ours: to save a register
#define PV_SSTATUS   (-2048)
#define PV_STVEC     (-2032)
#define PV_SSCRATCH  (-2024)
#define PV_SEPC      (-2016)
#define PV_SCAUSE    (-2008)
#define PV_STVAL     (-2000)
#define PV_PENDING   (-1992)  // interrupts that wait for SIE
#define PV_KERNEL    (-1984)  // satp after a trap from user mode
#define PV_USER      (-1976)  // satp after an sret to user mode

#ifndef __ASSEMBLER__

extern int pv_cpu;
void            pv_cpu_start(void);
void            pv_usertrapret(void);

static inline unsigned long
pv_load(const int at)
{
  unsigned long x;
  asm volatile("ld %0, %1(zero)" : "=r" (x) : "i" (at) : "memory");
  return x;
}

static inline void
pv_store(const int at, unsigned long x)
{
  asm volatile("sd %0, %1(zero)" : : "r" (x), "i" (at) : "memory");
}

// SIE and SPIE are all that is in the lowest byte of sstatus.
static inline void
pv_intr_off(void)
{
  asm volatile("sb zero, %0(zero)" : : "i" (PV_SSTATUS) : "memory");
}

// store, then look: what became pending before the store is in the word,
// what comes later is taken at once. any exit takes what waits.
static inline void
pv_intr_on(void)
{
  asm volatile("sb %0, %1(zero)" : : "r" (2), "i" (PV_SSTATUS) : "memory");
  if(pv_load(PV_PENDING))
    asm volatile("csrr zero, sip" : : : "memory");
}

static inline int
pv_intr_get(void)
{
  unsigned char x;
  asm volatile("lbu %0, %1(zero)" : "=r" (x) : "i" (PV_SSTATUS) : "memory");
  return (x & 2) != 0;
}

#endif
