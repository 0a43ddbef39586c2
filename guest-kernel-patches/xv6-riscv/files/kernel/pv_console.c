//
// driver for the paravirtual console: a whole write() at a time, instead of
// a UART's byte at a time.
//

#include "types.h"
#include "param.h"
#include "riscv.h"
#include "defs.h"
#include "spinlock.h"
#include "trapeze_drivers.h"
#include "pv.h"

extern volatile int panicked;  // from printf.c

static struct {
  struct spinlock lock;
  int open;
} pvcons;

// something was typed.
static void
pv_console_intr(void)
{
  char buf[32];
  int n;

  do {
    acquire(&pvcons.lock);
    n = trapeze_console_read(buf, sizeof(buf));
    release(&pvcons.lock);
    for(int i = 0; i < n; i++)
      consoleintr(buf[i] & 0xff);
  } while(n > 0);
}

void
pv_console_init(void)
{
  initlock(&pvcons.lock, "pvcons");
  if(!pv_here || trapeze_console_open() != TRAPEZE_OK)
    return;
  pv_attach(trapeze_console_device(), pv_console_intr);
  pvcons.open = 1;
}

// consolewrite() for the paravirtual console: sets *written to what it is to
// return. the library copies the text to where devices can find it, so that
// it may be on our stack.
int
pv_console_write(int user_src, uint64 src, int n, int *written)
{
  char buf[256];
  int i, m;

  if(!pvcons.open)
    return 0;
  for(i = 0; i < n; i += m){
    m = n - i < sizeof(buf) ? n - i : sizeof(buf);
    if(either_copyin(buf, user_src, src + i, m) == -1)
      break;
    acquire(&pvcons.lock);
    while(panicked)
      ;
    trapeze_console_write(buf, m);
    release(&pvcons.lock);
  }
  *written = i;
  return 1;
}

// a byte of printf()'s, or the echo of a key: one exit, where the UART's
// status and data are two.
int
pv_putc(int c)
{
  if(!pvcons.open)
    return 0;
  while(panicked)
    ;
  trapeze_console_emergency(c);
  return 1;
}
