//! The paravirtual interface: discovery, a disk, the shared interrupt line,
//! errors, counters; from M and from S.
#![no_std]
#![no_main]

use probes::csr::{self, MEI, MIP, SEI};
use probes::dev::pv::{self, call};
use probes::dev::virtio::Disk;
use probes::paging::Frame;
use probes::report::Hex;
use probes::{Context, Mode, Probe, snippet};
use trapeze_protocol::call::{Call, EXTENSION, Error, Version, Width};
use trapeze_protocol::interrupt::Line;

probes::probe!(main);

snippet! {
    /// A hypercall, with the arguments in its registers.
    fn hypercall {
        "li a7, 0x854505a",
        "ecall",
        "mv a2, a1",
        "mv a1, a0",
        "ecall",
    }
}
const _: () = assert!(EXTENSION == 0x0854_505a);

fn main(p: &mut Probe) {
    p.hex("version", call(Call::Version).unwrap_or(0), Version::CURRENT.to_value());
    let Some(device) = pv::find_block() else {
        p.holds("a block device", false);
        return;
    };
    let config = Call::ConfigRead { device, offset: 0, width: Width::Double };
    p.number("sectors", call(config).unwrap_or(0), 2048);
    let mut disk = Disk::detached(0);
    p.holds("brought up", pv::bring_up(device, &disk).is_ok());
    contents(p, device, &mut disk);
    interrupts(p, device, &mut disk);
    errors(p, device, &mut disk);
    from_supervisor(p);
    counters(p, device);
}

fn contents(p: &mut Probe, device: u64, disk: &mut Disk) {
    disk.data().fill(0x77);
    p.number("write", pv::transfer(device, disk, 3, true), 0);
    disk.data().fill(0);
    p.number("read", pv::transfer(device, disk, 3, false), 0);
    p.hex("data", disk.data().get(63), 0x77);
    p.number("beyond the end", pv::transfer(device, disk, 2048, false), 1);
}

/// A line is up while its word is not zero, and goes down without a call.
fn interrupts(p: &mut Probe, device: u64, disk: &mut Disk) {
    let line = Frame::new();
    for (name, kind, bit) in
        [("M", Line::MachineExternal, MEI), ("S", Line::SupervisorExternal, SEI)]
    {
        line.set(0, 99);
        let set_up = Call::InterruptSetUp { line: Some((line.pa(), kind)), hart: 0 };
        p.holds(format_args!("line {name}"), call(set_up) == Ok(0) && line.get(0) == 0);
        p.number("request", pv::transfer(device, disk, 3, false), 0);
        p.hex("pending", line.get(0), 1 << device);
        p.hex("mip", csr::read::<MIP>() & (MEI | SEI), bit);
        line.set(0, 0);
        p.holds("done", call(Call::InterruptDone) == Ok(0));
        p.hex("mip afterwards", csr::read::<MIP>() & (MEI | SEI), 0);
    }
    let none = Call::InterruptSetUp { line: None, hart: 0 };
    p.holds("no line", call(none) == Ok(0));
    p.number("request without a line", pv::transfer(device, disk, 3, false), 0);
    p.hex("word", line.get(0), 0);
}

fn errors(p: &mut Probe, device: u64, disk: &mut Disk) {
    let refused = [
        ("unknown function", pv::raw(999, [0; 6]).error, Error::NotSupported),
        ("unknown device", pv::raw(3, [77, 0, 0, 0, 0, 0]).error, Error::InvalidParameter),
        ("unknown queue", pv::raw(14, [device, 9, 0, 0, 0, 0]).error, Error::InvalidParameter),
        ("read-only", pv::raw(12, [device, 0, 8, 1, 0, 0]).error, Error::Denied),
        ("line nowhere", pv::raw(15, [64, 9, 0, 0, 0, 0]).error, Error::InvalidAddress),
    ];
    for (name, error, want) in refused {
        p.number(name, error.unsigned_abs(), (want as i64).unsigned_abs());
    }
    // An available index that runs away breaks the device, until a reset.
    disk.set_avail_index(5000);
    let _ = pv::notify(device);
    p.hex("status", call(Call::GetStatus { device }).unwrap_or(0), 15 | 64);
    p.holds("refused", pv::notify(device) == Err(Error::InvalidState));
    let mut fresh = Disk::detached(0);
    p.holds("brought up again", pv::bring_up(device, &fresh).is_ok());
    p.number("read again", pv::transfer(device, &mut fresh, 3, false), 0);
}

fn from_supervisor(p: &mut Probe) {
    let mut context = Context::new(&[0xdead]);
    let trap = context.run(Mode::S, hypercall);
    p.show("the second call, from S", trap.brief());
    p.show("its a1", Hex(context.x[11]));
    let trap = Context::new(&[]).run(Mode::U, hypercall);
    p.is("from U", trap.brief(), "ecall-from-U to M");
}

fn counters(p: &mut Probe, device: u64) {
    let mut name = [0; 8];
    let notify = (0..1000).find(|counter| {
        let part = call(Call::CounterName { counter: *counter, part: 0 });
        name = part.unwrap_or(0).to_le_bytes();
        name == *b"PV notif"
    });
    let Some(counter) = notify else {
        p.holds("a counter of notifications", false);
        return;
    };
    let before = call(Call::Counter { counter }).unwrap_or(0);
    for _ in 0..10 {
        let _ = pv::notify(device);
    }
    let after = call(Call::Counter { counter }).unwrap_or(0);
    p.number("notifications", after - before, 10);
}
