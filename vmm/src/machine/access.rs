//! Page faults: shadow fills, device registers, and the loads and stores that
//! the VMM performs for the guest.

use spin::mutex::spin::SpinMutexGuard;

use super::Host;
use super::exit::inject;
use super::hart::Hart;
use super::seat::Seat;
use crate::addr::{Access, Gpa, Gva, PAGE_SIZE};
use crate::bus::{self, AccessFault, Region, Width};
use crate::decode::{self, AmoOp, MemKind, MemOp};
use crate::mmu::shadow::{Outcome, Shadow};
use crate::mmu::space::View;
use crate::mmu::walk::WalkFault;
use crate::stats::{DeviceAccess, Did};
use crate::vcpu::{Cause, Effects};

/// Why an emulated access did not happen.
pub(super) enum Failed {
    /// The tables do not allow it.
    Page(Gva),
    /// There is nothing that could be accessed.
    Access(Gva),
    /// The shadow was emptied meanwhile: the guest tries again.
    Again,
}

impl From<AccessFault> for WalkFault {
    fn from(_: AccessFault) -> Self {
        Self::Access
    }
}

impl Seat {
    /// Asks the shadow about a fault.
    #[inline(always)]
    pub(super) fn shadow_fault(
        &mut self,
        mut shadow: SpinMutexGuard<'_, Shadow>,
        gva: Gva,
        access: Access,
    ) -> Outcome {
        let (ram, space) = (&self.guest.ram, self.space);
        match shadow.refill(ram, self.root, space, gva, access) {
            Some(outcome) => outcome,
            None => shadow.fault(ram, space, gva, access, self.peers()),
        }
    }
}

impl<H: Host> Hart<H> {
    /// The hardware found no shadow entry for an access.
    #[inline(always)]
    pub(super) fn page_fault(
        &mut self,
        n: usize,
        seat: &mut Seat,
        gva: Gva,
        access: Access,
    ) -> Did {
        if seat.todo.contains(Effects::TRANSLATION) {
            // SUM was stored in the CPU page since the guest was entered.
            return Did::Retry;
        }
        let root = seat.root;
        match seat.known_pages().device(root, gva, access) {
            Some(gpa) => self.register(n, seat, gva, gpa, access),
            None => self.unknown_fault(n, seat, gva, access),
        }
    }

    #[inline(never)]
    fn unknown_fault(&mut self, n: usize, seat: &mut Seat, gva: Gva, access: Access) -> Did {
        if access != Access::Execute && seat.space.view.contains(View::FETCH_ONLY) {
            return self.emulate(n, seat);
        }
        let Some(shadow) = seat.shadow() else { return Did::Retry };
        match seat.shadow_fault(shadow, gva, access) {
            Outcome::Mapped { target, flush } => {
                if flush {
                    seat.flush(&mut self.host);
                }
                Did::Fill(gva, target)
            }
            Outcome::Device(gpa) => {
                let root = seat.root;
                seat.known_pages().set_device(root, gva, access, gpa);
                self.register(n, seat, gva, gpa, access)
            }
            Outcome::Absent(page) => {
                seat.guest.give_back(page);
                Did::Retry
            }
            Outcome::PageFault => inject(seat, page_fault(access), gva.0),
            Outcome::AccessFault => inject(seat, access_fault(access), gva.0),
            Outcome::Full => {
                seat.zap(&mut self.host);
                Did::Retry
            }
        }
    }

    /// The four bytes at pc, of which a compressed instruction is the first
    /// two, by the guest's own translation. When they cannot be fetched any
    /// more the guest will find out by itself: `None`.
    #[inline]
    pub(super) fn fetch(&mut self, seat: &mut Seat) -> Option<u32> {
        self.fetch_at(seat, Gva(seat.cpu.ctx.pc))
    }

