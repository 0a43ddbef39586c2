//! Copy loops at the data port of an ATA disk, carried on within one exit.
//!
//! A driver moves a block by a loop: load from the port, store to memory,
//! count, branch back; or the other way round. Each turn is an exit. Where the
//! drive allows it (`model=ata,burst`), the VMM looks at the instructions around
//! the one that trapped, and if they are such a loop, performs its further
//! turns itself, *one instruction after the other*, as the hart would:
//!
//! - only instructions that [`decode::step`] knows, from the branch's target to
//!   the branch, read once;
//! - before each memory access the page is translated as for any access that
//!   the VMM performs for a guest; an access that cannot be performed is left
//!   to the hart, with all before it done;
//! - never the last access of a block: what ends a block has effects, and
//!   takes the usual way;
//! - at most [`STEPS`] instructions, so that interrupts are not late.

use super::Host;
use super::drive::Drive;
use super::hart::Hart;
use super::seat::Seat;
use crate::addr::{Access, Gpa, Gva, PAGE_SIZE};
use crate::bus::Width;
use crate::decode::{self, MemKind, MemOp, Step};
use crate::mem::{GuestRam, OutOfRange};
use crate::mmu::space::View;

/// Instructions of a loop.
const LONGEST: usize = 12;
/// Instructions that one burst performs: a sector by halfwords, and a bit.
const STEPS: u32 = 1500;
/// Pages that one burst touches.
const PAGES: u32 = 4;

/// A loop that was recognised: from the branch's target to the branch.
#[derive(Clone, Copy)]
struct Body {
    steps: [(u64, Step); LONGEST],
    len: usize,
    /// Behind the branch.
    end: u64,
}

/// The port: its address, and the width in which it trapped.
#[derive(Clone, Copy)]
struct Port {
    at: Gva,
    width: Width,
}

/// A page of memory that is translated: for which access, and where it is.
#[derive(Clone, Copy)]
struct Page {
    number: u64,
    access: Access,
    target: Gpa,
}

/// Why a burst stops for now.
#[derive(PartialEq, Eq, Debug)]
enum Stop {
    /// An access to a page that is not translated.
    Page(Gva, Access),
    /// The hart goes on.
    Done,
}

impl<H: Host> Hart<H> {
    /// The instruction before pc has accessed the data port at `at`; performs
    /// further turns of its loop, if it is in one.
    pub(super) fn burst(&mut self, seat: &mut Seat, at: Gva, op: &MemOp) {
        if seat.space.view.contains(View::FETCH_ONLY) {
            return;
        }
        let trapped = seat.cpu.ctx.pc.wrapping_sub(op.length.into());
        let Some(body) = self.body(seat, trapped) else { return };
        let port = Port { at, width: op.width };
        let (mut page, mut left) = (None, STEPS);
        for _ in 0..PAGES {
            let guest = seat.guest;
            let stop = guest.devices.lock().with_drive(|drive| {
                let registers = (&mut seat.cpu.ctx.x, &mut seat.cpu.ctx.pc);
                body.run(registers, port, drive, (&guest.ram, page), &mut left)
            });
            let Some(Stop::Page(gva, access)) = stop else { return };
            let Ok(gpa) = self.data_address(seat, gva, access) else { return };
            let (number, target) = (gva.page(), gpa.align_down(PAGE_SIZE));
            page = Some(Page { number, access, target });
        }
    }

    /// The loop around the instruction at `trapped`, behind which pc is.
    fn body(&mut self, seat: &mut Seat, trapped: u64) -> Option<Body> {
        let mut pc = seat.cpu.ctx.pc;
        let mut target = None;
        for _ in 0..LONGEST {
            let (next, step) = self.step_at(seat, pc)?;
            if let Step::Branch { offset, .. } = step {
                target = Some(pc.wrapping_add_signed(offset.into()));
                break;
            }
            pc = next;
        }
        let (head, last) = (target.filter(|target| *target <= trapped)?, pc);
        let mut body = Body { steps: [(0, Step::NOTHING); LONGEST], len: 0, end: 0 };
        let (mut at, mut is_in) = (head, false);
        for slot in &mut body.steps {
            let (next, step) = self.step_at(seat, at)?;
            *slot = (at, step);
            body.len += 1;
            is_in |= at == trapped;
            if at == last {
                body.end = next;
                return is_in.then_some(body);
            }
            at = next;
        }
        None
    }

    /// The instruction at `pc`, and where the next one is.
    fn step_at(&mut self, seat: &mut Seat, pc: u64) -> Option<(u64, Step)> {
        let bits = self.fetch_at(seat, Gva(pc))?;
        let length = if bits & 3 == 3 { 4 } else { 2 };
        Some((pc.wrapping_add(length), decode::step(bits)?))
    }
}

