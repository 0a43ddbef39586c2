//
// driver for the paravirtual disk. the requests of a ring, and who owns
// which buffer, are the business of guest-drivers; what is left is to put
// processes to sleep and to wake them.
//

#include "types.h"
#include "param.h"
#include "riscv.h"
#include "defs.h"
#include "spinlock.h"
#include "sleeplock.h"
#include "fs.h"
#include "buf.h"
#include "trapeze_drivers.h"
#include "pv.h"

#define DISK 0  // the first one

static struct {
  struct spinlock lock;
  int open;
  int room;  // &room is the channel of who waits for a slot
} pvdisk;

// the interrupt says that requests have ended, one or many.
static void
pv_disk_intr(void)
{
  struct trapeze_completion done;
  int ended = 0;

  acquire(&pvdisk.lock);
  while(trapeze_block_complete(DISK, &done) == 1){
    struct buf *b = done.tag;
    if(done.status != TRAPEZE_OK)
      panic("pv_disk_intr");
    b->disk = 0;
    wakeup(b);
    ended++;
  }
  if(ended)
    wakeup(&pvdisk.room);
  release(&pvdisk.lock);
}

// returns 1 if this is the disk to use.
int
pv_disk_init(void)
{
  if(!pv_here || trapeze_block_open(DISK, 1) != TRAPEZE_OK)
    return 0;
  initlock(&pvdisk.lock, "pv_disk");
  pv_attach(trapeze_block_device(DISK), pv_disk_intr);
  pvdisk.open = 1;
  return 1;
}

// read or write a block and wait until it is done, as virtio_disk_rw()
// does, under one lock as there. up to 64 processes can have a request in
// flight. the data is in the buffer cache, which is mapped where it is; a
// kernel stack is not, and must never be given to a device.
int
pv_disk_rw(struct buf *b, int write)
{
  uint64 sector = b->blockno * (BSIZE / 512);
  int op = write ? TRAPEZE_OPERATION_WRITE : TRAPEZE_OPERATION_READ;
  int status;

  if(!pvdisk.open)
    return 0;

  acquire(&pvdisk.lock);
  b->disk = 1;
  while((status = trapeze_block_submit(DISK, op, sector, b->data, BSIZE, b)) == TRAPEZE_FULL)
    sleep(&pvdisk.room, &pvdisk.lock);
  if(status != TRAPEZE_OK)
    panic("pv_disk_rw");
  while(b->disk == 1)
    sleep(b, &pvdisk.lock);
  release(&pvdisk.lock);
  return 1;
}