    /// The same for another place.
    #[inline]
    pub(super) fn fetch_at(&mut self, seat: &mut Seat, pc: Gva) -> Option<u32> {
        let ram = &seat.guest.ram;
        let gpa = self.code_address(seat, pc)?;
        if pc.page_offset() != PAGE_SIZE - 2 {
            return ram.load_instruction(gpa).ok();
        }
        // The last two bytes of a page: the rest may be anywhere.
        let first = ram.load_u16(gpa).ok()?;
        if decode::length(first) == 2 {
            return Some(first.into());
        }
        let second = ram.load_u16(self.code_address(seat, pc.wrapping_add(2))?).ok()?;
        Some(u32::from(second) << 16 | u32::from(first))
    }

    #[inline(always)]
    fn code_address(&self, seat: &mut Seat, pc: Gva) -> Option<Gpa> {
        let root = seat.root;
        if let Some(gpa) = seat.known_pages().code(root, pc) {
            return Some(gpa);
        }
        let guest = seat.guest;
        let shadow = seat.shadow()?;
        let gpa = match shadow.fetch_address(&guest.ram, seat.root, pc) {
            Some(gpa) => gpa,
            None => shadow.translate_gva(&guest.ram, seat.space, pc, Access::Execute).ok()?,
        };
        drop(shadow);
        seat.known_pages().set_code(root, pc, gpa);
        Some(gpa)
    }

    /// An access to a page that is not RAM.
    #[inline(always)]
    fn register(&mut self, n: usize, seat: &mut Seat, gva: Gva, gpa: Gpa, access: Access) -> Did {
        if access == Access::Execute {
            return inject(seat, access_fault(access), gva.0);
        }
        let Some(inst) = self.fetch(seat) else { return Did::Retry };
        let op = decode::mem_op(inst).filter(|op| self.address(seat, op) == gva);
        let done = op.and_then(|op| self.device_op(n, seat, op, gpa).ok());
        match done {
            Some(did @ Did::Device(DeviceAccess { region: Region::Ata, .. })) => {
                if let Some(op) = op.filter(|_| seat.guest.bursts && gpa == bus::ATA.base) {
                    self.burst(seat, gva, &op);
                }
                did
            }
            Some(did) => did,
            // An AMO is a store, whatever part of it the hardware missed.
            None => inject(seat, access_fault(op.map_or(access, |op| op.access())), gva.0),
        }
    }

    fn address(&self, seat: &Seat, op: &MemOp) -> Gva {
        Gva(op.address(seat.cpu.ctx.x[op.rs1.index()]))
    }

    /// Performs `op` on the device register at `gpa`.
    #[inline(always)]
    fn device_op(
        &mut self,
        n: usize,
        seat: &mut Seat,
        op: MemOp,
        gpa: Gpa,
    ) -> Result<Did, AccessFault> {
        if needs_fp(&op) && !seat.cpu.csr.fp_enabled() {
            return Ok(Did::Retry);
        }
        let at = bus::find(gpa, op.width);
        let (region, _) = at;
        let mut access =
            DeviceAccess { region, gpa, width: op.width, access: Access::Load, value: 0 };
        match op.kind {
            MemKind::Load { rd, .. } => {
                access.value = self.read_device(seat, at, op.width)?;
                set_x(seat, rd.index(), op.extend(access.value));
            }
            MemKind::FpLoad { rd } => {
                access.value = self.read_device(seat, at, op.width)?;
                self.set_f(n, seat, rd.index(), op.width, access.value);
            }
            MemKind::Store { .. } | MemKind::FpStore { .. } => {
                access.value = self.operand(n, seat, &op);
                access.access = Access::Store;
                self.write_device(seat, at, op.width, access.value)?;
            }
            // Devices are no memory that atomics work on.
            MemKind::Lr { .. } | MemKind::Sc { .. } | MemKind::Amo { .. } => {
                return Err(AccessFault);
            }
        }
        advance(seat, &op);
        Ok(Did::Device(access))
    }

