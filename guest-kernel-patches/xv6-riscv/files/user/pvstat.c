// pvstat: the exits of this guest since it was started, by cause.
// pvstat command [argument ...]: those that the command costs.

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "kernel/pv_stat.h"
#include "user/user.h"

#define MAX 256

static struct pv_record before[MAX], after[MAX];

// returns how many records there are.
static int
snapshot(struct pv_record *r)
{
  int fd, n;

  if((fd = open("/exits", O_RDONLY)) < 0){
    mknod("/exits", PV_STAT, 0);
    fd = open("/exits", O_RDONLY);
  }
  n = read(fd, r, MAX * sizeof(*r));
  close(fd);
  if(n < 0){
    fprintf(2, "pvstat: this is no guest of Trapeze\n");
    exit(1);
  }
  return n / sizeof(*r);
}

static uint64
old_count(struct pv_record *r, int n)
{
  for(int i = 0; i < n; i++)
    if(memcmp(before[i].name, r->name, PV_NAME) == 0)
      return before[i].count;
  return 0;
}

// printf()'s numbers end at 2^31.
static void
line(struct pv_record *r)
{
  char buf[PV_NAME + 24];
  uint64 x = r->count;
  int at = sizeof(buf), len = 0;

  buf[--at] = '\n';
  do
    buf[--at] = '0' + x % 10;
  while((x /= 10) != 0);
  while(at > sizeof(buf) - 12)
    buf[--at] = ' ';
  buf[--at] = ' ';
  while(len < PV_NAME && r->name[len])
    len++;
  // name, blanks, number: in one write, so that it is one exit.
  memmove(buf, r->name, len);
  while(len < 28 && len < at)
    buf[len++] = ' ';
  memmove(buf + len, buf + at, sizeof(buf) - at);
  write(1, buf, len + sizeof(buf) - at);
}

int
main(int argc, char *argv[])
{
  int old = 0, n, best;

  if(argc > 1){
    old = snapshot(before);
    int pid = fork();
    if(pid == 0){
      exec(argv[1], argv + 1);
      fprintf(2, "pvstat: exec %s failed\n", argv[1]);
      exit(1);
    }
    wait(0);
  }
  n = snapshot(after);
  for(int i = 0; i < n; i++)
    after[i].count -= old_count(&after[i], old);
  // the most frequent first.
  for(;;){
    best = 0;
    for(int i = 1; i < n; i++)
      if(after[i].count > after[best].count)
        best = i;
    if(n == 0 || after[best].count == 0)
      exit(0);
    line(&after[best]);
    after[best].count = 0;
  }
}
