//! What C sees. The header `include/trapeze_drivers.h` is made from this file,
//! comments included.
//!
//! One of the places where `unsafe` is allowed: C passes addresses, and what
//! holds for them is in the comments. Nothing else is done here.
#![allow(unsafe_code)]

use core::ffi::{c_char, c_void};
use core::fmt::{self, Write};
use core::ptr::NonNull;

use guest_drivers::{CpuPage, Ecall, Linear, RawBuffer, detect};

use crate::drivers::Drivers;

static DRIVERS: Drivers<Linear, Ecall> = Drivers::new();

/// How a call ended: 0, or a number below zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Status {
    /// It worked.
    Ok = 0,
    /// All slots are taken: complete something first.
    Full = -1,
    /// The device failed.
    Io = -2,
    /// The device, or the library, does not know such requests.
    Unsupported = -3,
    /// The memory cannot be reached by devices.
    Address = -4,
    /// Too many bytes, or too few.
    Length = -5,
    /// The device broke down and was stopped; its requests end with this.
    Broken = -6,
    /// The device is not one that the driver knows.
    Device = -7,
    /// The VMM refused.
    Vmm = -8,
    /// There is none: no VMM, no such device, or it is not open.
    None = -9,
    /// Another call for it is under way: the kernel lacks a lock.
    Busy = -10,
}

/// What a request to a disk does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Operation {
    /// Disk to memory.
    Read = 0,
    /// Memory to disk.
    Write = 1,
    /// Makes durable what was written by requests that have ended.
    Flush = 2,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Completion {
    /// What the request was given with.
    pub tag: *mut c_void,
    /// How it ended.
    pub status: i32,
}

/// Finds the VMM from M-mode, before anything else is called; TRAPEZE_NONE on
/// other machines. Trap handler and interrupts are afterwards as before. Once
/// found, the VMM can be called from S-mode as well.
///
/// # Safety
/// In M-mode, on one hart.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_detect_by_trap() -> i32 {
    // SAFETY: the library's memory is mapped where it is, and this is M-mode,
    // as the caller says.
    let vmm = unsafe { detect::by_trap(Linear::identity()) };
    code(DRIVERS.found(vmm))
}

/// Finds the VMM from S-mode, by asking the SBI.
///
/// # Safety
/// In S-mode, on an SBI, on one hart.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_detect_by_sbi() -> i32 {
    // SAFETY: as above; an SBI is there.
    let vmm = unsafe { detect::by_sbi(Linear::identity()) };
    code(DRIVERS.found(vmm))
}

/// A text for a status, for messages.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_status_text(status: i32) -> *const c_char {
    Status::text(status).as_ptr()
}

/// Lets the VMM give this hart to somebody else for a while; returns at once
/// if nobody wants it.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_yield() {
    DRIVERS.relax();
}

/// Has the registers of S-mode of the hart that calls in the 4096 bytes at
/// `page`; TRAPEZE_VMM where it can't be, and then CSR instructions are the way
/// as ever. From then on the last GiB of S-mode's addresses is taken, and
/// `sstatus` is at -2048: docs/protocol.md, "The CPU page".
///
/// # Safety
/// `page` is aligned to 4096 and used for nothing else. It may be called in
/// M-mode, and on several harts at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_cpu_page(page: *mut c_void) -> i32 {
    let page = page.cast_const().cast::<CpuPage>();
    if !page.is_aligned() {
        return Status::Address as i32;
    }
    // SAFETY: it is memory for ever, as the caller says, and made of atomics.
    let page = unsafe { page.as_ref() };
    code(page.ok_or(Status::Address).and_then(|page| DRIVERS.cpu_page(page)))
}

/// Lets devices interrupt a hart: by 9, the S-mode external interrupt, or by
/// 11, that of M-mode. The PLIC has no part in it.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_interrupt_connect(interrupt: u32, hart: u64) -> i32 {
    code(DRIVERS.connect(interrupt, hart))
}

/// Whether a device has news: 1 or 0. Only a look at memory.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_interrupt_pending() -> i32 {
    DRIVERS.has_news().into()
}

/// Takes the news: bit n says that device n has completed something. Whoever
/// takes them looks at all of these devices.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_interrupt_take() -> u64 {
    DRIVERS.take_news()
}

/// What counter `number` has counted: exits of this guest, by cause.
/// TRAPEZE_NONE beyond the last.
///
/// # Safety
/// `value` points to the caller's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_counter(number: u64, value: *mut u64) -> i32 {
    // SAFETY: as the caller says.
    let keep = |count| unsafe { value.write(count) };
    code(DRIVERS.counter(number).map(keep))
}

/// The name of counter `number`, of up to 32 bytes, and a zero.
///
/// # Safety
/// `name` points to 33 bytes of the caller's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_counter_name(number: u64, name: *mut c_char) -> i32 {
    code(DRIVERS.counter_name(number).map(|text| {
        // SAFETY: as the caller says: text, and a zero.
        unsafe {
            name.cast::<u8>().copy_from(text.as_ptr(), text.len());
            name.add(text.len()).write(0);
        }
    }))
}

/// Takes a disk, 0 to 3 among the paravirtual disks, into service. It
/// interrupts after so many completions, or as many as there are requests, if
/// these are fewer; 0: never.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_block_open(disk: u32, interrupt_after: u32) -> i32 {
    code(DRIVERS.open_disk(disk, interrupt_after))
}

/// Size in sectors of 512 bytes; 0 if it is not open.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_block_capacity(disk: u32) -> u64 {
    DRIVERS.capacity(disk).unwrap_or(0)
}