impl Body {
    /// Performs instructions from pc on.
    fn run(
        &self,
        (x, pc): (&mut [u64; 32], &mut u64),
        port: Port,
        drive: &mut Drive,
        memory: (&GuestRam, Option<Page>),
        left: &mut u32,
    ) -> Stop {
        let steps = self.steps.get(..self.len).unwrap_or_default();
        let Some(mut n) = steps.iter().position(|(at, _)| at == pc) else { return Stop::Done };
        while let Some((at, step)) = steps.get(n).filter(|_| *left != 0) {
            *pc = *at;
            *left -= 1;
            n += 1;
            match *step {
                Step::Mem(op) => {
                    if let Err(stop) = access(x, &op, port, drive, memory) {
                        return stop;
                    }
                }
                Step::Add { rd, rs1, immediate, word } => {
                    x[rd.index()] = decode::sum(x[rs1.index()], immediate, word);
                }
                Step::Branch { condition, rs1, rs2, .. } => {
                    if !condition.holds(x[rs1.index()], x[rs2.index()]) {
                        // Behind the loop, where the hart goes on.
                        *pc = self.end;
                        return Stop::Done;
                    }
                    n = 0;
                }
            }
            x[0] = 0;
        }
        if let Some((at, _)) = steps.get(n) {
            *pc = *at;
        }
        Stop::Done
    }
}

/// Performs one load or store, or tells why not: then nothing has happened.
#[inline(always)]
fn access(
    x: &mut [u64; 32],
    op: &MemOp,
    port: Port,
    drive: &mut Drive,
    (ram, page): (&GuestRam, Option<Page>),
) -> Result<(), Stop> {
    let at = Gva(op.address(x[op.rs1.index()]));
    if at == port.at {
        return if op.width == port.width { transfer(x, op, drive) } else { Err(Stop::Done) };
    }
    if !at.is_aligned(op.width.bytes()) {
        return Err(Stop::Done);
    }
    let known = page.filter(|page| page.number == at.page() && page.access == op.access());
    let Some(page) = known else { return Err(Stop::Page(at, op.access())) };
    let gpa = page.target.wrapping_add(at.page_offset());
    let done = match op.kind {
        MemKind::Load { rd, .. } => {
            load(ram, gpa, op.width).map(|value| x[rd.index()] = op.extend(value))
        }
        MemKind::Store { rs2 } => store(ram, gpa, op.width, x[rs2.index()]),
        _ => Err(OutOfRange),
    };
    done.map_err(|_| Stop::Done)
}

/// Accesses the port, unless it is for the last time in a block.
#[inline(always)]
fn transfer(x: &mut [u64; 32], op: &MemOp, drive: &mut Drive) -> Result<(), Stop> {
    match op.kind {
        MemKind::Load { rd, .. } if drive.readable() > op.width.bytes() => {
            let value = drive.read(0, op.width).map_err(|_| Stop::Done)?;
            x[rd.index()] = op.extend(value);
        }
        MemKind::Store { rs2 } if drive.writable() > op.width.bytes() => {
            drive.write(0, op.width, x[rs2.index()]).map_err(|_| Stop::Done)?;
        }
        _ => return Err(Stop::Done),
    }
    Ok(())
}

#[inline(always)]
fn load(ram: &GuestRam, gpa: Gpa, width: Width) -> Result<u64, OutOfRange> {
    Ok(match width {
        Width::Byte => ram.load_u8(gpa)?.into(),
        Width::Half => ram.load_u16(gpa)?.into(),
        Width::Word => ram.load_u32(gpa)?.into(),
        Width::Double => ram.load_u64(gpa)?,
    })
}

