//! The bus as a guest uses it, with a network card and a disk controller that
//! remember what reached them.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::addr::Gpa;
use crate::bus::PCI_MEMORY;
use crate::pass::Registers;

/// What has reached a real function: its last command.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Vec<Command>>>);

impl Wire {
    fn last(&self) -> Option<Command> {
        self.0.lock().unwrap().last().copied()
    }
}

impl Real for Wire {
    fn read(&mut self, register: usize) -> u32 {
        // Everything in the status that can be: errors, capabilities, interrupt.
        if register == 1 { 0xffff_ffff } else { 0 }
    }

    fn set_command(&mut self, command: Command) {
        self.0.lock().unwrap().push(command);
    }
}

const MEMORY: u32 = 1 << 1;
const MASTER: u32 = 1 << 2;

/// A network card: two windows, one smaller than a page, one of I/O, MSI and
/// MSI-X among its capabilities.
fn card() -> Found {
    let mut registers = [0; REGISTERS];
    registers[0] = 0x10d3_8086;
    registers[1] = 0x0010_0007;
    registers[2] = 0x0200_0000;
    registers[3] = 0x0080_0000;
    registers[4] = 0x4000_0000;
    registers[5] = 0x4002_0000;
    registers[6] = 0x0000_0001;
    registers[11] = 0xabcd_8086;
    registers[12] = 0xfffc_0001;
    registers[13] = 0xc8;
    registers[15] = 0x0000_0100;
    registers[0xc8 / 4] = 0xc823_d001;
    registers[0xcc / 4] = 0x2000_8100;
    registers[0xd0 / 4] = 0x0080_e005;
    registers[0xe0 / 4] = 0x0001_a010;
    registers[0xe4 / 4] = 0x1000_8cc1;
    registers[0xe8 / 4] = 0x000f_2810;
    registers[0xa0 / 4] = 0x0004_0011;
    let mut bars = [Bar::default(); BARS];
    bars[0] = Bar { base: Hpa(0x4000_0000), size: 0x2_0000 };
    bars[1] = Bar { base: Hpa(0x4002_0000), size: 0x20 };
    Found { registers, bars }
}

/// A disk controller with one wide window.
fn disk() -> Found {
    let mut registers = [0; REGISTERS];
    registers[0] = 0x0010_1b36;
    registers[4] = 0x4;
    let mut bars = [Bar::default(); BARS];
    bars[0] = Bar { base: Hpa(0x4004_0000), size: 0x4000 };
    Found { registers, bars }
}

fn bus() -> (Bus, [Wire; 2]) {
    let wires = [Wire::default(), Wire::default()];
    let function = |found: Found, wire: &Wire| Function::new(&found, Box::new(wire.clone()));
    let functions = vec![(1, function(card(), &wires[0])), (2, function(disk(), &wires[1]))];
    (Bus::new(functions), wires)
}

/// The offset of a register of device `device`.
const fn at(device: u64, register: u64) -> u64 {
    device << 15 | register
}

fn read(bus: &mut Bus, device: u64, register: u64) -> u32 {
    u32::try_from(bus.read(at(device, register), Width::Word)).unwrap()
}

fn write(bus: &mut Bus, device: u64, register: u64, value: u32) -> bool {
    bus.write(at(device, register), Width::Word, value.into())
}

#[test]
fn the_guest_sees_the_bridge_and_its_own_functions_only() {
    let (mut bus, _) = bus();
    let ids: Vec<_> = (0..256u64).map(|n| bus.read(n << 12, Width::Word)).collect();
    for (number, id) in ids.iter().enumerate() {
        let expected = match number {
            0 => 0x0008_1b36,
            8 => 0x10d3_8086,
            16 => 0x0010_1b36,
            _ => 0xffff_ffff,
        };
        assert_eq!(*id, expected, "function {number}");
    }
    assert_eq!(read(&mut bus, 1, 0x100), 0, "no extended capabilities");
    assert_eq!(read(&mut bus, 3, 0x100), u32::MAX);
}

#[test]
fn windows_can_be_sized_and_moved() {
    let (mut bus, wires) = bus();
    let mut size = |device, register| {
        write(&mut bus, device, register, u32::MAX);
        read(&mut bus, device, register)
    };
    assert_eq!(size(1, 0x10), 0xfffe_0000);
    assert_eq!(size(1, 0x14), 0xffff_f000, "a page at least");
    assert_eq!([size(1, 0x18), size(1, 0x1c), size(1, 0x30)], [0, 0, 0], "no I/O, no ROM");
    assert_eq!([size(2, 0x10), size(2, 0x14), size(2, 0x18)], [0xffff_c004, u32::MAX, 0]);
    assert!(bus.mappings().is_empty(), "nothing answers yet");
    assert!(!write(&mut bus, 1, 0x10, 0x5000_1234));
    write(&mut bus, 1, 0x14, 0x6000_0000);
    assert!(write(&mut bus, 1, 4, MEMORY));
    let mapping = |guest, host, size| Mapping {
        guest: Gpa(guest),
        registers: Registers { host: Hpa(host), size },
    };
    let second = mapping(0x6000_0000, 0x4002_0000, 0x1000);
    assert_eq!(bus.mappings(), [mapping(0x5000_0000, 0x4000_0000, 0x2_0000), second]);
    assert!(write(&mut bus, 1, 0x10, 0x7ffe_0000));
    assert_eq!(bus.mappings(), [mapping(0x7ffe_0000, 0x4000_0000, 0x2_0000), second]);
    for outside in [0x0c00_0000, 0x3ffe_0000, 0x8000_0000, 0xfffe_0000] {
        assert!(write(&mut bus, 1, 0x10, outside));
        assert_eq!(bus.mappings(), [second], "{outside:#x}");
    }
    assert!(write(&mut bus, 1, 4, MASTER));
    assert_eq!(bus.mappings(), []);
    assert_eq!(wires[0].last(), Some(Command::MASTER));
    assert_eq!(wires[1].last(), None, "the other one heard nothing");
}

