//! The UART as a driver sees it.

use super::*;

const RBR: u64 = 0;
const IER: u64 = 1;
const IIR: u64 = 2;
const LCR: u64 = 3;
const MCR: u64 = 4;
const LSR: u64 = 5;
const MSR: u64 = 6;
const SCR: u64 = 7;

fn get(uart: &mut Uart, offset: u64) -> u64 {
    uart.read(offset, Width::Byte).unwrap()
}

fn set(uart: &mut Uart, offset: u64, value: u64) -> Option<u8> {
    uart.write(offset, Width::Byte, value).unwrap()
}

/// A UART with FIFOs on and these interrupts wanted.
fn with_fifo(control: u64, interrupts: u64) -> Uart {
    let mut uart = Uart::new();
    set(&mut uart, IIR, control | 1);
    set(&mut uart, IER, interrupts);
    uart
}

/// The values that QEMU 7.2 was seen to start with.
#[test]
fn reset_values() {
    let mut uart = with_fifo(0xc0, 0xf);
    uart.push(1);
    uart.reset();
    let values: Vec<_> = (0..8).map(|offset| get(&mut uart, offset)).collect();
    assert_eq!(values, [0, 0, 1, 0, 8, 0x60, 0xb0, 0]);
    assert!(!uart.interrupt());
}

#[test]
fn bytes_go_out_unless_the_divisor_is_meant() {
    let mut uart = Uart::new();
    assert_eq!(set(&mut uart, 0, 0x141), Some(0x41));
    set(&mut uart, LCR, 0x83);
    assert_eq!([get(&mut uart, 0), get(&mut uart, 1)], [12, 0]);
    assert_eq!(set(&mut uart, 0, 1), None);
    set(&mut uart, 1, 2);
    assert_eq!([get(&mut uart, 0), get(&mut uart, 1)], [1, 2]);
    set(&mut uart, LCR, 3);
    assert_eq!([get(&mut uart, 0), get(&mut uart, 1)], [0, 0]);
}

#[test]
fn registers_keep_their_bits() {
    let mut uart = Uart::new();
    for (offset, kept) in [(IER, 0xf), (LCR, 0xff), (MCR, 0x1f), (SCR, 0xff)] {
        set(&mut uart, offset, 0xff);
        assert_eq!(get(&mut uart, offset), kept);
        set(&mut uart, offset, 0);
        assert_eq!(get(&mut uart, offset), 0);
    }
    set(&mut uart, LSR, 0xff);
    set(&mut uart, MSR, 0xff);
    assert_eq!([get(&mut uart, LSR), get(&mut uart, MSR)], [0x60, 0xb0]);
}

#[test]
fn wide_accesses_are_of_one_register() {
    let mut uart = Uart::new();
    assert_eq!(uart.read(4, Width::Word), Ok(8));
    assert_eq!(uart.write(0, Width::Double, 0x4242), Ok(Some(0x42)));
    assert_eq!(uart.write(6, Width::Half, 0xffff), Ok(None));
    assert_eq!(uart.read(7, Width::Byte), Ok(0));
    for (offset, width) in [
        (7, Width::Half),
        (6, Width::Word),
        (1, Width::Double),
        (8, Width::Byte),
        (u64::MAX, Width::Byte),
    ] {
        assert_eq!(uart.read(offset, width), Err(AccessFault));
        assert_eq!(uart.write(offset, width, 0), Err(AccessFault));
    }
}

#[test]
fn fifo_keeps_order_and_reports_an_overrun_once() {
    let mut uart = with_fifo(0, 4);
    for round in 0..3 {
        assert!((0..16).all(|byte| uart.push(byte + round)));
        assert!(!uart.has_room() && !uart.interrupt());
        assert!(!uart.push(99));
        assert_eq!(get(&mut uart, IIR), 0xc6);
        assert_eq!(get(&mut uart, LSR), 0x63);
        assert_eq!(get(&mut uart, LSR), 0x61);
        assert!(!uart.interrupt());
        for byte in 0..16 {
            assert_eq!(get(&mut uart, RBR), u64::from(byte + round));
        }
        assert_eq!([get(&mut uart, LSR), get(&mut uart, RBR)], [0x60, 0]);
    }
}

