//! One readable line per exit: who, where, what, and what the VMM did.
//!
//! ```text
//! xv6.0 S 0x80002a4c  csrr a0, sepc  → 0x3ffffff000
//! xv6.0 S 0x80001234  load page fault  → shadow fill 0x87f56000 → 0x90156000
//! ```

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use trapeze_protocol::call::Function;

use crate::addr::Access;
use crate::bundle::Causes;
use crate::decode::{Inst, decode};
use crate::stats::Did;
use crate::vcpu::{Cause, CsrId, Mode, Vcpu};

/// Which exits become lines.
pub struct Filter {
    causes: Causes,
    left: AtomicU64,
}

impl Filter {
    /// Traces exits of the given kinds, up to a number of lines.
    pub fn new(causes: Causes, limit: Option<u64>) -> Self {
        Self { causes, left: AtomicU64::new(limit.unwrap_or(u64::MAX)) }
    }

    /// Whether nothing is traced at all.
    pub fn is_off(&self) -> bool {
        self.causes.is_empty() || self.left.load(Ordering::Relaxed) == 0
    }

    /// Whether this exit is traced; counts it if so.
    pub fn admits(&self, did: Did) -> bool {
        let count = |left: u64| left.checked_sub(1);
        self.causes.intersects(kind(did))
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
    }
}

/// The kind of exit, as the filter knows it.
fn kind(did: Did) -> Causes {
    match did {
        Did::Csr(CsrId::Satp) => Causes::SATP,
        Did::Csr(_) => Causes::CSR,
        Did::Sret => Causes::SRET,
        Did::Mret => Causes::MRET,
        Did::Fence => Causes::FENCE,
        Did::Wfi => Causes::WFI,
        Did::Fill(..) | Did::Retry => Causes::SHADOW,
        Did::PageFault(_) => Causes::FAULT,
        Did::Ecall(_) | Did::Exception(_) => Causes::TRAP,
        Did::Device(_) | Did::Memory(..) => Causes::DEVICE,
        Did::Sbi(..) => Causes::SBI,
        Did::Hypercall(_) => Causes::PV,
        Did::HostTimer | Did::HostKick | Did::HostDevice | Did::Interrupted(_) => Causes::INTERRUPT,
        Did::Fp => Causes::FLOAT,
        // A line about it would be the cause of the next one.
        Did::HostLog => Causes::empty(),
    }
}

/// Everything a line is made of.
pub struct Line<'a> {
    /// Name of the guest.
    pub guest: &'a str,
    /// Number of the vCPU.
    pub cpu: usize,
    /// Mode and pc at the exit.
    pub at: (Mode, u64),
    /// `mcause` of the exit.
    pub cause: u64,
    /// The instruction at pc, where it matters.
    pub inst: Option<u32>,
    /// What the VMM did.
    pub did: Did,
    /// The virtual hart afterwards.
    pub after: &'a Vcpu,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.at.0 {
            Mode::User => 'U',
            Mode::Supervisor => 'S',
            Mode::Machine => 'M',
        };
        write!(f, "{}.{} {mode} {:#x}  ", self.guest, self.cpu, self.at.1)?;
        match (self.inst, Cause::from_code(self.cause)) {
            // The hardware says that it came from U, the guest knows better.
            _ if matches!(self.did, Did::Sbi(..)) => f.write_str("SBI call")?,
            _ if matches!(self.did, Did::Hypercall(_)) => f.write_str("hypercall")?,
            (Some(inst), _) => write!(f, "{}", decode(inst))?,
            (None, Some(cause)) => f.write_str(cause.name())?,
            (None, None) => f.write_str("interrupt")?,
        }
        f.write_str("  → ")?;
        self.effect(f)
    }
}

