//
// are we a guest of Trapeze? and the interrupt line
// that all of its paravirtual devices share.
//

#include "types.h"
#include "param.h"
#include "riscv.h"
#include "defs.h"
#include "trapeze_drivers.h"
#include "pv.h"

int pv_here;

// whom to call when device n has news.
static void (*handler[64])(void);

// called by start() on every hart, still in machine mode: on bare
// hardware the question is a trap, which the library skips. once we are
// in supervisor mode, it would be an ecall into our own kernel.
void
pv_start(void)
{
  if(r_mhartid() != 0 || trapeze_detect_by_trap() != TRAPEZE_OK)
    return;
  // news come as supervisor external interrupts of hart 0, beside
  // those of the PLIC.
  if(trapeze_interrupt_connect(9, 0) == TRAPEZE_OK)
    pv_here = 1;
}

void
pv_attach(uint64 device, void (*f)(void))
{
  if(device < 64)
    handler[device] = f;
}

// called first by devintr(). whether there is news is a word in our own
// memory: to look there costs no exit, unlike the PLIC's claim register,
// and unlike scause.
// returns 0 if the interrupt is somebody else's. otherwise 2, as for the
// timer: who was interrupted makes room for who was woken, because other
// CPUs may be asleep (see pv_idle.c).
int
pv_devintr(void)
{
  uint64 news;

  if(!pv_here || cpuid() != 0 || !trapeze_interrupt_pending())
    return 0;
  if(r_scause() != 0x8000000000000009L)
    return 0;
  if((news = trapeze_interrupt_take()) == 0)
    return 0;
  for(int n = 0; n < 64; n++)
    if((news >> n & 1) && handler[n])
      handler[n]();
  return 2;
}
