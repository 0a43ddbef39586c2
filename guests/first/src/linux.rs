//! The program.

use core::arch::{asm, global_asm};
use core::ffi::CStr;

use first::sys::{FINIT_MODULE, MOUNT, NANOSLEEP, OPENAT, PREAD64, REBOOT, WRITE, call};

/// `AT_FDCWD`
const HERE: usize = -100isize as usize;
const O_DIRECT: usize = 0o40000;
/// The kernel unpacks the module.
const MODULE_INIT_COMPRESSED_FILE: usize = 4;

/// Blocks that are read, how large they are, and how many the disk has.
const READS: u64 = 1000;
const BLOCK: usize = 4096;
const BLOCKS: u64 = 4096;
/// Reads before that, so that all is warm; and how long the kernel is left
/// alone first, in seconds.
const WARM: u64 = 64;
const REST: u64 = 3;

/// What `O_DIRECT` wants: a buffer that begins with a block.
#[repr(align(4096))]
struct Buffer([u8; BLOCK]);

// The stack that Linux gives is aligned, and this never returns.
global_asm!(".global _start", "_start:", "rdtime a0", "call {main}", main = sym main);

extern "C" fn main(began: u64) -> ! {
    say("first: userspace = ", began);
    for module in [c"/virtio_mmio.ko", c"/virtio_blk.ko"] {
        load(module);
    }
    call(MOUNT, [c"dev".as_ptr().addr(), c"/dev".as_ptr().addr(), c"devtmpfs".as_ptr().addr()]);
    let disk = open(c"/dev/vda", O_DIRECT);
    if let Some(disk) = disk {
        rest();
        let mut state = 1;
        let _ = reads(disk, &mut state, WARM);
        let before = now();
        match reads(disk, &mut state, READS) {
            true => say("first: reads = ", now() - before),
            false => say("first: a read failed = ", 0),
        }
    }
    // LINUX_REBOOT_MAGIC1, MAGIC2, and LINUX_REBOOT_CMD_POWER_OFF.
    call(REBOOT, [0xfee1_dead, 0x2812_1969, 0x4321_fedc]);
    loop {
        core::hint::spin_loop();
    }
}

/// Reads blocks at random places; `false` if one does not come whole.
fn reads(disk: usize, state: &mut u64, count: u64) -> bool {
    let mut buffer = Buffer([0; BLOCK]);
    (0..count).all(|_| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let place = (*state >> 33) % BLOCKS;
        let at = buffer.0.as_mut_ptr().expose_provenance();
        call(PREAD64, [disk, at, BLOCK, place as usize * BLOCK]) == BLOCK as isize
    })
}

/// Lets the kernel end what it does in the background after a boot: for most
/// of a second it tests its cryptography.
fn rest() {
    let time = [REST, 0];
    call(NANOSLEEP, [time.as_ptr().expose_provenance()]);
}

fn load(module: &CStr) {
    let Some(file) = open(module, 0) else { return };
    call(FINIT_MODULE, [file, c"".as_ptr().addr(), MODULE_INIT_COMPRESSED_FILE]);
    // A module that is not compressed.
    call(FINIT_MODULE, [file, c"".as_ptr().addr(), 0]);
}

fn open(path: &CStr, flags: usize) -> Option<usize> {
    usize::try_from(call(OPENAT, [HERE, path.as_ptr().addr(), flags])).ok()
}

/// Prints `text` with a number, on the console that Linux gives to the first
/// process.
fn say(text: &str, number: u64) {
    let mut line = [b'\n'; 64];
    let (mut end, mut left) = (text.len(), number);
    line[..end].copy_from_slice(text.as_bytes());
    let mut digits = [0; 20];
    let mut first = digits.len();
    while left != 0 || first == digits.len() {
        first -= 1;
        digits[first] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    line[end..][..digits.len() - first].copy_from_slice(&digits[first..]);
    end += digits.len() - first + 1;
    call(WRITE, [1, line.as_ptr().expose_provenance(), end]);
}

fn now() -> u64 {
    let time;
    // SAFETY: only reads a counter.
    unsafe { asm!("rdtime {}", out(reg) time) };
    time
}