/// Number of the device that the disk is: its bit in the news; 64 if it is
/// not open.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_block_device(disk: u32) -> u64 {
    DRIVERS.device_of(disk).unwrap_or(64)
}

/// Gives a request to a disk and tells it. `tag` comes back with its end.
///
/// # Safety
/// `data` is the disk's until then, and mapped where it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_block_submit(
    disk: u32,
    operation: i32,
    sector: u64,
    data: *mut c_void,
    len: usize,
    tag: *mut c_void,
) -> i32 {
    // SAFETY: as the caller says.
    match unsafe { trapeze_block_enqueue(disk, operation, sector, data, len, tag) } {
        0 => trapeze_block_kick(disk),
        refused => refused,
    }
}

/// The same without telling it: it may not notice until
/// trapeze_block_kick. One for many requests costs one exit, or none.
///
/// # Safety
/// As for trapeze_block_submit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_block_enqueue(
    disk: u32,
    operation: i32,
    sector: u64,
    data: *mut c_void,
    len: usize,
    tag: *mut c_void,
) -> i32 {
    let operation = match operation {
        0 => guest_drivers::Operation::Read,
        1 => guest_drivers::Operation::Write,
        2 => guest_drivers::Operation::Flush,
        _ => return Status::Unsupported as i32,
    };
    let len = if operation == guest_drivers::Operation::Flush { 0 } else { len };
    let data = NonNull::new(data.cast()).unwrap_or(NonNull::dangling());
    // SAFETY: the memory is given away, as the caller says.
    let data = unsafe { RawBuffer::new(data, len) };
    code(DRIVERS.enqueue(disk, operation, (sector, data), tag))
}

/// Tells a disk of new requests, if it does not look by itself.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_block_kick(disk: u32) -> i32 {
    code(DRIVERS.kick(disk))
}

/// The next request that has ended: 1; 0 if there is none, after which there
/// is an interrupt for the next.
///
/// # Safety
/// `done` points to the caller's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_block_complete(disk: u32, done: *mut Completion) -> i32 {
    match DRIVERS.complete(disk) {
        Ok(Some(completion)) => {
            // SAFETY: as the caller says.
            unsafe { done.write(completion) };
            1
        }
        Ok(None) => 0,
        Err(status) => status as i32,
    }
}

/// Changes after how many completions the disk interrupts.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_block_interrupts(disk: u32, after: u32) -> i32 {
    code(DRIVERS.set_interrupts(disk, after))
}

/// Takes a disk into service again, after it broke down and all its requests
/// were completed.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_block_restart(disk: u32) -> i32 {
    code(DRIVERS.restart(disk))
}

/// Reads whole sectors, and waits until it is done.
///
/// # Safety
/// `data` points to `len` bytes of the caller's own, mapped where they are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_block_read(
    disk: u32,
    sector: u64,
    data: *mut c_void,
    len: usize,
) -> i32 {
    // SAFETY: as the caller says; any bytes will do.
    code(DRIVERS.read(disk, sector, unsafe { core::slice::from_raw_parts_mut(data.cast(), len) }))
}

/// Writes whole sectors, and waits until it is done.
///
/// # Safety
/// As for trapeze_block_read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_block_write(
    disk: u32,
    sector: u64,
    data: *const c_void,
    len: usize,
) -> i32 {
    // SAFETY: as the caller says.
    code(DRIVERS.write(disk, sector, unsafe { core::slice::from_raw_parts(data.cast(), len) }))
}

/// Makes durable what was written, and waits until it is.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_block_flush(disk: u32) -> i32 {
    code(DRIVERS.flush(disk))
}

/// Takes the paravirtual console into service. From now on, what is typed
/// comes in there, and interrupts.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_console_open() -> i32 {
    code(DRIVERS.open_console())
}

/// Number of the device that the console is: its bit in the news; 64 if it is
/// not open.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_console_device() -> u64 {
    DRIVERS.device_of_console().unwrap_or(64)
}

/// Shows bytes, which are copied: they may be on a stack. One exit for each
/// 256 of them.
///
/// # Safety
/// `bytes` points to `len` bytes of the caller's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_console_write(bytes: *const c_void, len: usize) -> i32 {
    // SAFETY: as the caller says.
    code(DRIVERS.show(unsafe { core::slice::from_raw_parts(bytes.cast(), len) }))
}

/// Takes what was typed, up to `len` bytes; says how many. After 0 there is an
/// interrupt for the next.
///
/// # Safety
/// `bytes` points to `len` bytes of the caller's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trapeze_console_read(bytes: *mut c_void, len: u32) -> i32 {
    let len = usize::try_from(len).unwrap_or(0);
    // SAFETY: as the caller says; any bytes will do.
    let bytes = unsafe { core::slice::from_raw_parts_mut(bytes.cast(), len) };
    let typed = DRIVERS.typed(bytes).map(|count| i32::try_from(count).unwrap_or(i32::MAX));
    typed.unwrap_or_else(|status| status as i32)
}

/// Shows one byte at once, whatever else is under way: for last words.
#[unsafe(no_mangle)]
pub extern "C" fn trapeze_console_emergency(byte: u8) -> i32 {
    code(DRIVERS.emergency(byte))
}

fn code(result: Result<(), Status>) -> i32 {
    Status::from(result) as i32
}

/// Shows a message when nothing else can be trusted any more.
#[cfg_attr(not(feature = "panic-handler"), expect(dead_code, reason = "the handler's"))]
pub(crate) fn last_words(words: fmt::Arguments<'_>) {
    struct Emergency;
    impl Write for Emergency {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // There is nobody to tell.
            text.bytes().for_each(|byte| _ = DRIVERS.emergency(byte));
            Ok(())
        }
    }
    let _ = Emergency.write_fmt(words);
}