#[inline(always)]
fn store(ram: &GuestRam, gpa: Gpa, width: Width, value: u64) -> Result<(), OutOfRange> {
    let [a, b, c, d, ..] = value.to_le_bytes();
    match width {
        Width::Byte => ram.store_u8(gpa, a),
        Width::Half => ram.store_u16(gpa, u16::from_le_bytes([a, b])),
        Width::Word => ram.store_u32(gpa, u32::from_le_bytes([a, b, c, d])),
        Width::Double => ram.store_u64(gpa, value),
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;

    use proptest::prelude::*;

    use super::*;
    use crate::addr::to_usize;
    use crate::dev::ata::BUFFER;
    use crate::disk::{RamDisk, SECTOR, SERIAL};

    const PORT: Port = Port { at: Gva(0x1001_0000), width: Width::Half };
    const RAM: u64 = 0x8000_0000;
    const CODE: u64 = 0x8020_0000;
    /// `lhu a3, 0(a0); sh a3, 0(a1); addi a1, a1, 2; addi a2, a2, -1; bnez a2, -16`
    const READ: [u32; 5] = [0x0005_5683, 0x00d5_9023, 0x0025_8593, 0xfff6_0613, 0xfe06_18e3];
    /// `lhu a3, 0(a1); sh a3, 0(a0)`, and the rest alike.
    const WRITE: [u32; 5] = [0x0005_d683, 0x00d5_1023, 0x0025_8593, 0xfff6_0613, 0xfe06_18e3];

    fn body(words: [u32; 5]) -> Body {
        let mut body =
            Body { steps: [(0, Step::NOTHING); LONGEST], len: words.len(), end: CODE + 20 };
        for ((slot, word), at) in body.steps.iter_mut().zip(words).zip((CODE..).step_by(4)) {
            *slot = (at, decode::step(word).expect("a step"));
        }
        body
    }

    /// A drive whose sector n is full of n + 1, in the middle of a command.
    fn drive(command: u64, count: u64) -> Drive {
        let bytes: Vec<u8> = (0..8 * SECTOR).map(|n| (n / SECTOR + 1).to_le_bytes()[0]).collect();
        let disk = Box::new(RamDisk::new(bytes.leak(), [0; SERIAL], false));
        let mut drive = Drive::new(disk, vec![0; 2 * to_usize(BUFFER)].leak(), true);
        for (register, value) in [(2, count), (3, 0), (4, 0), (5, 0), (6, 0x40), (7, command)] {
            drive.write(register, Width::Byte, value).unwrap();
        }
        drive
    }

    /// Runs a loop as `burst` does; gives what is left of the steps.
    fn run(body: &Body, x: &mut [u64; 32], pc: &mut u64, drive: &mut Drive, ram: &GuestRam) -> u32 {
        let (mut page, mut left) = (None, STEPS);
        for _ in 0..PAGES {
            match body.run((x, pc), PORT, drive, (ram, page), &mut left) {
                Stop::Page(gva, access) => {
                    let target = Gpa(gva.0).align_down(PAGE_SIZE);
                    page = Some(Page { number: gva.page(), access, target });
                }
                Stop::Done => break,
            }
        }
        left
    }

    fn registers(memory: u64, count: u64) -> [u64; 32] {
        let mut x = [0; 32];
        (x[10], x[11], x[12]) = (PORT.at.0, memory, count);
        x
    }

    proptest! {
        /// However far it comes, the registers are those of whole turns and a
        /// part of one, and the memory is what these turns moved.
        #[test]
        fn a_read_is_as_if_executed(count in 1u64..400, offset in 0u64..0x1f00, sectors in 1u64..4) {
            let (mut drive, ram) = (drive(0x20, sectors), GuestRam::leaked(Gpa(RAM), 0x4000));
            let memory = RAM + 2 * (offset / 2);
            let (mut x, mut pc) = (registers(memory, count), CODE);
            run(&body(READ), &mut x, &mut pc, &mut drive, &ram);
            // The last halfword of a block is left to the hart.
            let moved = count.min(255);
            prop_assert_eq!(count - x[12], moved);
            prop_assert_eq!(x[11], memory + 2 * moved);
            prop_assert_eq!(pc, if count <= 255 { CODE + 20 } else { CODE });
            prop_assert_eq!(drive.readable(), SECTOR - 2 * moved);
            for n in 0..moved {
                prop_assert_eq!(ram.load_u16(Gpa(memory + 2 * n)), Ok(0x101));
            }
            prop_assert_eq!(ram.load_u16(Gpa(memory + 2 * moved)), Ok(0));
        }

        #[test]
        fn a_write_is_as_if_executed(count in 1u64..400, start in 0usize..5) {
            let (mut drive, ram) = (drive(0x30, 1), GuestRam::leaked(Gpa(RAM), 0x4000));
            (0..400).for_each(|n| ram.store_u16(Gpa(RAM + 2 * n), 0x7000).unwrap());
            let (mut x, mut pc) = (registers(RAM, count), CODE + 4 * start as u64);
            x[13] = 0x7000;
            run(&body(WRITE), &mut x, &mut pc, &mut drive, &ram);
            let moved = (SECTOR - drive.writable()) / 2;
            prop_assert!(moved <= 255);
            prop_assert!(pc == CODE + 20 && x[12] == 0 || pc == CODE + 4 && moved == 255);
        }
    }

    #[test]
    fn what_cannot_be_done_is_left_to_the_hart() {
        let ram = GuestRam::leaked(Gpa(RAM), 0x1000);
        // A misaligned address; one that is no memory; a block that is over.
        for (memory, count) in [(RAM + 1, 1), (RAM + 0x1000, 1), (0x1000, 1), (RAM, 0)] {
            let mut drive = if count == 0 { drive(0xe7, 0) } else { drive(0x20, 1) };
            let (mut x, mut pc) = (registers(memory, 5), CODE);
            run(&body(READ), &mut x, &mut pc, &mut drive, &ram);
            let done = if count == 0 { CODE } else { CODE + 4 };
            assert_eq!((pc, x[12], x[11]), (done, 5, memory), "{memory:#x}");
        }
    }

    #[test]
    fn an_endless_loop_ends() {
        let mut endless = body(READ);
        let jump = decode::step(0xfe00_08e3).expect("beq zero, zero, -16");
        endless.steps[4].1 = jump;
        endless.steps[0].1 = Step::NOTHING;
        let (mut drive, ram) = (drive(0x20, 1), GuestRam::leaked(Gpa(RAM), 0x4000));
        let (mut x, mut pc) = (registers(RAM, 5), CODE);
        assert_eq!(run(&endless, &mut x, &mut pc, &mut drive, &ram), 0);
        assert!((CODE..CODE + 20).contains(&pc), "the hart goes on within it");
    }
}
