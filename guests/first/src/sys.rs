//! Linux's system calls (include/uapi/asm-generic/unistd.h).

use core::arch::asm;

/// Declares system calls.
macro_rules! calls {
    ($($name:ident = $number:literal)*) => {$(
        #[doc = concat!("`", stringify!($name), "`")]
        pub const $name: usize = $number;
    )*};
}

calls! {
    MOUNT = 40
    OPENAT = 56
    PIPE2 = 59
    READ = 63
    WRITE = 64
    PREAD64 = 67
    EXIT_GROUP = 94
    NANOSLEEP = 101
    CLOCK_GETTIME = 113
    SCHED_YIELD = 124
    KILL = 129
    RT_SIGACTION = 134
    REBOOT = 142
    GETPID = 172
    MUNMAP = 215
    CLONE = 220
    MMAP = 222
    MPROTECT = 226
    WAIT4 = 260
    FINIT_MODULE = 273
}

/// A system call with up to six arguments; those that are not given are zero.
///
/// What it does to memory must be what the caller allows: it is as dangerous
/// as the call itself.
pub fn call<const N: usize>(number: usize, given: [usize; N]) -> isize {
    let mut args = [0; 6];
    args.iter_mut().zip(given).for_each(|(arg, value)| *arg = value);
    let [a, b, c, d, e, f] = args;
    let result;
    // SAFETY: the programs here pass only memory that they own.
    unsafe {
        asm!("ecall", inlateout("a0") a => result, in("a1") b, in("a2") c, in("a3") d,
             in("a4") e, in("a5") f, in("a7") number);
    }
    result
}

/// Writes `text` to the standard output.
pub fn print(text: &str) {
    call(WRITE, [1, text.as_ptr().expose_provenance(), text.len()]);
}

/// Ends the program.
pub fn exit(status: usize) -> ! {
    loop {
        call(EXIT_GROUP, [status]);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    print("a panic\n");
    loop {
        call(EXIT_GROUP, [2]);
    }
}
