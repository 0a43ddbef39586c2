// what read() of the device file "exits" gives: so many of these.

#define PV_STAT 2   // major device number
#define PV_NAME 32

struct pv_record {
  char name[PV_NAME];  // padded with zeroes; all 32 bytes may be in use
  uint64 count;
};