    /// Performs a load, store or AMO for a vCPU whose data accesses have
    /// another translation than its fetches (`mstatus.MPRV`).
    fn emulate(&mut self, n: usize, seat: &mut Seat) -> Did {
        let Some(inst) = self.fetch(seat) else { return Did::Retry };
        let Some(op) = decode::mem_op(inst) else { return Did::Retry };
        let address = self.address(seat, &op);
        match self.memory_op(n, seat, op, address) {
            Ok(did) => did,
            Err(Failed::Again) => Did::Retry,
            Err(Failed::Page(at)) => inject(seat, page_fault(op.access()), at.0),
            Err(Failed::Access(at)) => inject(seat, access_fault(op.access()), at.0),
        }
    }

    fn memory_op(&mut self, n: usize, seat: &mut Seat, op: MemOp, gva: Gva) -> Result<Did, Failed> {
        let gpa = self.data_address(seat, gva, op.access())?;
        if seat.guest.ram.hpa(gpa, 1).is_none() {
            return self.device_op(n, seat, op, gpa).map_err(|_| Failed::Access(gva));
        }
        if needs_fp(&op) && !seat.cpu.csr.fp_enabled() {
            return Ok(Did::Retry);
        }
        match op.kind {
            MemKind::Load { rd, .. } => {
                let value = self.load(seat, gva, op.width)?;
                set_x(seat, rd.index(), op.extend(value));
            }
            MemKind::FpLoad { rd } => {
                let value = self.load(seat, gva, op.width)?;
                self.set_f(n, seat, rd.index(), op.width, value);
            }
            MemKind::Store { .. } | MemKind::FpStore { .. } => {
                let value = self.operand(n, seat, &op);
                self.store(seat, gva, op.width, value)?;
            }
            MemKind::Amo { op: amo, rd, rs2, .. } => {
                let operand = seat.cpu.ctx.x[rs2.index()];
                let old = modify(seat, gpa, op.width, amo, operand).ok_or(Failed::Access(gva))?;
                set_x(seat, rd.index(), op.extend(old));
            }
            // A reservation cannot outlive an exit: the pair never succeeds,
            // and firmware that uses MPRV does not rely on it.
            MemKind::Lr { .. } | MemKind::Sc { .. } => return Err(Failed::Access(gva)),
        }
        advance(seat, &op);
        Ok(Did::Memory(gva, op.access()))
    }

    /// Translates a data address by the guest's tables.
    pub(super) fn data_address(
        &self,
        seat: &Seat,
        gva: Gva,
        access: Access,
    ) -> Result<Gpa, Failed> {
        let shadow = seat.shadow().ok_or(Failed::Again)?;
        shadow.translate_gva(&seat.guest.ram, seat.data_space(), gva, access).map_err(|fault| {
            match fault {
                WalkFault::Page => Failed::Page(gva),
                WalkFault::Access => Failed::Access(gva),
            }
        })
    }

    /// Loads a value that may be misaligned and lie on two pages.
    fn load(&self, seat: &Seat, gva: Gva, width: Width) -> Result<u64, Failed> {
        let mut bytes = [0; 8];
        let wanted = bytes.get_mut(..width as usize).unwrap_or_default();
        for part in Parts::new(gva, wanted.len()) {
            let gpa = self.data_address(seat, part.at, Access::Load)?;
            let to = wanted.get_mut(part.range()).unwrap_or_default();
            seat.guest.ram.read_bytes(gpa, to).map_err(|_| Failed::Access(part.at))?;
        }
        Ok(u64::from_le_bytes(bytes))
    }

    /// Stores a value likewise.
    fn store(&self, seat: &Seat, gva: Gva, width: Width, value: u64) -> Result<(), Failed> {
        let bytes = value.to_le_bytes();
        for part in Parts::new(gva, width as usize) {
            self.data_address(seat, part.at, Access::Store)?;
        }
        for part in Parts::new(gva, width as usize) {
            let gpa = self.data_address(seat, part.at, Access::Store)?;
            let from = bytes.get(part.range()).unwrap_or_default();
            seat.guest.ram.write_bytes(gpa, from).map_err(|_| Failed::Access(part.at))?;
        }
        Ok(())
    }

