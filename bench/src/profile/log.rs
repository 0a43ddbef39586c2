//! QEMU's log of executed instructions:
//! `Trace 0: 0x7f… [cs_base/pc/flags/cflags] symbol`, the fields in
//! hexadecimal.

use std::collections::HashMap;
use std::io::{self, BufRead};

use super::marks::{Mark, Marks};

/// Bits of a block's flags that hold the privilege mode (QEMU's
/// `target/riscv/cpu.h`, `TB_FLAGS`: the MMU index, whose low bits are it).
const MODE: u32 = 3;
const M_MODE: u32 = 3;

/// One instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Step {
    pc: u64,
    machine: bool,
}

/// What was executed in one window.
#[derive(Default, Debug)]
pub(super) struct Histogram {
    /// Instructions of the guest.
    pub(super) guest: u32,
    /// Instructions of the VMM, by address.
    pub(super) vmm: HashMap<u64, u32>,
}

impl Histogram {
    fn count(&mut self, step: Step) {
        match step.machine {
            true => *self.vmm.entry(step.pc).or_default() += 1,
            false => self.guest += 1,
        }
    }
}

/// What the log shows between the guest's marks: the first `count` windows, or
/// as many as there are.
///
/// # Errors
/// If the log can't be read.
pub(super) fn windows(
    mut log: impl BufRead,
    marks: &Marks,
    count: usize,
) -> io::Result<Vec<Histogram>> {
    let mut done = Vec::new();
    let mut open: Option<Histogram> = None;
    let mut line = Vec::new();
    while done.len() < count && {
        line.clear();
        log.read_until(b'\n', &mut line)? != 0
    } {
        let Some(step) = parse(&line) else { continue };
        let mark = if step.machine { None } else { marks.at(step.pc) };
        match mark {
            Some(Mark::Begin) => open = Some(Histogram::default()),
            Some(Mark::End) => done.extend(open.take()),
            None => {}
        }
        if let Some(window) = &mut open {
            window.count(step);
        }
    }
    Ok(done)
}

fn parse(line: &[u8]) -> Option<Step> {
    if !line.starts_with(b"Trace ") {
        return None;
    }
    let text = str::from_utf8(line).ok()?;
    let (_, fields) = text.split_once('[')?;
    let mut fields = fields.split('/').skip(1);
    let pc = u64::from_str_radix(fields.next()?, 16).ok()?;
    let flags = u32::from_str_radix(fields.next()?, 16).ok()?;
    Some(Step { pc, machine: flags & MODE == M_MODE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pc: u64, flags: u32) -> String {
        format!("Trace 0: 0x7f2a30557680 [0000000000000000/{pc:016x}/{flags:08x}/ff020201] name\n")
    }

    #[test]
    fn lines_of_the_log_are_understood() {
        let step = Step { pc: 0x8000_bae4, machine: true };
        assert_eq!(parse(line(0x8000_bae4, 0x0020_1003).as_bytes()), Some(step));
        let step = Step { pc: 0x10, machine: false };
        assert_eq!(parse(line(0x10, 0x0020_1000).as_bytes()), Some(step));
        for other in ["Linking TBs 0x1", "Trace 0: 0x7 [x/y/z/w]", "", "qemu: [0/10/3/4]"] {
            assert_eq!(parse(other.as_bytes()), None);
        }
    }

    #[test]
    fn only_what_is_between_the_marks_of_the_guest_counts() {
        let marks = Marks::of(&[0x100], &[0x200]);
        let steps = [
            (0x50, 3),
            // The VMM may have code at the same address.
            (0x100, 3),
            (0x100, 0),
            (0x104, 0),
            (0x50, 3),
            (0x50, 3),
            (0x200, 0),
            (0x54, 3),
            (0x100, 0),
        ];
        let log: String = steps.map(|(pc, flags)| line(pc, flags)).concat();
        let windows = super::windows(log.as_bytes(), &marks, 2).unwrap();
        assert_eq!(windows.len(), 1);
        assert_eq!(windows[0].guest, 2);
        assert_eq!(windows[0].vmm, HashMap::from([(0x50, 2)]));
        let log = log.repeat(2);
        assert_eq!(super::windows(log.as_bytes(), &marks, 1).unwrap().len(), 1);
    }
}