impl Line<'_> {
    fn effect(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.did {
            Did::Csr(id) => self.csr(f, id),
            Did::Sret | Did::Mret => write!(f, "{:?} at {:#x}", self.after.mode, self.after.ctx.pc),
            Did::Fence => f.write_str("shadow in step, TLB flushed"),
            Did::Wfi => f.write_str("wait for an interrupt"),
            Did::Fill(gva, hpa) => write!(f, "shadow fill {gva} → host {hpa}"),
            Did::PageFault(e) | Did::Ecall(e) | Did::Exception(e) => {
                let (mode, pc) = (self.after.mode, self.after.ctx.pc);
                write!(f, "inject {} ({:#x}) at {mode:?} {pc:#x}", e.cause.name(), e.tval)
            }
            Did::Device(a) => {
                let way = if a.access == Access::Store { "write" } else { "read" };
                write!(f, "{:?} {way} {} = {:#x}", a.region, a.gpa, a.value)
            }
            Did::Memory(gva, access) => write!(f, "emulated {access:?} of {gva}"),
            Did::Sbi(eid, fid) => {
                let x = &self.after.ctx.x;
                write!(f, "{} = ({:#x}, {:#x})", crate::sbi::name(eid, fid), x[10], x[11])
            }
            Did::Hypercall(function) => {
                let name = Function::from_number(function).map_or("unknown call", Function::name);
                let x = &self.after.ctx.x;
                write!(f, "{name} = ({}, {:#x})", x[10].cast_signed(), x[11])
            }
            Did::Fp => f.write_str("floating-point registers switched"),
            Did::HostTimer => f.write_str("host timer"),
            Did::HostKick => f.write_str("kick from another hart"),
            Did::HostDevice => f.write_str("host device"),
            Did::HostLog => f.write_str("log port"),
            Did::Interrupted(i) => write!(f, "{} at {:#x}", i.name(), self.after.ctx.pc),
            Did::Retry => f.write_str("try again"),
        }
    }

    /// What a CSR instruction read; what it wrote is in the instruction.
    fn csr(&self, f: &mut fmt::Formatter<'_>, id: CsrId) -> fmt::Result {
        match self.inst.map(decode) {
            Some(Inst::Csr(op)) if op.rd().index() != 0 => {
                let read = self.after.ctx.x[op.rd().index()];
                write!(f, "virtual {} {read:#x}", id.name())
            }
            _ => write!(f, "virtual {} written", id.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Gva, Hpa};

    #[test]
    fn a_csr_read_shows_instruction_and_value() {
        let mut after = Vcpu::new(0);
        after.ctx.x[10] = 0x80002a4c;
        let did = Did::Csr(CsrId::of(0x141));
        let (at, inst) = ((Mode::Supervisor, 0x8000_1000), Some(0x1410_2573));
        let line = Line { guest: "xv6", cpu: 1, at, cause: 2, inst, did, after: &after };
        let text = "xv6.1 S 0x80001000  csrr a0, sepc  → virtual sepc 0x80002a4c";
        assert_eq!(line.to_string(), text);
    }

    #[test]
    fn a_fill_shows_both_addresses() {
        let after = Vcpu::new(0);
        let did = Did::Fill(Gva(0x5000), Hpa(0x9000_0000));
        let at = (Mode::User, 0x1000);
        let line = Line { guest: "g", cpu: 0, at, cause: 13, inst: None, did, after: &after };
        let text = "g.0 U 0x1000  load page fault  → shadow fill 0x5000 → host 0x90000000";
        assert_eq!(line.to_string(), text);
    }

    #[test]
    fn the_log_is_not_traced_to_the_log() {
        assert!(!Filter::new(Causes::all(), None).admits(Did::HostLog));
    }

    #[test]
    fn the_filter_selects_and_ends() {
        let filter = Filter::new(Causes::SRET, Some(1));
        assert!(!filter.admits(Did::Mret));
        assert!(filter.admits(Did::Sret));
        assert!(!filter.admits(Did::Sret));
        assert!(filter.is_off());
    }
}