#[test]
fn without_fifo_the_new_byte_replaces_the_old() {
    let mut uart = Uart::new();
    assert!(uart.push(1));
    assert!(!uart.has_room() && !uart.push(2));
    assert_eq!(get(&mut uart, LSR), 0x63);
    assert_eq!([get(&mut uart, RBR), get(&mut uart, LSR)], [2, 0x60]);
}

#[test]
fn received_data_interrupts_below_the_trigger_as_time_out() {
    for (control, trigger) in [(0, 1), (0x40, 4), (0x80, 8), (0xc0, 14)] {
        let mut uart = with_fifo(control, 1);
        for len in 1..=16u8 {
            uart.push(len);
            let id = if len < trigger { 0xcc } else { 0xc4 };
            assert_eq!((uart.interrupt(), get(&mut uart, IIR)), (true, id));
        }
        set(&mut uart, IER, 0);
        assert!(!uart.interrupt());
        set(&mut uart, IER, 1);
        (0..16).for_each(|_| assert!(uart.interrupt() && get(&mut uart, RBR) != 0));
        assert!(!uart.interrupt());
    }
    let mut plain = Uart::new();
    set(&mut plain, IER, 1);
    plain.push(1);
    assert_eq!(get(&mut plain, IIR), 4);
}

#[test]
fn transmitter_interrupts_when_enabled_and_after_each_byte() {
    let mut uart = with_fifo(0, 2);
    assert!(uart.interrupt());
    assert_eq!([get(&mut uart, IIR), get(&mut uart, IIR)], [0xc2, 0xc1]);
    set(&mut uart, IER, 2);
    assert!(!uart.interrupt(), "it was on already");
    set(&mut uart, 0, 65);
    assert!(uart.interrupt());
    set(&mut uart, IER, 0);
    assert!(!uart.interrupt());
    set(&mut uart, IER, 2);
    assert!(uart.interrupt());
}

#[test]
fn reading_a_more_urgent_interrupt_leaves_the_transmitter_s() {
    let mut uart = with_fifo(0, 7);
    (0..17).for_each(|byte| _ = uart.push(byte));
    assert_eq!(get(&mut uart, IIR), 0xc6);
    get(&mut uart, LSR);
    assert_eq!(get(&mut uart, IIR), 0xc4);
    (0..16).for_each(|_| _ = get(&mut uart, RBR));
    assert_eq!([get(&mut uart, IIR), get(&mut uart, IIR)], [0xc2, 0xc1]);
}

#[test]
fn fifo_control_clears() {
    let mut uart = with_fifo(0, 0);
    uart.push(1);
    set(&mut uart, IIR, 1);
    assert_eq!(get(&mut uart, LSR), 0x61);
    set(&mut uart, IIR, 3);
    assert_eq!(get(&mut uart, LSR), 0x60);
    uart.push(1);
    set(&mut uart, IIR, 0);
    assert_eq!([get(&mut uart, LSR), get(&mut uart, IIR)], [0x60, 1]);
}

#[test]
fn loop_back_returns_bytes_and_modem_lines() {
    let mut uart = with_fifo(0, 0);
    set(&mut uart, MCR, 0x1a);
    assert_eq!(get(&mut uart, MSR), 0x90, "Linux looks for this");
    assert!(!uart.has_room() && !uart.push(7));
    assert_eq!(set(&mut uart, 0, 0x55), None);
    assert_eq!([get(&mut uart, RBR), get(&mut uart, LSR)], [0x55, 0x60]);
    let lines: Vec<_> = [1, 2, 4, 8, 15]
        .map(|bits| {
            set(&mut uart, MCR, 0x10 | bits);
            get(&mut uart, MSR)
        })
        .into();
    assert_eq!(lines, [0x20, 0x10, 0x40, 0x80, 0xf0]);
    set(&mut uart, MCR, 0);
    assert!(uart.push(7));
}
