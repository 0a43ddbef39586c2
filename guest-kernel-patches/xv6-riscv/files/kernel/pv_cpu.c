//
// the registers of supervisor mode in a page of each CPU (see pv_cpu.h), and
// the way back to user mode that goes with it.
//

#include "types.h"
#include "param.h"
#include "memlayout.h"
#include "riscv.h"
#include "spinlock.h"
#include "proc.h"
#include "defs.h"
#include "trapeze_drivers.h"
#include "pv.h"

int pv_cpu;

// a page for each CPU. before main() nobody uses it.
__attribute__ ((aligned (4096))) static char page[NCPU][4096];

// whether CPU 0 knows: 1 if there are pages, 2 if not.
static volatile int known;

extern pagetable_t kernel_pagetable;

// pv_cpu_vec.S
extern char pv_uservec[];
void pv_userret(struct trapframe*);

void usertrap(void);

// called by start() on each CPU, in machine mode, which has registers of
// its own: nothing here looks at those of supervisor mode.
void
pv_cpu_start(void)
{
  int id = r_mhartid();

  if(id == 0){
    pv_cpu = pv_here && trapeze_cpu_page(page[0]) == TRAPEZE_OK;
    __sync_synchronize();
    known = pv_cpu ? 1 : 2;
    return;
  }
  while(known == 0)
    ;
  // what CPU 0 was given there is for all.
  if(known == 1)
    while(trapeze_cpu_page(page[id]) != TRAPEZE_OK)
      ;
}

// instead of usertrapret() and the trampoline: a trap from user mode
// switches to the kernel's page table by itself, and sret to the
// process's. so registers are saved and restored by kernel code at its
// kernel address, and a system call is two exits. does not return.
void
pv_usertrapret(void)
{
  struct proc *p = myproc();

  // from here on, traps are to go to pv_uservec.
  pv_intr_off();
  pv_store(PV_STVEC, (uint64)pv_uservec);
  pv_store(PV_SSCRATCH, (uint64)p->trapframe);
  pv_store(PV_KERNEL, MAKE_SATP(kernel_pagetable));
  pv_store(PV_USER, MAKE_SATP(p->pagetable));

  p->trapframe->kernel_sp = p->kstack + PGSIZE;
  p->trapframe->kernel_trap = (uint64)usertrap;
  p->trapframe->kernel_hartid = r_tp();

  pv_store(PV_SSTATUS, (pv_load(PV_SSTATUS) & ~SSTATUS_SPP) | SSTATUS_SPIE);
  pv_store(PV_SEPC, p->trapframe->epc);
  pv_userret(p->trapframe);
}