    /// What a store instruction stores.
    fn operand(&mut self, n: usize, seat: &Seat, op: &MemOp) -> u64 {
        let value = match op.kind {
            MemKind::Store { rs2 } => seat.cpu.ctx.x[rs2.index()],
            MemKind::FpStore { rs2 } => {
                let read = |fp: &mut super::FpRegisters| fp.f[rs2.index()];
                self.with_fp(n, seat, read).unwrap_or_default()
            }
            _ => 0,
        };
        value & op.width.mask()
    }

    /// Sets a floating-point register; narrow values are NaN-boxed.
    fn set_f(&mut self, n: usize, seat: &mut Seat, rd: usize, width: Width, value: u64) {
        self.with_fp(n, seat, |fp| fp.f[rd] = value | !width.mask());
        seat.cpu.sync_fp(true);
    }
}

/// A value that crosses a page boundary is accessed in two parts.
struct Parts {
    gva: Gva,
    length: usize,
    done: usize,
}

struct Part {
    at: Gva,
    offset: usize,
    length: usize,
}

impl Parts {
    fn new(gva: Gva, length: usize) -> Self {
        Self { gva, length, done: 0 }
    }
}

impl Part {
    fn range(&self) -> core::ops::Range<usize> {
        self.offset..self.offset + self.length
    }
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let left = self.length.checked_sub(self.done).filter(|left| *left != 0)?;
        let at = self.gva.wrapping_add(self.done as u64);
        let on_page = crate::addr::to_usize(PAGE_SIZE - at.page_offset());
        let part = Part { at, offset: self.done, length: left.min(on_page) };
        self.done += part.length;
        Some(part)
    }
}

/// An AMO on guest memory; the old value in the low bits.
fn modify(seat: &Seat, gpa: Gpa, width: Width, amo: AmoOp, operand: u64) -> Option<u64> {
    if !gpa.is_aligned(width.bytes()) {
        return None;
    }
    let (cell, shift) = (gpa.align_down(8), 8 * (gpa.0 & 7));
    let mask = width.mask() << shift;
    // Another hart may be quicker a few times in a row, but not for ever.
    for _ in 0..1000 {
        let found = seat.guest.ram.load_u64(cell).ok()?;
        let old = (found & mask) >> shift;
        let new = found & !mask | amo.apply(width, old, operand) << shift;
        if seat.guest.ram.compare_exchange_u64(cell, found, new).ok()?.is_ok() {
            seat.guest.ram.note_device_write(cell, 8);
            return Some(old);
        }
    }
    None
}

#[inline]
fn set_x(seat: &mut Seat, rd: usize, value: u64) {
    seat.cpu.ctx.x[rd] = value;
    seat.cpu.ctx.x[0] = 0;
}

/// Whether `op` uses a floating-point register. It trapped with FS on; with
/// FS off it is another hart's writing that took the place of what trapped,
/// and the guest has to find out by itself that it is illegal.
fn needs_fp(op: &MemOp) -> bool {
    matches!(op.kind, MemKind::FpLoad { .. } | MemKind::FpStore { .. })
}

#[inline]
fn advance(seat: &mut Seat, op: &MemOp) {
    seat.cpu.ctx.pc = seat.cpu.ctx.pc.wrapping_add(op.length.into());
}

pub(super) fn page_fault(access: Access) -> Cause {
    match access {
        Access::Execute => Cause::InstructionPage,
        Access::Load => Cause::LoadPage,
        Access::Store => Cause::StorePage,
    }
}

pub(super) fn access_fault(access: Access) -> Cause {
    match access {
        Access::Execute => Cause::InstructionAccess,
        Access::Load => Cause::LoadAccess,
        Access::Store => Cause::StoreAccess,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crossing_values_come_in_two_parts() {
        let parts = |gva, length| -> Vec<_> {
            Parts::new(Gva(gva), length).map(|p| (p.at.0, p.offset, p.length)).collect()
        };
        assert_eq!(parts(0x1ff8, 8), [(0x1ff8, 0, 8)]);
        assert_eq!(parts(0x1ffd, 4), [(0x1ffd, 0, 3), (0x2000, 3, 1)]);
    }
}
