//! The library against the VMM's own devices, in one process.

use core::ptr::NonNull;
use std::sync::atomic::Ordering;

use guest_drivers::{Operation, RawBuffer};
use trapeze_vmm::virtio::AnyDevice;
use trapeze_vmm::virtio::console::{Console, Terminal};

use super::common::{Machine, Ram, disk};
use super::*;

type Library = Drivers<Ram, &'static Machine>;

fn library(devices: Vec<AnyDevice>) -> (&'static Machine, &'static Library) {
    let machine = Machine::new(devices);
    let library: &'static Library = machine.place(Library::new());
    library.found(Some(machine.guest())).unwrap();
    (machine, library)
}

fn request(machine: &'static Machine, len: usize) -> RawBuffer {
    let bytes = NonNull::from(machine.buffer(len));
    // SAFETY: leaked, and looked at only when it has come back.
    #[expect(unsafe_code, reason = "as C does it")]
    unsafe {
        RawBuffer::new(bytes.cast(), len)
    }
}

fn tag(number: usize) -> *mut c_void {
    core::ptr::without_provenance_mut(number)
}

#[test]
fn nothing_works_before_the_vmm_is_found() {
    let machine = Machine::new(vec![disk::device(16)]);
    let library: &'static Library = machine.place(Library::new());
    assert_eq!(library.found(None), Err(Status::None));
    assert_eq!(library.open_disk(0, 1), Err(Status::None));
    assert_eq!(library.open_console(), Err(Status::None));
    assert_eq!(library.connect(9, 0), Err(Status::None));
    assert_eq!((library.counter(0), library.take_news()), (Err(Status::None), 0));
    assert_eq!(library.emergency(b'!'), Err(Status::None));
}

#[test]
fn many_requests_are_in_flight_and_come_back_by_their_tags() {
    let (device, may_say) = disk::Slow::device(16);
    let (machine, library) = library(vec![disk::device(1), device]);
    library.connect(9, 0).unwrap();
    library.open_disk(1, 1).unwrap();
    assert_eq!((library.capacity(1), library.device_of(1)), (Ok(16), Ok(1)));
    let buffers: Vec<_> = (0..5).map(|_| request(machine, 512)).collect();
    for (n, data) in buffers.iter().enumerate() {
        library.enqueue(1, Operation::Read, (n as u64, *data), tag(100 + n)).unwrap();
    }
    library.kick(1).unwrap();
    assert!(library.complete(1).unwrap().is_none() && !library.has_news());
    may_say.store(5, Ordering::Relaxed);
    machine.poll();
    assert!(library.has_news());
    assert_eq!((library.take_news(), library.has_news()), (2, false));
    let ended: Vec<_> = std::iter::from_fn(|| library.complete(1).unwrap()).collect();
    let mut tags: Vec<_> = ended.iter().map(|done| done.tag.addr()).collect();
    tags.sort_unstable();
    assert_eq!(tags, [100, 101, 102, 103, 104]);
    assert!(ended.iter().all(|done| done.status == Status::Ok as i32));
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let (machine, library) = library(vec![disk::device(16)]);
    let data = request(machine, 512);
    let read = |disk| library.enqueue(disk, Operation::Read, (0, data), tag(0));
    assert_eq!((read(0), read(9)), (Err(Status::None), Err(Status::None)), "not open");
    assert_eq!(library.open_disk(1, 1), Err(Status::None), "there is one only");
    assert_eq!(library.open_disk(4, 1), Err(Status::None));
    library.open_disk(0, 0).unwrap();
    library.open_disk(0, 0).unwrap();
    for _ in 0..REQUESTS {
        read(0).unwrap();
    }
    assert_eq!(read(0), Err(Status::Full));
    library.kick(0).unwrap();
    assert_eq!(std::iter::from_fn(|| library.complete(0).unwrap()).count(), REQUESTS);
    assert_eq!(library.connect(5, 0), Err(Status::Unsupported), "no such line");
}

#[test]
fn errors_come_back_with_the_request() {
    let (machine, library) = library(vec![disk::device(16)]);
    library.open_disk(0, 0).unwrap();
    library.enqueue(0, Operation::Write, (16, request(machine, 512)), tag(7)).unwrap();
    library.kick(0).unwrap();
    let done = library.complete(0).unwrap().unwrap();
    assert_eq!((done.tag.addr(), done.status), (7, Status::Io as i32));
    let outside = library.read(0, 0, &mut [0; 512]);
    assert_eq!(outside, Err(Status::Address), "as a stack that is mapped elsewhere");
}

#[test]
fn waiting_calls_read_what_was_written() {
    let (machine, library) = library(vec![disk::device(16)]);
    library.open_disk(0, 0).unwrap();
    let bytes = machine.buffer(1024);
    bytes.fill(0x5a);
    library.write(0, 3, bytes).unwrap();
    library.flush(0).unwrap();
    bytes.fill(0);
    library.read(0, 4, &mut bytes[..512]).unwrap();
    assert_eq!((bytes[511], bytes[512]), (0x5a, 0));
}

#[test]
fn a_call_within_a_call_is_told() {
    let (_, library) = library(vec![disk::device(16)]);
    library.open_disk(0, 0).unwrap();
    let inner = library.disk(0).unwrap().with(|_| Ok(library.kick(0)));
    assert_eq!(inner, Ok(Err(Status::Busy)));
    assert_eq!(library.kick(0), Ok(()));
}

/// What was shown, and what is typed.
#[derive(Default)]
struct Keyboard {
    shown: Vec<u8>,
    typed: Vec<u8>,
}

struct Shared(&'static SpinMutex<Keyboard>);

impl Terminal for Shared {
    fn show(&mut self, bytes: &[u8]) {
        self.0.lock().shown.extend(bytes);
    }

    fn waiting(&self) -> usize {
        self.0.lock().typed.len()
    }

    fn take(&mut self, bytes: &mut [u8]) -> usize {
        let mut keyboard = self.0.lock();
        let count = bytes.len().min(keyboard.typed.len());
        let taken: Vec<u8> = keyboard.typed.drain(..count).collect();
        bytes[..count].copy_from_slice(&taken);
        count
    }
}

#[test]
fn the_console_shows_text_from_anywhere_and_takes_keys() {
    let keyboard: &'static SpinMutex<Keyboard> = Box::leak(Box::default());
    let console = Console::new(Box::new(Shared(keyboard)), (80, 24));
    let (machine, library) = library(vec![Box::new(console)]);
    library.connect(9, 0).unwrap();
    library.open_console().unwrap();
    // On this thread's stack, which no device of the guest's can reach.
    let text = [b'x'; PIECE + 1];
    library.show(&text).unwrap();
    library.emergency(b'!').unwrap();
    assert_eq!(keyboard.lock().shown, [&text[..], b"!"].concat());
    let mut bytes = [0; 8];
    assert_eq!(library.typed(&mut bytes), Ok(0));
    keyboard.lock().typed.extend(b"ls\n");
    machine.poll();
    assert_eq!((library.take_news(), library.device_of_console()), (1, Ok(0)));
    assert_eq!((library.typed(&mut bytes), &bytes[..3]), (Ok(3), &b"ls\n"[..]));
}
