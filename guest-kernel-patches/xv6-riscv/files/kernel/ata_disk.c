//
// driver for the emulated ATA disk, by programmed I/O as disks were driven
// once: every register traps, and a block is moved two bytes at a time
// through one of them. it is here to be compared with.
//

#include "types.h"
#include "param.h"
#include "memlayout.h"
#include "riscv.h"
#include "defs.h"
#include "spinlock.h"
#include "sleeplock.h"
#include "fs.h"
#include "buf.h"
#include "pv.h"

#define ATA0 0x10010000L

// registers, a byte each; the data register has two.
#define DATA     0
#define COUNT    2
#define LBA      3     // to 5, low byte first
#define DEVICE   6     // and the top of the address
#define STATUS   7     // to read: acknowledges the interrupt
#define COMMAND  7     // to write
#define ALT      0x10  // the status, without acknowledging

#define BUSY     0x80
#define DRQ      0x08  // the data register is open
#define ERR      0x01

#define READ_MULTIPLE   0xc4
#define WRITE_MULTIPLE  0xc5

#define R(r) (*(volatile uchar *)(ATA0 + (r)))
#define D    (*(volatile ushort *)(ATA0 + DATA))

extern pagetable_t kernel_pagetable;

static struct {
  struct spinlock lock;
  int here;
  struct buf *b;  // what the disk works on: one at a time
  int write;
} ata;

// called by start() in machine mode, where a read of what is not there can
// be survived: the trap goes on behind it.
void
ata_start(void)
{
  uint64 mtvec, status;

  if(!pv_here || r_mhartid() != 0)
    return;
  asm volatile("la %0, 1f\n"
               "csrrw %0, mtvec, %0\n"
               "li %1, 0xff\n"
               "lbu %1, 0(%2)\n"
               ".balign 4\n"
               "1: csrw mtvec, %0"
               : "=&r" (mtvec), "=&r" (status)
               : "r" (ATA0 + ALT)
               : "memory");
  ata.here = status != 0xff;
}

// returns 1 if this is the disk to use.
int
ata_disk_init(void)
{
  if(!ata.here)
    return 0;
  initlock(&ata.lock, "ata_disk");
  kvmmap(kernel_pagetable, ATA0, ATA0, PGSIZE, PTE_R | PTE_W);
  sfence_vma();
  // this CPU takes its interrupts.
  *(uint32*)(PLIC + ATA0_IRQ*4) = 1;
  *(uint32*)PLIC_SENABLE(cpuid()) |= 1 << ATA0_IRQ;
  return 1;
}

int
ata_disk_rw(struct buf *b, int write)
{
  uint sector = b->blockno * (BSIZE / 512);
  ushort *data = (ushort*)b->data;

  if(!ata.here)
    return 0;

  acquire(&ata.lock);
  while(ata.b)
    sleep(&ata.b, &ata.lock);
  ata.b = b;
  ata.write = write;
  b->disk = 1;

  R(COUNT) = BSIZE / 512;
  R(LBA) = sector;
  R(LBA+1) = sector >> 8;
  R(LBA+2) = sector >> 16;
  R(DEVICE) = 0xe0 | (sector >> 24 & 0xf);
  R(COMMAND) = write ? WRITE_MULTIPLE : READ_MULTIPLE;
  if(write){
    // the disk asks for the data without an interrupt.
    while(R(ALT) & BUSY)
      ;
    if((R(ALT) & DRQ) == 0)
      panic("ata_disk_rw");
    for(int i = 0; i < BSIZE / 2; i++)
      D = data[i];
  }

  while(b->disk == 1)
    sleep(b, &ata.lock);
  ata.b = 0;
  wakeup(&ata.b);
  release(&ata.lock);
  return 1;
}

void
ata_disk_intr(void)
{
  acquire(&ata.lock);
  struct buf *b = ata.b;
  uchar status = R(STATUS);
  if(b && b->disk && (status & BUSY) == 0){
    if(status & ERR)
      panic("ata_disk_intr");
    ushort *data = (ushort*)b->data;
    if(!ata.write)
      for(int i = 0; i < BSIZE / 2; i++)
        data[i] = D;
    b->disk = 0;
    wakeup(b);
  }
  release(&ata.lock);
}
