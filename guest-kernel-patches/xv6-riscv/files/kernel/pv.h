// xv6 as a guest of Trapeze: what the hooks in xv6's own files call.
// Each of these does nothing, or returns 0, on any other machine.

struct buf;

// pv.c
extern int      pv_here;
void            pv_start(void);
int             pv_devintr(void);
void            pv_attach(unsigned long, void (*)(void));

// pv_disk.c
int             pv_disk_init(void);
int             pv_disk_rw(struct buf*, int);

// ata_disk.c
#define ATA0_IRQ 12
void            ata_start(void);
int             ata_disk_init(void);
int             ata_disk_rw(struct buf*, int);
void            ata_disk_intr(void);

// pv_console.c
void            pv_console_init(void);
int             pv_console_write(int, unsigned long, int, int*);
int             pv_putc(int);

// pv_idle.c
void            pv_idle(void);

// pv_stat.c
void            pv_stat_init(void);
