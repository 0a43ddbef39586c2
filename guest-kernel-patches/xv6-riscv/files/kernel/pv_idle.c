//
// sleep while there is nothing to run.
//

#include "types.h"
#include "param.h"
#include "riscv.h"
#include "spinlock.h"
#include "proc.h"
#include "defs.h"
#include "pv.h"

extern struct proc proc[NPROC];

// a look without locks: whoever finds something takes the lock and looks
// again.
static int
runnable(void)
{
  for(struct proc *p = proc; p < &proc[NPROC]; p++)
    if(*(volatile enum procstate *)&p->state == RUNNABLE)
      return 1;
  return 0;
}

// called by scheduler() with interrupts on, before it tries each process
// in turn. each try takes and releases a lock, which switches interrupts
// off and on, which exits: hundreds of exits for a round that finds nothing.
void
pv_idle(void)
{
  while(pv_here && !runnable()){
    // an interrupt between the look and the wfi could make somebody runnable
    // and be over before we sleep. so look a second time with interrupts
    // off, where wfi ends all the same when one is pending.
    intr_off();
    if(!runnable())
      asm volatile("wfi");
    intr_on();
  }
}