#[test]
fn a_wide_window_is_where_both_halves_say() {
    let (mut bus, _) = bus();
    write(&mut bus, 2, 4, MEMORY);
    write(&mut bus, 2, 0x10, 0x4444_0000);
    assert_eq!(bus.mappings().len(), 1);
    assert!(write(&mut bus, 2, 0x14, 4));
    assert!(bus.mappings().is_empty());
    bus.write(at(2, 0x10), Width::Double, 0x4444_8000);
    assert_eq!(bus.mappings()[0].guest, Gpa(0x4444_8000));
}

#[test]
fn capabilities_are_those_without_danger() {
    let (mut bus, _) = bus();
    let mut list = vec![];
    let mut next = read(&mut bus, 1, 0x34);
    while next != 0 {
        let header = read(&mut bus, 1, next.into());
        list.push((next, header & 0xff));
        next = header >> 8 & 0xff;
    }
    assert_eq!(list, [(0xe0, 0x10), (0xc8, 0x01)]);
    assert_eq!(read(&mut bus, 1, 0xd0), 0, "no MSI");
    assert_eq!(read(&mut bus, 1, 0xe4), 0x8cc1, "no reset of the function");
    assert_eq!(read(&mut bus, 1, 0xe8), 0x2810, "no errors");
    write(&mut bus, 1, 0xe8, 0xffff_ffff);
    assert_eq!(read(&mut bus, 1, 0xe8), 0x2810);
    write(&mut bus, 1, 0xcc, 0xffff);
    assert_eq!(read(&mut bus, 1, 0xcc), 0xb, "D3, and nothing else");
    assert_eq!(function_level_reset(&card()), Some(0xe8 / 4));
    assert_eq!(function_level_reset(&disk()), None);
}

#[test]
fn a_list_of_capabilities_that_never_ends_ends() {
    let mut found = card();
    found.registers[0xa0 / 4] = 0x0004_c811;
    assert_eq!(capability::list(&found).len(), 2);
    found.registers[0xc8 / 4] = 0xc823_fc01;
    found.registers[0xfc / 4] = 0x0002_0010;
    // A capability that would go on behind the last register.
    let (mut bus, _) = bus();
    bus.functions[0].1 = Function::new(&found, Box::new(Wire::default()));
    assert_eq!(read(&mut bus, 1, 0xfc) & 0xff, 0x10);
}

#[test]
fn the_status_says_list_and_interrupt_only() {
    let (mut bus, _) = bus();
    assert_eq!(read(&mut bus, 1, 4), 0x0018_0000);
    write(&mut bus, 1, 4, u32::MAX);
    assert_eq!(read(&mut bus, 1, 4), 0x0018_0546);
    bus.reset();
    assert_eq!(read(&mut bus, 1, 4), 0x0018_0000);
}

#[test]
fn neighbours_have_lines_of_their_own() {
    assert_eq!([1, 2, 3, 4].map(|device| line(device, 1)), [1, 2, 3, 0]);
    assert_eq!([1, 2, 3, 4].map(|pin| line(3, pin)), [3, 0, 1, 2]);
}

fn width() -> impl Strategy<Value = Width> {
    prop::sample::select(&Width::ALL[..])
}

proptest! {
    /// Whatever is written, windows stay in their place, real ones and the
    /// guest's, and parts of a register agree with the whole.
    #[test]
    fn nothing_that_a_guest_writes_moves_a_real_window(
        writes in prop::collection::vec(
            (0u64..3, 0u64..0x140, width(), prop_oneof![any::<u64>(), 0x4000_0000u64..0x8000_0000]),
            1..60,
        ),
        looks in prop::collection::vec((0u64..1 << 20, width()), 1..20),
    ) {
        let (mut bus, wires) = bus();
        for (device, register, width, value) in writes {
            let before = bus.mappings();
            let offset = at(device, register & !(width.bytes() - 1));
            let moved = bus.write(offset, width, value);
            prop_assert!(moved || bus.mappings() == before);
        }
        let windows = [card(), disk()].map(|found| found.bars).concat();
        for Mapping { guest, registers } in bus.mappings() {
            let bar = windows.iter().find(|bar| bar.size != 0 && bar.base == registers.host);
            prop_assert_eq!(bar.map(|bar| bar.size.max(4096)), Some(registers.size));
            prop_assert!(guest >= PCI_MEMORY.base && guest.is_aligned(registers.size));
            prop_assert!(guest.0 + registers.size <= PCI_MEMORY.end().0);
        }
        for (offset, width) in looks {
            let offset = offset & !(width.bytes() - 1);
            let whole = bus.read(offset & !7, Width::Double);
            let part = whole >> (8 * (offset & 7)) & width.mask();
            prop_assert_eq!(bus.read(offset, width), part);
        }
        for (wire, device) in wires.iter().zip(1..) {
            let shown = read(&mut bus, device, 4).to_le_bytes();
            let shown = Command::from_bits_truncate(u16::from_le_bytes([shown[0], shown[1]]));
            prop_assert_eq!(wire.last().unwrap_or(Command::empty()), shown);
        }
    }
}
