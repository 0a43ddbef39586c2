//
// the device file "exits", for pvstat: read() gives the exits of this guest.
//

#include "types.h"
#include "param.h"
#include "riscv.h"
#include "defs.h"
#include "spinlock.h"
#include "sleeplock.h"
#include "fs.h"
#include "file.h"
#include "trapeze_drivers.h"
#include "pv.h"
#include "pv_stat.h"

// copy out a record for each counter that is not zero, as many as fit.
static int
pv_stat_read(int user_dst, uint64 dst, int n)
{
  struct pv_record r;
  char name[PV_NAME+1];
  int done = 0;

  if(!pv_here)
    return -1;
  for(uint64 i = 0; done + sizeof(r) <= n; i++){
    if(trapeze_counter(i, &r.count) != TRAPEZE_OK)
      break;
    // a name is several hypercalls, so ask for those that are needed.
    if(r.count == 0 || trapeze_counter_name(i, name) != TRAPEZE_OK)
      continue;
    memmove(r.name, name, PV_NAME);
    if(either_copyout(user_dst, dst + done, &r, sizeof(r)) == -1)
      return -1;
    done += sizeof(r);
  }
  return done;
}

void
pv_stat_init(void)
{
  devsw[PV_STAT].read = pv_stat_read;
}
